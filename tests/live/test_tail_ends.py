"""How a tail ends, and how soon it shows what another process writes."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import safeh5
from safeh5 import TailEnd
from safeh5.session import Session
from tests.live.tails import drained, numbers, row, rows
from tests.load import slowness

ROOT = Path(__file__).parents[2]


# --- how it ends ------------------------------------------------------------------------------------------


def ended(target: Path, end: Callable[[Session], object]) -> tuple[list[int], TailEnd | None]:
    """What a tail in a thread shows until it ends, of ten items and an `end`."""
    session = safeh5.open(target)
    stream = rows(session)
    stream.append(row(0))
    shown: list[int] = []
    with safeh5.live(target) as view:
        tail = view.tail("/rows", 0)
        thread = threading.Thread(target=lambda: shown.extend(at for at, _ in tail))  # type: ignore[misc]
        thread.start()
        for number in range(1, 10):
            stream.append(row(number))
        end(session)
        thread.join(20)
        assert not thread.is_alive()
    return shown, tail.ended


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_tail_that_first_looks_after_the_end_says_how_it_was(target: Path, end: str) -> None:
    session = safeh5.open(target)
    rows(session).append(row(0))
    with safeh5.live(target) as view:
        tail = view.tail("/rows", 0)
        getattr(session, end)()
        assert [at for at, _ in tail] in ([], [0])
        assert tail.ended is {"commit": TailEnd.COMMITTED, "rollback": TailEnd.ROLLED_BACK}[end]


@pytest.mark.parametrize("end", ["commit", "rollback", "suspend"])
def test_a_tail_ends_after_the_last_item_and_says_how(target: Path, end: str) -> None:
    shown, why = ended(target, lambda session: getattr(session, end)())
    assert (
        why
        is {"commit": TailEnd.COMMITTED, "rollback": TailEnd.ROLLED_BACK, "suspend": TailEnd.SUSPENDED}[end]
    )
    assert shown == list(range(len(shown)))
    assert end == "rollback" or len(shown) == 10


def test_a_tail_that_was_asleep_when_the_session_ended_shows_the_rest(target: Path) -> None:
    session = safeh5.open(target)
    stream = rows(session)
    stream.append(row(0))
    with safeh5.live(target) as view:
        tail = view.tail("/rows", 0)
        assert drained(tail) == numbers(0, 1)
        for number in range(1, 5):
            stream.append(row(number))
        session.commit()
        with safeh5.open(target) as following:
            rows(following).append(row(5))
            assert drained(tail, 0.5) == numbers(1, 5) and tail.ended is TailEnd.COMMITTED
        again = safeh5.open(target)
        rows(again).append(row(6))
        asleep = view.tail("/rows")
        rows(again).append(row(7))
        again.rollback()
        assert drained(asleep, 0.5) == [] and asleep.ended is TailEnd.ROLLED_BACK


def test_a_timeout_ends_the_iteration_for_now(target: Path) -> None:
    with safeh5.open(target) as session, safeh5.live(target) as view:
        stream = rows(session)
        tail = view.tail("/rows", timeout=0.05)
        assert list(tail) == [] and tail.ended is None
        stream.append(row(0))
        assert [at for at, _ in tail] == [0] and tail.ended is None


@pytest.mark.parametrize("wait", [False, True])
def test_a_tail_of_a_suspended_session_ends_or_waits_for_it_to_be_resumed(target: Path, wait: bool) -> None:
    session = safeh5.open(target)
    rows(session).append(row(0))
    with safeh5.live(target) as view:
        tail = view.tail("/rows", 0, timeout=2, wait_for_resume=wait)
        session.suspend()
        assert next(tail).at == 0
        if not wait:
            assert list(tail) == [] and tail.ended is TailEnd.SUSPENDED
            return
        with safeh5.open(target, resume=True) as again:
            rows(again).append(row(1))
            assert next(tail).at == 1
            again.commit()
        assert list(tail) == [] and tail.ended is TailEnd.COMMITTED


# --- another process, in time ------------------------------------------------------------------------------

_WRITER = """
import json, sys, time, numpy as np, safeh5
session = safeh5.open(sys.argv[1], applier="process")
stream = session.stream("/rows", (1000,), "i4")
print("ready", flush=True)
sys.stdin.readline()
times = []
for number in range(int(sys.argv[2])):
    stream.append(np.full(1000, number, "i4"))
    times.append(time.monotonic())
    time.sleep(0.004)
print(json.dumps(times), flush=True)
sys.stdin.readline()
session.commit()
"""


def writer(target: Path, count: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(target), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_an_item_is_seen_within_milliseconds_of_its_acknowledgement(target: Path) -> None:
    process = writer(target, 200)
    with safeh5.live(target) as view, view.tail("/rows") as tail:
        say(process)
        seen = []
        for _ in range(200):
            item = tail.poll(10)
            assert item is not None
            seen.append(time.monotonic())
            assert item.at == len(seen) - 1 and (item.data == item.at).all()
        assert process.stdout is not None
        late = [a - b for a, b in zip(seen, json.loads(process.stdout.readline()), strict=True)]
        # The quicker half: what others do to the machine meanwhile makes single items late.
        quick = statistics.median(sorted(late)[: len(late) // 2])
        assert quick < 0.01 * slowness(), f"quicker half {quick * 1e3:.2f} ms, max {max(late) * 1e3:.2f} ms"
        say(process)
        assert list(tail) == [] and tail.ended is TailEnd.COMMITTED
    process.wait()
    process.communicate()


def test_a_tail_ends_when_the_writer_is_killed_with_everything_it_acknowledged(target: Path) -> None:
    process = writer(target, 50)
    with safeh5.live(target) as view, view.tail("/rows") as tail:
        say(process)
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert drained(tail) == numbers(0, 50)
        assert list(tail) == [] and tail.ended is TailEnd.INTERRUPTED
    safeh5.recover(target)
