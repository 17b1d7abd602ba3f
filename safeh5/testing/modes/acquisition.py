"""One acquisition, whose acquirer and applier are killed at random, and the file that comes of it.

The acquirer has its applier in a process beside. Either of them, or both, is
killed again and again; the acquirer is started anew and goes on from what it
finds. It must find all that was acknowledged to the one before; and the file
that is committed in the end must be the oracle's, item by item.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from safeh5.storage.children import environment, python_module
from safeh5.testing.harness.places import working_directory
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings, UnavailableError
from safeh5.testing.modes import acquisition_life as life

PAUSE: Final = 0.005
"""Seconds between two items: an hour of them is some GiB."""
LONGEST_LIFE: Final = 4.0
SLOWEST_START: Final = 120.0
_BLOCK: Final = 256
_MOST_KILLS: Final = 4
"""Appliers that are killed in one life. A session gives up one that dies five times at the same
record, and rightly; on a busy machine that is met by appliers that are killed while they start."""

Counts = Counter[str]


def run(report: Report, settings: Settings) -> None:
    """One acquisition, for the whole time; a case is a kill."""
    if not Path("/proc/self/task").is_dir():
        raise UnavailableError("the mode acquisition finds the applier in /proc, and this system has none")
    case = {"seed": settings.seed, "seconds": settings.seconds}

    def over(counts: Counts) -> bool:
        report.cases = counts["acquirer killed"] + counts["applier killed"]
        return report.is_over()

    with working_directory() as place:
        try:
            counts = acquire(place, settings.seed, over)
        except AssertionError as problem:
            report.fail(str(problem), case)
            return
    for what, count in counts.items():
        report.count(what, count)


def replay(case: dict[str, Any], directory: Path) -> None:
    """Acquire again for as long; when the kills meet whom is up to the scheduler."""
    end = time.monotonic() + (case["seconds"] or 60.0)
    acquire(directory, case["seed"], lambda counts: time.monotonic() > end)


def acquire(directory: Path, seed: int, over: Callable[[Counts], bool]) -> Counts:
    """Acquire ``run.h5`` in a directory and kill until `over`; returns how often what happened.

    Raises
    ------
    AssertionError
        Something acknowledged was lost, a life ended by itself, or the file is not the oracle's.
    """
    chance, counts, acknowledged = random.Random(seed), Counts(), 0
    target, enough = directory / "run.h5", directory / "enough"
    while not over(counts):
        acquirer = _Acquirer(target, enough, acknowledged)
        acquirer.started()
        _kill_appliers(acquirer.process.pid, chance, counts)
        acknowledged = acquirer.kill()
        counts["acquirer killed"] += 1
    enough.touch()
    acknowledged = _Acquirer(target, enough, acknowledged).end()
    counts["items"] = check(target, acknowledged)
    return counts


def _kill_appliers(acquirer: int, chance: random.Random, counts: Counts) -> None:
    """Live for a random time, in which the applier is killed a few times."""
    end, most = time.monotonic() + LONGEST_LIFE * chance.random(), counts["applier killed"] + _MOST_KILLS
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, chance.random()))
        for applier in _children(acquirer)[: most - counts["applier killed"]]:
            with suppress(ProcessLookupError):
                os.kill(applier, signal.SIGKILL)
                counts["applier killed"] += 1


def _children(process: int) -> list[int]:
    """The child processes of one, those of its threads included."""
    found: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                found += map(int, (thread / "children").read_text().split())
    return found


class _Acquirer:
    """A process that acquires, and a thread that hears what it acknowledges."""

    def __init__(self, target: Path, enough: Path, acknowledged: int) -> None:
        self.before = self.acknowledged = acknowledged
        self.begun: int | None = None
        command = [*python_module(life.__name__), str(target), str(enough), str(PAUSE)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        )
        self._errors: list[str] = []
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._hear, self._keep)]
        for thread in self._threads:
            thread.start()

    def _hear(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith("\n"):
                return  # half a line is what a kill leaves
            word = line.split()
            if word[0] == "at":
                self.begun = int(word[1])
            else:
                self.acknowledged = int(word[0])

    def _keep(self) -> None:
        assert self.process.stderr is not None
        self._errors += self.process.stderr

    def started(self) -> None:
        """Wait until it acquires."""
        end = time.monotonic() + SLOWEST_START
        while self.begun is None and self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)

    def kill(self) -> int:
        """Kill it; returns how many items it acknowledged."""
        gone = self.process.poll()
        self.process.kill()
        self._heard()
        assert gone is None, f"an acquirer ended by itself: {self._said()}"
        return self.acknowledged

    def end(self) -> int:
        """Wait until it has committed; returns how many items were acknowledged."""
        self._heard()
        assert self.process.returncode == 0, f"the last acquirer did not commit: {self._said()}"
        return self.acknowledged

    def _heard(self) -> None:
        self.process.wait()
        for thread in self._threads:
            thread.join()
        assert self.begun is None or self.begun >= self.before, (
            f"{self.before} items were acknowledged, and {self.begun} are there"
        )

    def _said(self) -> str:
        return "".join(self._errors[-20:]).strip() or "it said nothing"


def check(target: Path, acknowledged: int) -> int:
    """Compare the committed file with what was acquired; returns how many items it has."""
    assert [entry.name for entry in target.parent.glob(target.name + "*")] == [target.name], "litter"
    with h5py.File(target) as file:
        frames, rows = file["camera/frames"], file["encoder/rows"]
        count = len(frames)
        assert len(rows) == count >= acknowledged, f"{count} frames, {len(rows)} rows of {acknowledged}"
        for first in range(0, count, _BLOCK):
            numbers = range(first, min(first + _BLOCK, count))
            stop = numbers.stop
            assert np.array_equal(frames[first:stop], [life.frame(n) for n in numbers]), f"frames at {first}"
            assert np.array_equal(rows[first:stop], [life.row(n) for n in numbers]), f"rows at {first}"
        steps = {life.step(number): number for number in range(0, count, life.STEP)}
        found = {name: int(file[name].attrs["number"]) for name in file if name.startswith("step_")}
        extra = {life.step(count): count} if count % life.STEP == 0 else {}
        assert found in (steps, steps | extra), "trees that are not as they were written"
    return count
