"""Everything at random, for as long as is wanted: the other modes in short turns, and real file systems.

Where root, small ext4, xfs and btrfs file systems are mounted from images, a set
of them for each process that is at work on them (`on_disk`): writers are killed
there, run into a real full disk, or lose the power. Meanwhile the other modes
have their turns; with a script of the user's those that take one, and nothing
else. ``--only`` and ``--file-systems`` choose among all this.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings, UnavailableError, UsageError
from safeh5.testing.harness.threads import beside
from safeh5.testing.harness.watched import Unfinished, watch
from safeh5.testing.modes import filesystems
from safeh5.testing.modes.filesystems import CAN_BE_CUT, FileSystem, mounted
from safeh5.testing.modes.on_disk import Order, again, work

TAKES_NAMES = True

OTHERS = ("model", "kill", "damage", "faults", "locks", "states")
WITH_SCRIPTS = ("kill", "faults", "states", "damage", "locks")
"""Those that take a script of the user's, which is then all that is done."""

TURN = 8.0
"""Seconds that each of the other modes gets in its turn."""

PARTS: Final = {"power-cuts": "cut", "kills": "kill", "full-disks": "full", "modes": ""}
"""What ``--only`` may name, and the way to die that it stands for."""


def run(report: Report, settings: Settings) -> None:
    """Turn after turn until the time or the cases are over."""
    # Where a script of the user's would be on a file system of its own nothing is known of its paths.
    parts = settings.only or (tuple(PARTS) if settings.workload is None else ("modes",))
    if unknown := set(parts) - set(PARTS):
        raise UsageError(f"--only: {sorted(unknown)[0]} is none of {', '.join(PARTS)}")
    ways = tuple(PARTS[part] for part in parts if PARTS[part])
    if ways and settings.workload is not None:
        raise UsageError("a script of yours has its turns in the modes only: leave --only out")
    modes = "modes" in parts
    with ExitStack() as stack:
        kinds = _kinds(report, settings, ways) if ways else []
        if not kinds and not modes:
            raise UnavailableError("no file system can be mounted here for that: " + "; ".join(report.notes))
        stack.enter_context(_deaths(report, settings, kinds, ways, stack, with_modes=modes))
        chance = random.Random(settings.seed)
        while modes and not report.is_over():
            _turn(report, settings, chance)


def _kinds(report: Report, settings: Settings, ways: tuple[str, ...]) -> list[str]:
    """The file systems that can be mounted here and are wanted; what is left out is noted."""
    for path in filesystems.remove_stale():
        report.note(f"a run that was killed had left {path} mounted: it was removed")
    found, wanted = filesystems.usable(), settings.file_systems
    if unknown := set(wanted) - set(found):
        raise UsageError(f"--file-systems: {sorted(unknown)[0]} is none of {', '.join(found)}")
    for kind, problem in found.items():
        if problem:
            report.note(f"{kind} was left out: {problem}")
    able = CAN_BE_CUT if ways == ("cut",) else tuple(found)
    return [k for k, problem in found.items() if not problem and k in (wanted or able) and k in able]


def _turn(report: Report, settings: Settings, chance: random.Random) -> None:
    """One of the other modes, for a short time."""
    from safeh5.testing.harness import registry

    name = chance.choice(OTHERS if settings.workload is None else WITH_SCRIPTS)
    seconds = min(TURN, settings.left if settings.left is not None else TURN)
    part = Settings(chance.randrange(1 << 31), max(1.0, seconds), corpus=settings.corpus)
    part.program, part.jobs, part.workload = settings.program, 1, settings.workload
    part.first, part.shrink = settings.first, settings.shrink
    part.cases = None if settings.cases is None else settings.cases - report.cases
    try:
        inner = registry.run(name, part)
    except UnavailableError as problem:
        report.note(f"{name} was left out: {problem}")
        return
    with _LOCK:
        report.cases += inner.cases
        report.count(f"mode {name}", inner.cases)
        report.take(inner.failures)
    if inner.interrupted:
        raise KeyboardInterrupt


# --- deaths on real file systems ----------------------------------------------------------

_LOCK: Final = threading.Lock()


@contextmanager
def _deaths(
    report: Report,
    settings: Settings,
    kinds: list[str],
    ways: tuple[str, ...],
    stack: ExitStack,
    with_modes: bool,
) -> Iterator[None]:
    """Deaths go on from here to the end of the run, in processes of their own."""
    step = max(1, settings.processes - with_modes) if kinds else 0
    stopped = threading.Event()
    # Mounted here and not there: whatever becomes of those processes, this one unmounts.
    sets = [tuple(stack.enter_context(mounted(kind)) for kind in kinds) for _ in range(step)]
    end = None if with_modes else settings.cases
    lines = [
        _Line(
            report, settings, Order(settings.seed, n, step, end, sets[n], ways, str(settings.corpus)), stopped
        )
        for n in range(step)
    ]
    with beside([partial(line.run, stack) for line in lines], stopped):
        yield


@dataclass
class _Line:
    """Deaths one after the other, in one process after the other."""

    report: Report
    settings: Settings
    order: Order
    stopped: threading.Event

    def run(self, stack: ExitStack) -> None:
        while not self._is_over():
            try:
                watch(work, self.order, self._note, enough=self._is_over)
                return
            except Unfinished as problem:
                with _LOCK:
                    self.report.cases += 1
                    self.report.fail(str(problem), problem.doing)
                    fresh = tuple(stack.enter_context(mounted(old.kind)) for old in self.order.systems)
                self._go_on(problem.doing["number"], fresh)

    def _is_over(self) -> bool:
        return self.stopped.is_set() or self.report.is_over()

    def _note(self, kind: str, news: dict[str, Any]) -> None:
        if kind == "begin":
            return
        with _LOCK:
            self.report.cases += 1
            for word in news.get("words", ()):
                self.report.count(word)
            if kind == "fail":
                self.report.failed(news["text"], Path(news["kept"]))

    def _go_on(self, number: int, systems: tuple[FileSystem, ...]) -> None:
        """Behind the death that was not survived, on file systems that nobody holds."""
        o = self.order
        self.order = Order(o.seed, number + o.step, o.step, o.end, systems, o.ways, o.corpus)


def replay(case: dict[str, Any], directory: Path) -> None:
    """The same way to die again."""
    again(case)
