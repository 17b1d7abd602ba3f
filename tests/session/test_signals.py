"""Asked to end, or ended, a program leaves its sessions sealed, at once, and dies as it was told to."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import safeh5
from safeh5.recovery import Condition
from tests.load import slowness
from tests.support import batches, held, make_old, sidecar

ROOT = Path(__file__).parents[2]

HEAD = """
import os, signal, sys, threading, time, numpy as np, safeh5
from tests.load import slowness
from tests.support import operations, write_batch
target = sys.argv[1]
def ready(): os.write(1, b"ready\\n")
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "run.h5"
    make_old(path)
    return path


class Program:
    """A program with a session that has written batch 0; it says when it is ready."""

    def __init__(self, target: Path, body: str, **options: object) -> None:
        arguments = "".join(f", {name}={value!r}" for name, value in options.items())
        begin = f"session = safeh5.open(target{arguments})\nwrite_batch(session, 0)\n"
        self.process = subprocess.Popen(
            [sys.executable, "-c", HEAD + begin + textwrap.dedent(body), str(target)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True,
        )  # fmt: skip

    def terminate(self) -> float:
        """Send SIGTERM when it is ready; returns how long it took to die."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.errors()
        begun = time.monotonic()
        self.process.terminate()
        self.process.wait(30)
        return time.monotonic() - begun

    def wait(self) -> int:
        return self.process.wait(30)

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()


def condition(target: Path) -> Condition:
    return safeh5.recover(target, dry_run=True).before


BODIES = {
    "sleeping": "ready(); time.sleep(60)",
    "in a batch": """
        with session.batch():
            session.record(*next(operations(1)))
            ready()
            time.sleep(60)
        """,
    "at work": """
        stream = session.stream("/stream", (100,), "i4")
        session.checkpoint()
        for number in range(10_000_000):
            stream.append(np.full(100, number))
            if number == 20: ready()
        """,
    "at work in many threads": """
        stream = session.stream("/stream", (100,), "i4")
        def work():
            while True: stream.append(np.zeros(100))
        for _ in range(4): threading.Thread(target=work, daemon=True).start()
        time.sleep(0.2)
        ready()
        time.sleep(60)
        """,
}


def cases() -> Iterator[object]:
    """Everything with everything; in the quick run, each thing once or twice."""
    quick = {"sleeping": 0, "in a batch": 3, "at work": 1, "at work in many threads": 2}
    for name, body in BODIES.items():
        ways = itertools.product(["inline", "process"], ["record", "interval"])
        for number, (applier, durability) in enumerate(ways):
            marks = [pytest.mark.slow] if number not in (quick[name], 3 - quick[name]) else []
            yield pytest.param(body, applier, durability, marks=marks, id=f"{name}-{applier}-{durability}")


@pytest.mark.parametrize(("body", "applier", "durability"), list(cases()))
def test_sigterm_seals_within_a_second_and_the_program_dies_of_it(
    target: Path, body: str, applier: str, durability: str
) -> None:
    old = target.read_bytes()
    program = Program(target, body, applier=applier, durability=durability)
    before, seconds = slowness(), program.terminate()
    assert program.process.returncode == -signal.SIGTERM
    # A second of the program's own; the rest is for a busy machine.
    assert seconds < 2.0 * max(before, slowness())
    assert target.read_bytes() == old
    assert condition(target) is Condition.SUSPENDED, program.errors()
    safeh5.recover(target)
    with safeh5.open(target) as session:
        found = set(session.file) - {"stream"}
        assert found == batches(0, old=True)


def test_sigterm_seals_all_sessions(target: Path) -> None:
    other = target.with_name("other.h5")
    body = """
        second = safeh5.open(target.replace('run', 'other'))
        write_batch(second, 1)
        ready()
        time.sleep(60)
        """
    Program(target, body).terminate()
    assert condition(target) is condition(other) is Condition.SUSPENDED


@pytest.mark.parametrize("applier", ["inline", pytest.param("process", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "end", ["pass", "sys.exit(0)", "raise SystemExit(3)", "1 / 0", "del session; import gc; gc.collect()"]
)
def test_a_program_that_ends_without_a_commit_leaves_its_session_sealed(
    target: Path, end: str, applier: str
) -> None:
    program = Program(target, f"keep = session\n{end}", applier=applier)
    program.wait()
    assert condition(target) is Condition.SUSPENDED
    assert str(target) in program.errors() and not list(target.parent.glob("*.lock"))
    safeh5.recover(target)
    assert held(target) == batches(0, old=True)


def test_a_program_with_a_handler_of_its_own_keeps_it(target: Path) -> None:
    body = """
        session.commit()
        signal.signal(signal.SIGTERM, lambda *_: os._exit(42))
        session = safeh5.open(target)
        ready()
        time.sleep(60)
        """
    program = Program(target, body)
    program.terminate()
    assert program.process.returncode == 42
    assert condition(target) is Condition.INTERRUPTED


def test_a_program_that_ignores_sigterm_goes_on_ignoring_it(target: Path) -> None:
    body = """
        session.commit()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        session = safeh5.open(target)
        write_batch(session, 1)
        ready()
        time.sleep(0.5)
        session.commit()
        """
    program = Program(target, body)
    program.terminate()
    assert program.process.returncode == 0
    assert held(target) == batches(0, 1, old=True)


def test_the_handler_goes_with_the_last_session(target: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL:
        pytest.skip("somebody else has a handler here")
    one, two = safeh5.open(target), safeh5.open(target.with_name("other.h5"))
    one.rollback()
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    two.rollback()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("applier", [pytest.param("inline", marks=pytest.mark.slow), "process"])
@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_a_fork_of_the_program_does_not_seal_and_ends_as_it_likes(
    target: Path, end: str, applier: str
) -> None:
    body = f"""
        pid = os.fork()
        if pid == 0:
            {end}
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGTERM)
        write_batch(session, 1)
        session.commit()
        """
    program = Program(target, body, applier=applier)
    assert program.wait() == 0, program.errors()
    assert held(target) == batches(0, 1, old=True)
    assert not sidecar(target).exists()


def test_a_session_opened_in_another_thread_is_sealed_at_exit(target: Path) -> None:
    body = """
        def work():
            global second
            second = safeh5.open(target.replace("run", "other"))
            write_batch(second, 1)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        session.commit()
        """
    program = Program(target, body)
    assert program.wait() == 0, program.errors()
    assert condition(target.with_name("other.h5")) is Condition.SUSPENDED


def test_sigterm_many_times_is_sigterm_once(target: Path) -> None:
    program = Program(target, BODIES["at work"])
    assert program.process.stdout is not None
    program.process.stdout.readline()
    for _ in range(3):
        os.kill(program.process.pid, signal.SIGTERM)
    assert program.wait() == -signal.SIGTERM
    assert condition(target) is Condition.SUSPENDED
