"""Many processes open, crash, recover and commit one target: one at a time, and nothing is lost.

Each holds, as long as it believes that the target is its own, a lock of another
kind on another file; who finds that taken has seen two holders. What a call
acknowledged is noted in a log, and has to be in the target at the end.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import signal
import time
import traceback
from functools import partial
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import h5py

import safeh5
from safeh5.errors import NothingToRecoverError, WaitError
from safeh5.operations.model import CreateGroup
from safeh5.session import Session
from safeh5.testing.harness.places import working_directory
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings, UnavailableError
from safeh5.testing.harness.shrinking import Patience, first, headline

try:
    import fcntl
except ImportError as missing:
    raise UnavailableError("the mode locks needs the locks of POSIX, and this system has none") from missing

from safeh5.testing.modes.locks_script import replay_script, run_script

PROCESSES = 8
ROUND = 5.0
"""Seconds that the processes fight for one target."""

_SHARE_KILLED, _SHARE_SUSPENDED = 0.3, 0.3
_TWO = "TWO HOLDERS"


def run(report: Report, settings: Settings) -> None:
    """Round after round, each on a new target, until the time or the sessions are over."""
    if settings.workload is not None:
        run_script(report, settings)
        return
    number = 0
    while not report.is_over() and not report.failures:
        seconds = min(ROUND, max(1.0, settings.left if settings.left is not None else ROUND))
        number += 1
        with working_directory() as directory:
            _round(report, directory, settings.seed * 1000 + number, seconds)
        if not settings.endless:
            return


def _round(report: Report, directory: Path, seed: int, seconds: float) -> None:
    try:
        counted = race(directory, PROCESSES, seconds, seed * 10_000)
    except Exception as error:
        report.cases += 1
        what, processes = "".join(traceback.format_exception(error)), PROCESSES
        if report.is_to_be_small(what):
            found = first(range(2, PROCESSES), partial(_fails, seconds, seed), headline(what), Patience())
            processes, what = found or (processes, what)
        report.fail(what, {"seed": seed, "seconds": seconds, "processes": processes})
        return
    report.cases += counted["sessions"]
    for what, count in counted.items():
        report.count(what, count)


def _fails(seconds: float, seed: int, processes: int) -> str | None:
    """What is wrong when fewer fight."""
    with working_directory() as directory:
        try:
            race(directory, processes, seconds, seed * 10_000)
        except Exception as error:
            return "".join(traceback.format_exception(error))
    return None


def replay(case: dict[str, Any], directory: Path) -> None:
    """Fight again; who wins is up to the scheduler, so a seed is no promise."""
    if "fight" in case:
        replay_script(case)
        return
    race(directory, case.get("processes", PROCESSES), case["seconds"], case["seed"] * 10_000)


# --- a fight ------------------------------------------------------------------------------


def race(directory: Path, processes: int, seconds: float, seed: int) -> dict[str, int]:
    """Let processes fight for ``run.h5`` in a directory; returns how often what happened.

    Raises
    ------
    AssertionError
        Two held it, something acknowledged is lost, something is left behind, or a process failed.
    """
    target, witness, log = directory / "run.h5", directory / "witness", directory / "log"
    witness.touch()
    log.touch()
    killed = _fight((str(target), str(witness), str(log)), processes, seconds, seed, directory)
    noted = log.read_text().splitlines()
    assert _TWO not in noted, "two processes held the target at the same time"
    assert len(set(noted)) == len(noted)
    _check_target(target, set(noted))
    allowed = {"run.h5", "witness", "log", "errors"}
    litter = {name for name in os.listdir(directory) if ".safeh5-torn-" not in name} - allowed
    assert not litter, f"left behind: {litter}"
    return {"sessions": len(noted), "processes killed": killed}


def _check_target(target: Path, noted: set[str]) -> None:
    try:
        safeh5.recover(target)
    except NothingToRecoverError:
        assert not noted, f"all is lost: {sorted(noted)}"
        return
    with h5py.File(target) as file:
        lost = noted - set(file)
    assert not lost, f"acknowledged and lost: {sorted(lost)}"


def _fight(paths: tuple[str, str, str], processes: int, seconds: float, seed: int, directory: Path) -> int:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["safeh5.testing.modes.locks"])
    errors, until, ended = directory / "errors", time.time() + seconds, list[BaseProcess]()
    running: list[BaseProcess] = []
    while time.time() < until:
        ended += [process for process in running if not process.is_alive()]
        running = [process for process in running if process.is_alive()]
        while len(running) < processes:
            seed += 1
            running.append(_start(context, (*paths, str(errors), seed, until)))
        time.sleep(0.01)
    for process in running:
        process.join(60)
        assert process.exitcode is not None, "a process hangs"
    for process in (*ended, *running):
        assert process.exitcode in (0, -signal.SIGKILL), errors.read_text() if errors.exists() else ""
    return sum(process.exitcode != 0 for process in (*ended, *running))


def _start(context: BaseContext, arguments: tuple[Any, ...]) -> BaseProcess:
    process = context.Process(target=contend, args=arguments)  # type: ignore[attr-defined]
    process.start()
    return process  # type: ignore[no-any-return]


def contend(target: str, witness: str, log: str, errors: str, seed: int, until: float) -> None:
    """Sessions on `target` until the time is over, or until this process kills itself."""
    logging.disable(logging.CRITICAL)
    try:
        _contend(target, witness, log, random.Random(seed), until, f"p{seed}")
    except Exception:
        with open(errors, "a") as file:
            traceback.print_exc(file=file)
        os._exit(3)


def _contend(target: str, witness: str, log: str, chance: random.Random, until: float, name: str) -> None:
    witnessed = os.open(witness, os.O_RDWR)
    noted = os.open(log, os.O_WRONLY | os.O_APPEND)
    number = 0
    while time.time() < until:
        try:
            session = safeh5.open(target, recover="replay", lock_timeout=chance.choice([0, 0.05]))
        except WaitError:
            continue
        if not _alone(witnessed):
            os.write(noted, f"{_TWO}\n".encode())
            os._exit(0)
        session.record(CreateGroup(path=f"/{name}-{number}"))
        os.write(noted, f"{name}-{number}\n".encode())
        number += 1
        _end(session, chance.random(), witnessed)


def _alone(witnessed: int) -> bool:
    """A lock of another kind on another file: it is free, or two hold the first."""
    try:
        fcntl.lockf(witnessed, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _end(session: Session, chance: float, witnessed: int) -> None:
    if chance < _SHARE_KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    fcntl.lockf(witnessed, fcntl.LOCK_UN)
    if chance < _SHARE_KILLED + _SHARE_SUSPENDED:
        session.suspend()
    else:
        session.commit()
