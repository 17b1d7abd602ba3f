"""Many processes open, commit and crash on one target: one at a time, and nothing acknowledged is lost."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

import safeh5
from safeh5.errors import WaitError
from safeh5.operations.model import CreateGroup

fcntl = pytest.importorskip("fcntl")


def contend(target: str, witness: str, log: str, seed: int, until: float) -> None:
    """Sessions on `target` until the time is over, or until this process kills itself."""
    chance = random.Random(seed)
    witnessed = os.open(witness, os.O_RDWR)
    noted = os.open(log, os.O_WRONLY | os.O_APPEND)
    number = 0
    while time.time() < until:
        try:
            session = safeh5.open(target, recover="replay", lock_timeout=chance.choice([0, 0.05]))
        except WaitError:
            continue
        # A lock of another kind on another file: it is free, or two hold the first.
        try:
            fcntl.lockf(witnessed, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.write(noted, b"TWO HOLDERS\n")
            os._exit(3)
        name = f"p{seed}-{number}"
        session.record(CreateGroup(path=f"/{name}"))
        os.write(noted, f"{name}\n".encode())
        number += 1
        end = chance.random()
        if end < 0.3:
            os.kill(os.getpid(), signal.SIGKILL)
        fcntl.lockf(witnessed, fcntl.LOCK_UN)
        if end < 0.6:
            session.suspend()
        else:
            session.commit()


def race(directory: Path, processes: int, seconds: float, seed: int) -> None:
    import h5py

    target, witness, log = directory / "run.h5", directory / "witness", directory / "log"
    witness.touch()
    log.touch()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.test_lock_race"])
    until = time.time() + seconds
    running: list[multiprocessing.process.BaseProcess] = []
    while time.time() < until:
        running = [process for process in running if process.is_alive()]
        while len(running) < processes:
            seed += 1
            arguments = (str(target), str(witness), str(log), seed, until)
            process = context.Process(target=contend, args=arguments)
            process.start()
            running.append(process)
        time.sleep(0.01)
    for process in running:
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
    noted = log.read_text().split("\n")[:-1]
    assert "TWO HOLDERS" not in noted
    assert len(noted) > 20 and len(set(noted)) == len(noted)
    safeh5.recover(target)
    with h5py.File(target) as file:
        assert set(noted) <= set(file)
    allowed = {"run.h5", "witness", "log"}
    assert {name for name in os.listdir(directory) if ".safeh5-torn-" not in name} == allowed


def test_of_many_processes_only_one_ever_holds_a_target_and_all_that_was_acknowledged_is_there(
    tmp_path: Path,
) -> None:
    race(tmp_path, processes=6, seconds=6, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [10_000, 20_000, 30_000])
def test_of_very_many_processes_only_one_ever_holds_a_target(tmp_path: Path, seed: int) -> None:
    race(tmp_path, processes=24, seconds=90, seed=seed)
