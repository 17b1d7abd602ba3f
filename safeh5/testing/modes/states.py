"""Every disk state that a power cut or a kill may leave of a workload, recovered and looked at."""

from __future__ import annotations

import logging
import multiprocessing
import random
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from safeh5.testing.harness.corpus import keep
from safeh5.testing.harness.places import working_directory
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings, UnavailableError, UsageError
from safeh5.testing.modes.recorded import recorded, workload_of_user
from safeh5.testing.states import kept
from safeh5.testing.states.contents import Contents
from safeh5.testing.states.explore import Explorer, Found, Tally, story
from safeh5.testing.states.proof import prove_states
from safeh5.testing.states.smallest import simplest
from safeh5.testing.states.workload import Workload
from safeh5.testing.states.workloads import WORKLOADS

TAKES_NAMES = True

_ENOUGH = 3
"""Failures of one workload that are kept; more of them are mostly the same."""
_TURN = 100
"""States that a workload is given before the next one has its turn."""

_BUILT = 5000
_STALLED = 240.0
_STORY = 12


class Result(NamedTuple):
    """What one turn of one workload came to."""

    tally: Tally
    failures: list[tuple[str, Path | None]]
    complete: bool = False
    notes: tuple[str, ...] = ()


def run(report: Report, settings: Settings) -> None:
    """Go through the states of every workload, a few of each in turn, until it is over."""
    if not Path("/proc/self/fd").exists():
        raise UnavailableError("the mode states records what a process does by /proc, which is not here")
    workloads = _workloads(settings)
    with working_directory() as directory:
        worker = _Worker(workloads, directory, settings)
        try:
            _take_turns(report, settings, workloads, worker)
        finally:
            worker.end()


def replay(case: dict[str, Any], directory: Path) -> None:
    """Make a kept disk again, recover and look."""
    kept.replay(case, directory)


# --- workloads ------------------------------------------------------------------------


def _workloads(settings: Settings) -> list[Workload]:
    if settings.workload is None:
        return [WORKLOADS[name] for name in settings.chosen(WORKLOADS)]
    return [workload_of_user(settings)]


# --- the turns ------------------------------------------------------------------------


def _take_turns(report: Report, settings: Settings, workloads: list[Workload], worker: _Worker) -> None:
    failed = [0] * len(workloads)
    going = list(range(len(workloads)))
    random.Random(settings.seed).shuffle(going)
    while going:
        for index in list(going):
            if report.is_over():
                return
            left = _TURN if settings.cases is None else min(_TURN, settings.cases - report.cases)
            result = worker.turn(index, left)
            _enter(report, workloads[index], result)
            # A worker that was lost would be lost at the same state again.
            failed[index] += sum(_ENOUGH if path is None else 1 for _, path in result.failures)
            # Failures of one workload are mostly the same; the others are to have their turns.
            if failed[index] >= _ENOUGH or (result.complete and not settings.endless):
                going.remove(index)


def _enter(report: Report, workload: Workload, result: Result) -> None:
    tally = result.tally
    report.cases += tally.checked
    report.count(f"states of: {workload.name}", tally.checked)
    report.count("built, those alike among them", tally.built)
    report.count("places to crash at", tally.points)
    for family, count in tally.families.items():
        report.count(f"crash: {family}", count)
    for note in result.notes:
        report.note(note)
    for what, path in result.failures:
        if path is None:
            cases = report.figures[f"states of: {workload.name}"] + _TURN
            report.fail(what, {"again": again(report.settings, cases, workload)})
        else:
            report.failed(what, path)


def again(settings: Settings, cases: int, workload: Workload) -> dict[str, Any]:
    """How to come to the states of one workload again, in the same order."""
    script = None if settings.workload is None else str(settings.workload.resolve())
    only = () if script else (workload.name,)
    return {"seed": settings.seed, "cases": cases, "only": only, "workload": script}


class _Worker:
    """A process of its own that recovers: a crash or a hang of libhdf5 there is a finding."""

    def __init__(self, workloads: list[Workload], directory: Path, settings: Settings) -> None:
        self._workloads, self._directory, self._settings = workloads, directory, settings
        self._lives = 0
        self._begin()

    def _begin(self) -> None:
        context = multiprocessing.get_context("fork")
        self._lives += 1
        place = self._directory / f"worker-{self._lives}"
        self._here, there = context.Pipe()
        self._process = context.Process(
            target=_work, args=(there, self._workloads, place, self._settings), daemon=True
        )
        self._process.start()
        there.close()

    def turn(self, index: int, left: int) -> Result:
        """Some states of one workload, `left` at most."""
        self._here.send((index, left))
        try:
            if self._here.poll(_STALLED):
                answer = self._here.recv()
                if isinstance(answer, Result):
                    return answer
                raise answer
            why = f"recovery did not end within {_STALLED:g} s"
        except EOFError:
            self._process.join()
            why = f"the process that recovers ended with {self._process.exitcode}"
        self.end()
        self._begin()
        return Result(Tally(), [(f"{self._workloads[index].name}: {why}", None)])

    def end(self) -> None:
        """End the process."""
        self._here.close()
        self._process.kill()
        self._process.join()


class _Turns:
    """The states of one workload, some at a time."""

    def __init__(self, workload: Workload, directory: Path, settings: Settings) -> None:
        recording, self.notes = recorded(workload, directory / "recording")
        prove_states(recording, Contents(directory / "proof"), directory / "scratch")
        self._explorer = Explorer(recording, Contents(directory / "contents"), directory, settings.seed)
        self._states = self._explorer.explore()
        self._settings = settings

    def take(self, left: int) -> Result:
        """The next states, `left` at most; fewer when the time is over or enough was found."""
        explorer, failures = self._explorer, list[tuple[str, Path | None]]()
        tally = explorer.tally = Tally()
        for found in self._states:
            if found is not None:
                failures.append(_keep(explorer, found, self._settings))
            over = tally.checked >= left or tally.built >= _BUILT or self._settings.is_over(-1)
            if over or len(failures) == _ENOUGH or (explorer.complete and not self._settings.endless):
                break
        return Result(tally, failures, explorer.complete, self.notes)


def _work(pipe: Connection, workloads: list[Workload], directory: Path, settings: Settings) -> None:
    logging.getLogger("safeh5").setLevel(logging.CRITICAL + 1)
    turns: dict[int, _Turns] = {}
    while True:
        try:
            index, left = pipe.recv()
        except EOFError:
            return
        try:
            if index not in turns:
                turns[index] = _Turns(workloads[index], directory / str(index), settings)
            pipe.send(turns[index].take(left))
        except Exception as error:
            pipe.send(_problem(workloads[index], error))


def _problem(workload: Workload, error: Exception) -> Exception:
    """What keeps a workload from being crashed: one of ours is to run, a user's may need a hand."""
    words = str(error) if isinstance(error, UsageError) else traceback.format_exc()
    if workload.command[0] != "script":
        return AssertionError(f"the workload {workload.name}, which nothing was done to:\n{words}")
    return (
        error if isinstance(error, UsageError) else UsageError(f"{workload.name} cannot be crashed:\n{words}")
    )


def _keep(explorer: Explorer, found: Found, settings: Settings) -> tuple[str, Path | None]:
    if settings.shrink:
        found = simplest(explorer, found)
    recording = explorer.recording
    lines = "\n".join(f"  {line}" for line in story(recording, found)[-_STORY:])
    what = f"{recording.workload.name}, {found.state.family}, {found.way}: {found.what}\nThe crash:\n{lines}"
    with working_directory() as directory:
        case = kept.lay_out(recording, found, explorer.contents, directory)
        return what, keep(settings.corpus, {"mode": "states", **case, "text": what}, directory)
