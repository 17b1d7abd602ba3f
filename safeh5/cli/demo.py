"""``safeh5 demo``: an acquisition is killed in mid-write, and nothing is lost."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from safeh5 import recover, status, verify
from safeh5.cli import recover as recover_command
from safeh5.cli import status as status_command
from safeh5.cli.exits import Exit
from safeh5.cli.outcome import Outcome, outcome
from safeh5.cli.progress import LINE_SECONDS, shown_progress
from safeh5.cli.text import console, number, say, size
from safeh5.demo import (
    Comparison,
    FrameSource,
    Scene,
    acquire,
    check_target,
    compare,
    count_frames,
    open_source,
    prepare,
)
from safeh5.demo.steps import Acknowledged
from safeh5.events import logger

KILL_AT = 0.4
"""The part of the frames after which the kill comes."""


def demo(
    source: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.h5", help="Acquire frames of this file instead of the simulated microscope's."
        ),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(metavar="N", min=2, help="How many frames to acquire.")
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIRECTORY", help="Work in a new directory made in this one."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep that directory afterwards.")] = False,
) -> None:
    """Kill an acquisition in mid-write, and see that nothing is lost."""
    with outcome() as result, _workplace(directory, keep) as place:
        options = _options(source, frames)
        _Show(prepare(place), open_source(source, frames), options, result).run()


def _options(source: Path | None, frames: int | None) -> tuple[str, ...]:
    """The child's arguments that make it open the same source."""
    return (
        *(() if source is None else ("--source", str(source.resolve()))),
        *(() if frames is None else ("--frames", str(frames))),
    )


@contextmanager
def _workplace(parent: Path | None, keep: bool) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="safeh5-demo-", dir=parent)).resolve()
    try:
        yield place
    finally:
        if keep:
            say(f"Kept: {place}")
        else:
            shutil.rmtree(place, ignore_errors=True)


class _Show:
    """The demonstration, step by step; a promise that does not hold ends it."""

    def __init__(self, scene: Scene, source: FrameSource, options: tuple[str, ...], result: Outcome) -> None:
        self.scene, self.source, self.options, self.result = scene, source, options, result
        self.steps = 0

    def run(self) -> None:
        """All steps, up to the first that does not show what it should."""
        began = time.monotonic()
        killed_at = self._acquire_and_kill()
        if self._target_is_whole() and self._recover(killed_at) and self._resume() and self._compare():
            self._headline(f"Nothing was lost. ({time.monotonic() - began:.0f} s)", "bold green")

    # --- steps --------------------------------------------------------------------

    def _acquire_and_kill(self) -> int:
        """Returns how many frames were acknowledged before the kill."""
        count = self.source.count
        self._step(f"{self.scene.target} holds a good measurement. Another process opens it with safeh5")
        say(f"   and acquires {number(count, 'frame')} of {self.source.name}, each durable before the next.")
        wanted = max(1, int(count * KILL_AT))
        with _frame_counter("acquiring", 0, count) as told:
            seen = acquire(
                self.scene, self.source, options=self.options, kill_after=wanted, acknowledged=told
            )
        say(f"   {number(seen.acknowledged, 'frame')} acknowledged, {seen.rate:.0f} per second.")
        say(Text(f"   SIGKILL: process {seen.pid} is gone, in the midst of writing.", "bold red"))
        return seen.next_frame

    def _target_is_whole(self) -> bool:
        self._step("The file is looked at with plain h5py.")
        check = check_target(self.scene)
        say(f"   It holds {', '.join(check.objects)}.")
        say(f"   Beside it: {', '.join(check.beside) or 'nothing'}.")
        return self._promise(
            check.same_bytes, "It is the old file, byte for byte.", "It is not the old file any more."
        )

    def _recover(self, killed_at: int) -> bool:
        self._step("safeh5 status")
        status_command.show(status(self.scene.target))
        self._step("safeh5 recover")
        with shown_progress() as progress:
            report = recover(self.scene.target, progress=progress)
        recover_command.show(report)
        found = self._compared()
        say(f"   {number(found.frames, 'frame')} in the file, {killed_at:,} had been acknowledged.")
        return self._promise(
            found.ok and found.frames >= killed_at,
            "Every acknowledged frame is there, and equal to the source.",
            "Acknowledged frames are lost or wrong.",
        )

    def _resume(self) -> bool:
        self._step("The acquisition goes on from the next frame to the end, and commits.")
        count = self.source.count
        done = count_frames(self.scene)
        with _frame_counter("acquiring", done, count) as told:
            seen = acquire(self.scene, self.source, options=self.options, acknowledged=told)
        say(f"   {number(seen.acknowledged, 'more frame')}.")
        return self._promise(seen.next_frame == count, "It reached the last frame.", "Frames are missing.")

    def _compare(self) -> bool:
        self._step("The result is verified, and compared with the source element by element.")
        with shown_progress() as progress:
            good = verify(self.scene.target, progress=progress)
        found, beside = self._compared(), check_target(self.scene).beside
        say(f"   {number(good.objects, 'object')} verified, {size(good.bytes)} of elements read.")
        say(f"   {found.elements:,} elements of {number(found.frames, 'frame')} compared.")
        whole = good.ok and found.ok and found.frames == self.source.count
        return self._promise(
            whole, "Every element is equal, and the old data are there.", "The file is wrong."
        ) and (
            self._promise(
                not beside, "Nothing of safeh5 is left beside it.", f"Left behind: {', '.join(beside)}"
            )
        )

    # --- words --------------------------------------------------------------------

    def _step(self, text: str) -> None:
        self.steps += 1
        self._headline(f"{self.steps}. {text}", "bold")

    def _headline(self, text: str, style: str) -> None:
        say()
        say(Text(text, style))

    def _promise(self, kept: bool, good: str, bad: str) -> bool:
        say(Text(f"   {good}", "green") if kept else Text(f"   {bad}", "bold red"))
        if not kept:
            self.result.worsen(Exit.DAMAGED)
        return kept

    def _compared(self) -> Comparison:
        with shown_progress() as progress:
            return compare(self.scene, self.source, progress)


@contextmanager
def _frame_counter(task: str, done: int, total: int) -> Iterator[Acknowledged]:
    """Shows acknowledged frames and their rate: as a bar on a terminal, now and then as a line elsewhere."""
    if not sys.stderr.isatty():
        yield _lines(done, total)
        return
    columns = (
        TextColumn("   {task.description}"),
        BarColumn(),
        TextColumn(
            "{task.completed} of {task.total} frames acknowledged, {task.fields[rate]:.0f} per second"
        ),
    )
    with Progress(*columns, console=console(error=True), transient=True) as bars:
        bar = bars.add_task(task, total=total, completed=done, rate=0.0)
        yield lambda frames, rate: bars.update(bar, completed=done + frames, rate=rate)


def _lines(done: int, total: int) -> Acknowledged:
    written = time.monotonic()

    def told(frames: int, rate: float) -> None:
        nonlocal written
        if time.monotonic() - written >= LINE_SECONDS:
            written = time.monotonic()
            logger.info("%d of %d frames acknowledged, %.0f per second", done + frames, total, rate)

    return told
