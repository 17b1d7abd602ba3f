"""The applier dies, or the session does: the acquisition goes on, and no acknowledged item is lost."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import ApplyError
from safeh5.operations.model import Delete
from safeh5.session import State
from tests.session.appliers import (
    ROOT,
    alive,
    appliers_below,
    beside_of,
    caught_up,
    child_of,
    kill_child,
    opened,
    wait_until,
)
from tests.support import REFUSED, batches, entries, held, held_in, make_old, sidecar, write_batch

# Processes are killed here, at moments that a busy machine shifts: the short form for every run is
# test_beside_short.py.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_applier_is_left")]

# --- the applier dies ------------------------------------------------------------------------------


def test_an_applier_that_died_idle_is_replaced_and_told_of_what_comes_next(target: Path) -> None:
    session = opened(target)
    write_batch(session, 0)
    session.checkpoint()
    first = child_of(session)
    kill_child(session)
    wait_until(lambda: beside_of(session)._process is not None and child_of(session) != first, "not replaced")
    for number in range(1, 4):
        write_batch(session, number)
        caught_up(session)
    session.commit()
    assert held(target) == batches(0, 1, 2, 3)


@pytest.mark.parametrize("ending", ["commit", "rollback", "keep", "suspend", "raise"])
def test_an_applier_killed_just_before_the_end_does_not_come_back_after_it(target: Path, ending: str) -> None:
    old = make_old(target)
    session = opened(target)
    write_batch(session, 0)
    kill_child(session)
    wait_until(lambda: beside_of(session)._process is None or beside_of(session)._deaths, "it did not die")
    if ending == "raise":
        with pytest.raises(ZeroDivisionError), session:
            _ = 1 / 0
    else:
        {"keep": lambda: session.rollback(keep=True)}.get(ending, getattr(session, ending, None))()  # type: ignore[misc]
    time.sleep(0.5)  # it would have come back by now
    assert appliers_below(os.getpid()) == []
    if ending == "commit":
        assert held(target) == batches(0, old=True)
    else:
        assert target.read_bytes() == old
    if ending in ("suspend", "raise"):
        safeh5.recover(target)
        assert held(target) == batches(0, old=True)


def kills(target: Path, seed: int, times: int) -> None:
    """A session whose applier is killed again and again, at any moment."""
    chance, number = random.Random(seed), 0
    session = opened(target, checkpoint_bytes=200, checkpoint_seconds=0.05)
    stream = session.stream("/stream", (100,), "i4")
    beside = beside_of(session)
    for _ in range(times):
        stop = time.monotonic() + chance.choice([0.0, 0.05, chance.uniform(0.2, 0.5)])
        while True:
            stream.append(np.full(100, number))
            number += 1
            if time.monotonic() > stop:
                break
            time.sleep(0.002)
        with beside._news:
            if beside._process is not None:
                beside._process.kill()
        if chance.random() < 0.1:
            assert session.file["stream"].shape == (number, 100)
    session.commit()
    with h5py.File(target) as file:
        np.testing.assert_array_equal(file["stream"][:, 3], np.arange(number))


def test_an_applier_killed_at_any_moment_costs_time_and_nothing_else(target: Path) -> None:
    kills(target, seed=1, times=12)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2, 6))
def test_an_applier_killed_hundreds_of_times_costs_time_and_nothing_else(target: Path, seed: int) -> None:
    kills(target, seed, times=150)


def test_an_applier_that_cannot_be_started_does_not_stop_the_acquisition(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(target)
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", _no_memory)
        for number in range(3):
            write_batch(session, number)
    session.commit()
    assert held(target) == batches(0, 1, 2)


def _no_memory(*args: object, **kwargs: object) -> None:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def test_a_record_that_hdf5_refuses_leaves_the_acquisition_going_and_is_named_at_commit(target: Path) -> None:
    session = opened(target)
    write_batch(session, 0)
    lsn = session.record(Delete(path="/missing"))
    for number in range(1, 4):
        write_batch(session, number)
    with pytest.raises(ApplyError) as caught:
        session.commit()
    assert caught.value.lsn == lsn and str(lsn) in str(caught.value)
    assert "--salvage" in str(caught.value)
    assert session.state is State.OPEN
    write_batch(session, 4)
    session.suspend()
    assert not target.exists()
    safeh5.recover(target, "salvage")
    assert held(target) == batches(0, 1, 2, 3, 4)


def test_a_refused_record_can_still_be_rolled_back(target: Path) -> None:
    old = make_old(target)
    session = opened(target)
    session.record(REFUSED, bytes(20))
    session.rollback()
    assert target.read_bytes() == old and entries(target) == []


# --- the session dies ------------------------------------------------------------------------------


ACQUIRE = """
import os, sys, numpy as np, safeh5
session = safeh5.open(sys.argv[1], applier="process", resume=True, checkpoint_bytes=3000)
stream = session.stream("/stream", (100,), "i4")
assert stream.length == stream.durable_length
for number in range(stream.length, 1_000_000):
    stream.append(np.full(100, number))
    os.write(1, b"%d\\n" % number)
"""


def acquire_and_die(target: Path, seconds: float, signal_number: int = signal.SIGKILL) -> int:
    """Acquire for some time after the first item, be killed; returns how many items were acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", ACQUIRE, str(target)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal_number)
    last = process.stdout.read().splitlines()
    assert process.wait() == -signal_number
    return int(last[-1] if last else first) + 1


def test_a_session_killed_with_its_applier_at_work_is_resumed_and_loses_nothing(target: Path) -> None:
    chance, acknowledged = random.Random(3), 0
    for _ in range(3):
        acknowledged = acquire_and_die(target, chance.uniform(0.0, 0.8))
    with opened(target, resume=True) as session:
        stream = session.stream("/stream")
        assert acknowledged <= stream.length <= acknowledged + 1
        assert stream.durable_length == stream.length
        stream.append(np.full(100, stream.length))
        length = stream.length
    with h5py.File(target) as file:
        np.testing.assert_array_equal(file["stream"][:, 5], np.arange(length))
    assert entries(target) == []


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_session_killed_with_its_applier_at_work_is_recovered(target: Path, signal_number: int) -> None:
    make_old(target)
    acknowledged = acquire_and_die(target, 0.3, signal_number)
    safeh5.recover(target)
    with h5py.File(target) as file:
        found = file["stream"][:, 5]
        assert acknowledged <= len(found) <= acknowledged + 1
        np.testing.assert_array_equal(found, np.arange(len(found)))
        assert "old" in file


ORPHAN = """
import os, signal, sys, time, safeh5
from tests.support import write_batch
session = safeh5.open(sys.argv[1], applier="process")
write_batch(session, 0)
session.checkpoint()
if os.fork() == 0:  # a worker that outlives the session, and knows nothing of the applier
    os.close(1)
    time.sleep(60)
    os._exit(0)
print(session._workspace.beside.beside._process.pid, flush=True)
time.sleep(60)
"""


def orphaned(target: Path) -> tuple[subprocess.Popen[str], int]:
    """A session with an applier and a fork of itself; returns it, and the applier's process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(target)], stdout=subprocess.PIPE, cwd=ROOT, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_an_applier_ends_with_its_session_even_if_a_fork_of_that_lives_on(target: Path) -> None:
    process, child = orphaned(target)
    try:
        assert alive(child)
        process.kill()
        process.wait()
        wait_until(lambda: not alive(child), "the applier outlived its session", 5.0)
    finally:
        os.killpg(process.pid, signal.SIGKILL)


HOLDER = """
import sys, time
from safeh5.storage import TargetLock
lock = TargetLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(0.7)
lock.release(remove=True)
"""


@pytest.mark.parametrize("go_on", ["recover", "resume", "resume beside"])
def test_nobody_opens_the_staging_file_before_an_orphaned_applier_is_gone(target: Path, go_on: str) -> None:
    """What the orphan has is the lock of the staging file, until its process is gone."""
    session = opened(target)
    write_batch(session, 0)
    session.checkpoint()
    session._abandon()
    lock = sidecar(target) / "staging.h5.lock"
    orphan = subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, cwd=ROOT)
    assert orphan.stdout is not None and orphan.stdout.readline() == b"held\n"
    begun = time.monotonic()
    if go_on == "recover":
        safeh5.recover(target)
    else:
        with safeh5.open(
            target, resume=True, applier="process" if "beside" in go_on else "inline"
        ) as session:
            assert held_in(session.file) == batches(0)
    assert time.monotonic() - begun > 0.4
    assert orphan.wait() == 0
    assert held(target) == batches(0) and entries(target) == []
