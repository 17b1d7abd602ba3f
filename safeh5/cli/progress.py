"""Progress of long work: bars on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from safeh5.cli.text import amount, console
from safeh5.events import Progress, ProgressEvent, logger

BAR_SECONDS = 0.05
LINE_SECONDS = 5.0


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """A progress callable whose events are shown on standard error while the block lasts."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), _Amount(), TimeRemainingColumn())
    with Bars(*columns, console=console(error=True), transient=True) as bars:
        yield _BarsOf(bars)


class _Amount(ProgressColumn):
    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        total = "" if task.total is None else f" of {amount(int(task.total), unit)}"
        return Text(amount(int(task.completed), unit) + total)


class _BarsOf:
    """One bar per task, drawn at most every `BAR_SECONDS`."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.tasks = {task.description: task.id for task in bars.tasks}
        self.drawn = 0.0

    def __call__(self, event: ProgressEvent) -> None:
        now = time.monotonic()
        if event.task in self.tasks and now - self.drawn < BAR_SECONDS and event.done != event.total:
            return
        self.drawn = now
        if event.task not in self.tasks:
            self.tasks[event.task] = self.bars.add_task(event.task, total=event.total, unit=event.unit)
        self.bars.update(self.tasks[event.task], completed=event.done, total=event.total)


class _Lines:
    """A log line at most every `LINE_SECONDS`; short work stays silent."""

    def __init__(self) -> None:
        self.written = time.monotonic()

    def __call__(self, event: ProgressEvent) -> None:
        now = time.monotonic()
        if now - self.written < LINE_SECONDS:
            return
        self.written = now
        total = "" if event.total is None else f" of {amount(event.total, event.unit)}"
        logger.info("%s: %s%s", event.task, amount(event.done, event.unit), total)
