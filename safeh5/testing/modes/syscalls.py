"""Processes that are killed at each system call that touches the disk, then recoveries that are killed too.

The workloads are those of the states mode, or a script of the user's: their
traces tell what was promised when the process died (`safeh5.testing.states`).
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from safeh5.storage.children import environment, python_module
from safeh5.testing.damage import copy_of
from safeh5.testing.harness.shrinking import SECONDS, Patience, first, headline
from safeh5.testing.modes import strace
from safeh5.testing.states.check import REPLAY, check
from safeh5.testing.states.contents import ABSENT, Contents, digest_of
from safeh5.testing.states.disk import Disk, Tree, read_tree
from safeh5.testing.states.events import Kind, read_trace
from safeh5.testing.states.explore import recovering
from safeh5.testing.states.history import Expected, History
from safeh5.testing.states.workload import Workload
from safeh5.testing.states.workloads import WORKLOADS

AGAIN = 0.5
"""Share of the recoveries that are killed, and of the recoveries after them that are killed again."""

_DEEPEST = 3


@dataclass(frozen=True)
class Kill:
    """One process that is killed, and the recoveries that are killed after it.

    Attributes
    ----------
    life : int
        Which of the workload's processes.
    nth : int or str
        Before which of its calls.
    recoveries : tuple of float
        How far each killed recovery comes, as a share of its calls.
    """

    life: int
    nth: int | str
    recoveries: tuple[float, ...] = ()


class Sweep:
    """One workload, killed everywhere.

    Parameters
    ----------
    workload : Workload
        Which.
    directory : Path
        An empty one, by its real path.

    Attributes
    ----------
    killed : bool
        Whether the last process was killed, and did not end before.
    depth : int
        How many of the recoveries after it, each of the one before, were killed.
    """

    def __init__(self, workload: Workload, directory: Path) -> None:
        self.workload, self.directory = workload, directory
        self.root, self.trace = directory / "data", directory / "trace"
        self._templates: dict[int, Path] = {}
        self._contents = Contents(directory / "contents")
        self.killed, self.depth = False, 0
        self._count = 0
        self._start: Tree | None = None

    def kills(self, chance: random.Random | None = None) -> Iterator[Kill]:
        """Every place to be killed at, in the order of the workload."""
        for life in range(self.workload.lives):
            self._begin(life)
            for nth in self._places(life):
                yield Kill(life, nth, () if chance is None else tuple(_recoveries(chance)))

    def do(self, kill: Kill) -> None:
        """Kill, kill the recoveries, recover, look.

        Raises
        ------
        AssertionError
            Something is not as it was promised.
        """
        self._begin(kill.life)
        self.depth, self.killed = 0, self._kill(self._command(kill.life), kill.nth)
        expected = self._expected()
        if not expected:
            return  # before any session: nothing was promised, and nothing waits
        for share in kill.recoveries:
            self.depth += any([self._kill_recovery(target, share) for target in expected])
            expected = {path: self._as_found(path, wanted) for path, wanted in expected.items()}
        with recovering(from_checkpoint=self.workload.from_checkpoint):
            check(self.root, expected, self._contents, REPLAY)

    # --- the processes ------------------------------------------------------------------

    def _begin(self, life: int) -> None:
        """The directory as the life finds it, which is what the lives before have left."""
        if life not in self._templates:
            self._make_template(life)
        copy_of(self._templates[life] / "data", self.root)
        shutil.copyfile(self._templates[life] / "trace", self.trace)

    def _make_template(self, life: int) -> None:
        if life == 0:
            self.root.mkdir(parents=True)
            self.trace.touch()
            if self.workload.prepare is not None:
                self.workload.prepare(self.root)
            self._start = read_tree(self.root)
        else:
            self._begin(life - 1)
            _run(self._command(life - 1), self.root)
        self._templates[life] = self.directory / f"template-{life}"
        copy_of(self.root, self._templates[life] / "data")
        shutil.copyfile(self.trace, self._templates[life] / "trace")

    def _command(self, life: int) -> list[str]:
        given = [str(self.root), str(self.trace), str(life), *self.workload.command]
        return [*python_module("safeh5.testing.states.life"), *given]

    def _places(self, life: int) -> Sequence[int | str]:
        if strace.is_usable():
            found, _ = strace.calls(self._command(life), self.root, self.directory / "log")
            return found
        count = self.directory / "count"
        _run(_deadly(self._command(life), 0, count), self.root)
        return list(range(1, int(count.read_text()) + 1)) if count.exists() else []

    def _kill(self, command: list[str], nth: int | str) -> bool:
        if isinstance(nth, str):
            return strace.kill_before(command, self.root, nth)
        return _run(_deadly(command, nth, self.directory / "count"), self.root) < 0

    def _kill_recovery(self, target: str, share: float) -> bool:
        """Count the calls of a recovery of a copy, then kill one of the real thing; False if it lived."""
        if not strace.is_usable():
            return False
        command = [*python_module("safeh5"), "recover", target]
        spare = copy_of(self.root, self.directory / "spare")
        copy_of(spare, self.root)
        found, _ = strace.calls(command, self.root, self.directory / "log")
        copy_of(spare, self.root)
        return bool(found) and strace.kill_before(command, self.root, found[int(share * len(found))])

    # --- what must be true --------------------------------------------------------------

    def _expected(self) -> dict[str, Expected]:
        events, disk = read_trace(self.trace), Disk(self._start)
        self._count += 1
        scratch = self.directory / f"history-{self._count}"
        history = History(self._contents, scratch, events, disk)
        for event in events:
            if event.kind is not Kind.MARK:
                disk.apply(event)
            history.follow(event, disk)
        expected = history.expected()
        shutil.rmtree(scratch, ignore_errors=True)
        return expected

    def _as_found(self, path: str, wanted: Expected) -> Expected:
        """A recovery that was killed may have placed any state that it may bring back."""
        target = self.root / path
        if not target.exists():
            return wanted
        digest = digest_of(target.read_bytes())
        placed = any(n != ABSENT and self._contents.is_one(target, digest, n) for n in wanted.replayed)
        return wanted._replace(found=wanted.found | {digest}) if placed else wanted


def _recoveries(chance: random.Random) -> Iterator[float]:
    for _ in range(_DEEPEST - 1):
        if chance.random() > AGAIN:
            return
        yield chance.random()


def _deadly(command: list[str], nth: int, count: Path) -> list[str]:
    place = command.index("safeh5.testing.states.life")
    return [*command[:place], "safeh5.testing.modes.deadly_life", str(nth), str(count), *command[place + 1 :]]


def _run(command: list[str], directory: Path) -> int:
    return subprocess.run(
        command,
        cwd=directory,
        env={**environment(), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=strace.SECONDS,
    ).returncode


def sweepable() -> list[Workload]:
    """Built-in workloads that are one process at a time: a kill would hit only one of several."""
    return [workload for workload in WORKLOADS.values() if "beside" not in workload.name]


def workload_of(command: list[str]) -> Workload:
    """The workload that a kept case names."""
    known = [w for w in WORKLOADS.values() if list(w.command) == command]
    return known[0] if known else Workload(os.path.basename(command[1]), tuple(command))


def attempt(sweep: Sweep, kill: Kill) -> str | None:
    """Do it; returns what was wrong, with the traceback."""
    try:
        sweep.do(kill)
    except Exception as error:
        return "".join(traceback.format_exception(error))
    return None


def smallest_kill(sweep: Sweep, kill: Kill, what: str, seconds: float = 2 * SECONDS) -> tuple[Kill, str]:
    """The first kill, with the fewest recoveries killed after it, that fails in the same way."""
    patience, way = Patience(seconds), headline(what)
    fewer = [replace(kill, recoveries=kill.recoveries[:count]) for count in range(len(kill.recoveries))]
    kill, what = first(fewer, partial(attempt, sweep), way, patience) or (kill, what)

    def is_earlier(other: Kill) -> bool:
        return (other.life, other.nth) != (kill.life, kill.nth)

    earlier = (
        replace(other, recoveries=kill.recoveries) for other in itertools.takewhile(is_earlier, sweep.kills())
    )
    return first(earlier, partial(attempt, sweep), way, patience) or (kill, what)


def facts(sweep: Sweep, kill: Kill) -> dict[str, Any]:
    """What is needed to do it again."""
    return {
        "command": list(sweep.workload.command),
        "life": kill.life,
        "nth": kill.nth,
        "recoveries": list(kill.recoveries),
        "python": sys.version.split()[0],
    }
