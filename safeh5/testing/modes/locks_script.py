"""A user's script in the locks mode: many processes run it in one directory at a time, and some are killed.

They begin together; with them a few that recover what is there. Each is watched by
the recorder of the states mode, so one trace tells what all of them did and were
promised, in one order, and what the targets must hold in the end. Whoever believes
that a target is its own also holds a lock of another kind on another file; who
finds that taken has seen two holders.

A process is killed while nobody is in the middle of an effect: what it did is in
the trace, whole. A process that is refused ends with one of our errors, or with the
one that the script ends with when it is run a second time and nobody disturbs it.
"""

from __future__ import annotations

import fcntl
import json
import random
import signal
import subprocess
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from safeh5.storage.children import environment, python_module
from safeh5.testing.harness.places import working_directory
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings
from safeh5.testing.harness.shrinking import Patience, first, headline
from safeh5.testing.modes.recorded import recorded, workload_of_user
from safeh5.testing.states.check import REPLAY, check
from safeh5.testing.states.contents import Contents
from safeh5.testing.states.disk import Disk
from safeh5.testing.states.events import Kind, read_trace
from safeh5.testing.states.history import History, targets_of
from safeh5.testing.states.workload import wait_for_children

PROCESSES: Final = 5
"""That run the script at a time."""

RECOVERERS: Final = 2
WAVES: Final = 3
"""How often that happens in one directory."""

_SHARE_KILLED: Final = 0.5
_PATIENCE: Final = 120.0
_RECOVER: Final = "safeh5.testing.modes.recovering_life"


@dataclass(frozen=True)
class Fight:
    """What is done in one directory.

    Attributes
    ----------
    script : str
        The script.
    targets : tuple of str
        What it writes.
    ends : tuple of str
        The errors that it ends with when it is run again and nobody disturbs it.
    seconds : float
        How long it takes.
    seed, processes, waves : int
        When who is killed; how many there are.
    """

    script: str
    targets: tuple[str, ...]
    ends: tuple[str, ...]
    seconds: float
    seed: int
    processes: int = PROCESSES
    waves: int = WAVES

    def facts(self) -> dict[str, Any]:
        """What is kept of it."""
        return {**self.__dict__, "fight": True}


def run_script(report: Report, settings: Settings) -> None:
    """Round after round, each in a new directory, until the time or the processes are over."""
    with working_directory() as directory:
        fight = _first_look(report, settings, directory)
    number = 0
    while not report.is_over():
        number += 1
        fight = replace(fight, seed=settings.seed * 1000 + number)
        what = attempt(fight, report)
        if what is not None:
            if report.is_to_be_small(what):
                fewer = (replace(fight, processes=n, waves=w) for n in (1, 2, 3) for w in range(1, WAVES))
                found = first(fewer, attempt, headline(what), Patience())
                small, what = found or (fight, what)
                report.fail(what, small.facts())
            else:
                report.fail(what, fight.facts())
        if not settings.endless:
            return


def _first_look(report: Report, settings: Settings, directory: Path) -> Fight:
    """Run the script once, and once more over what it wrote."""
    workload, started = workload_of_user(settings), time.monotonic()
    recording, notes = recorded(workload, directory / "recording")
    seconds = time.monotonic() - started
    for note in notes:
        report.note(note)
    race = _Race(Fight(workload.command[1], tuple(targets_of(recording.events)), (), seconds, 0), directory)
    ends = []
    for _ in range(2):
        race.begin(["script", race.fight.script])
        told = race.end()[0]
        if told.get("error") and not told["ours"]:
            ends.append(str(told["error"]))
    if ends:
        report.note(
            f"run again over its own file {workload.name} ends with {ends[-1]}: taken for one of its ends"
        )
    return replace(race.fight, ends=tuple(sorted({_type(end) for end in ends})))


def attempt(fight: Fight, report: Report | None = None) -> str | None:
    """Fight once; returns what was wrong, with the traceback."""
    counts: Counter[str] = Counter()
    try:
        with working_directory() as directory:
            _Race(fight, directory).run(counts)
    except Exception as error:
        return "".join(traceback.format_exception(error))
    finally:
        if report is not None:
            report.cases += counts.total()
            for what, count in counts.items():
                report.count(what, count)
    return None


def replay_script(case: dict[str, Any]) -> None:
    """Fight again; who wins is up to the scheduler, so it is tried a few times."""
    fields = {name: case[name] for name in Fight.__annotations__}
    fields["targets"], fields["ends"] = tuple(fields["targets"]), tuple(fields["ends"])
    for _ in range(5):
        what = attempt(Fight(**fields))
        assert what is None, what


class _Race:
    """Processes in one directory."""

    def __init__(self, fight: Fight, directory: Path) -> None:
        self.fight, self.directory = fight, directory
        self.root, self.trace, self.gate = directory / "data", directory / "trace", directory / "gate"
        self.root.mkdir()
        self.trace.touch()
        self.gate.touch()
        (directory / "witness").mkdir()
        self._running: list[tuple[subprocess.Popen[bytes], Path]] = []
        self._count = 0

    def run(self, counts: Counter[str]) -> None:
        """Wave after wave, then look.

        Raises
        ------
        AssertionError
            Two held a target, something acknowledged is gone, or a process ended otherwise than it may.
        """
        chance = random.Random(self.fight.seed)
        for _ in range(self.fight.waves):
            with self._gate_closed():
                for _ in range(self.fight.processes):
                    self.begin(["script", self.fight.script])
                for target in self.fight.targets * RECOVERERS:
                    self.begin(["module", _RECOVER, target])
                self._all_ready()
            self._kill_some(chance)
            for told in self.end():
                counts[_outcome(told, self.fight)] += 1
        self._look()

    def begin(self, what: list[str]) -> None:
        """Start a process; it waits for the gate."""
        self._count += 1
        outcome = self.directory / f"outcome-{self._count}"
        command = [
            str(outcome),
            str(self.gate),
            str(self.directory / "witness"),
            str(self.root),
            str(self.trace),
        ]
        with open(self.directory / f"said-{self._count}", "wb") as said:
            process = subprocess.Popen(
                [*python_module("safeh5.testing.modes.locks_life"), *command, "0", *what],
                cwd=self.root,
                env={**environment(), "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        self._running.append((process, outcome))

    def end(self) -> list[dict[str, Any]]:
        """Wait for all; what each told."""
        found = []
        try:
            for process, outcome in self._running:
                try:
                    code = process.wait(_PATIENCE)
                except subprocess.TimeoutExpired:
                    raise AssertionError(f"a process did not end within {_PATIENCE:g} s") from None
                told: dict[str, Any] = {"code": code}
                if outcome.exists() and outcome.stat().st_size:
                    told |= json.loads(outcome.read_text())
                said = outcome.with_name(outcome.name.replace("outcome", "said"))
                found.append({**told, "said": said.read_text(errors="replace")[-2000:]})
        finally:
            for process, _ in self._running:
                process.kill()
                process.wait()
            self._running = []
        wait_for_children(self.trace)
        return found

    @contextmanager
    def _gate_closed(self) -> Iterator[None]:
        with open(self.gate) as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield

    def _all_ready(self) -> None:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if all(outcome.exists() or p.poll() is not None for p, outcome in self._running):
                return
            time.sleep(0.01)
        raise AssertionError("the processes did not start")

    def _kill_some(self, chance: random.Random) -> None:
        """Half of them, at any time; never between an effect and its record."""
        chosen = [process for process, _ in self._running if chance.random() < _SHARE_KILLED]
        span = self.fight.seconds * (1 + len(self._running) / 4)
        moments = sorted((span * chance.random() ** 2, number) for number in range(len(chosen)))
        started = time.monotonic()
        for moment, number in moments:
            time.sleep(max(0.0, started + moment - time.monotonic()))
            with open(self.trace, "rb") as trace:
                fcntl.flock(trace, fcntl.LOCK_EX)
                chosen[number].send_signal(signal.SIGKILL)
                chosen[number].wait()

    def _look(self) -> None:
        """The trace followed to its end, and the targets compared with what they must hold."""
        events, disk = read_trace(self.trace), Disk()
        assert not any((self.directory / "witness").glob("two-*")), (
            "two processes held a target at the same time"
        )
        history = History(Contents(self.directory / "contents"), self.directory / "history", events, disk)
        for event in events:
            if event.kind is Kind.MARK and event.path == "opened":
                _check_alone(history, event.said)
            if event.kind is not Kind.MARK:
                disk.apply(event)
            history.follow(event, disk)
        check(self.root, history.expected(), history.contents, REPLAY)


def _check_alone(history: History, said: dict[str, Any]) -> None:
    """A session begins on a target that no other session is on, be it of a process that is dead."""
    target = history.targets.get(said["target"])
    alone = target is None or target.session is None or said["session"] in history.sessions
    assert alone, f"a second session begins on {said['target']}, and the first has not ended"


def _outcome(told: dict[str, Any], fight: Fight) -> str:
    """How a process ended, in words."""
    if told["code"] == -signal.SIGKILL:
        return "processes killed"
    assert told["code"] >= 0, f"a process was killed by the signal {-told['code']}: {told['said']}"
    error = told.get("error")
    if error is None:
        assert told["code"] == 0, f"a process ended with {told['code']}: {told['said']}"
        return "processes that came to their end"
    assert told["ours"] or _type(error) in fight.ends, f"not one of our errors: {told['said']}"
    return f"refused: {_type(error)}"


def _type(error: str) -> str:
    return error.partition("(")[0]
