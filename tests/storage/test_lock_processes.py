"""The lock among processes: forks, programs that were started, and many that race for it."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from safeh5.errors import SessionLockedError
from safeh5.storage import TargetLock
from tests.storage.holders import Child, needs_posix

# --- fork ------------------------------------------------------------------------------------------


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
def test_a_forked_child_cannot_release_the_lock_of_its_parent(path: str) -> None:
    child = Child(
        path,
        """
        lock.acquire()
        pid = os.fork()
        if pid == 0:
            assert not lock.held()
            lock.release(remove=True)
            del lock
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(status, lock.held(), TargetLock.is_held(path), flush=True)
        sys.stdin.readline()
        """,
    )
    assert child.hear() == "0 True True"
    with pytest.raises(SessionLockedError):
        TargetLock(path).acquire()
    child.kill()


@needs_fork
def test_a_forked_child_does_not_keep_the_lock_after_its_parent_died(path: str) -> None:
    child = Child(
        path,
        """
        lock.acquire()
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        print(pid, flush=True)
        sys.stdin.readline()
        """,
    )
    grandchild = int(child.hear())
    try:
        child.process.kill()
        child.process.wait()
        os.kill(grandchild, 0)
        lock = TargetLock(path)
        lock.acquire()
        lock.release(remove=True)
    finally:
        os.kill(grandchild, signal.SIGKILL)
        child.kill()


@needs_fork
def test_a_program_that_was_started_does_not_keep_the_lock(path: str) -> None:
    child = Child(
        path,
        """
        import subprocess
        lock.acquire()
        program = subprocess.Popen(["sleep", "60"], close_fds=False)
        print(program.pid, flush=True)
        sys.stdin.readline()
        """,
    )
    program = int(child.hear())
    try:
        child.process.kill()
        child.process.wait()
        lock = TargetLock(path)
        lock.acquire()
        lock.release(remove=True)
    finally:
        os.kill(program, signal.SIGKILL)
        child.kill()


# --- the race --------------------------------------------------------------------------------------


RACER = """
    import fcntl, random
    # A lock of another kind is the witness. It was opened first, and descriptors are closed in
    # order, so a killed process drops the witness before the lock that is tried here.
    witness = os.open(path + ".witness", os.O_RDWR | os.O_CREAT)
    from safeh5.errors import SessionLockedError
    print("ready", flush=True)
    sys.stdin.readline()
    end, won = time.monotonic() + 2.5, 0
    while time.monotonic() < end:
        try:
            lock.acquire()
        except SessionLockedError:
            continue
        try:
            fcntl.lockf(witness, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("TWO HOLDERS", flush=True)
            os._exit(1)
        won += 1
        time.sleep(random.choice([0, 0.0005, 0.003]))
        fcntl.lockf(witness, fcntl.LOCK_UN)
        lock.release(remove=random.random() < 0.7)
    print("won", won, flush=True)
"""


@needs_posix
def test_many_processes_race_and_only_one_ever_holds_the_lock(path: str) -> None:
    racers = [Child(path, RACER) for _ in range(7)]
    doomed = racers[:3]
    assert [racer.hear() for racer in racers] == ["ready"] * 7
    for racer in racers:
        racer.tell()
    # Holders are killed as they come, openers and releasers too.
    for racer in doomed:
        time.sleep(random.uniform(0.3, 0.6))
        os.kill(racer.process.pid, signal.SIGKILL)
    words = [racer.hear() for racer in racers]
    for racer in racers:
        racer.kill()
    assert "TWO HOLDERS" not in words
    survivors = [word for word in words if word.startswith("won")]
    assert len(survivors) >= 4
    assert sum(int(word.split()[1]) for word in survivors) > 100
    lock = TargetLock(path)
    lock.acquire()
    lock.release(remove=True)
