"""Nothing of Python's own happens inside an `Uninterrupted` block."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType

import pytest

from safeh5.storage import Uninterrupted, interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


class Alarm(Exception):
    """What the handler of these tests raises."""


def _raise(number: int, frame: object) -> None:
    raise Alarm


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGTERM)}
    signal.signal(signal.SIGALRM, _raise)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    assert gc.isenabled()


def test_ctrl_c_inside_the_block_is_raised_at_its_end() -> None:
    reached = False
    with pytest.raises(KeyboardInterrupt), Uninterrupted():
        signal.raise_signal(signal.SIGINT)
        reached = True
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_that_raises_runs_after_the_block() -> None:
    reached = False
    with pytest.raises(Alarm), Uninterrupted():
        os.kill(os.getpid(), signal.SIGALRM)
        time.sleep(0.01)
        reached = True
    assert reached
    assert signal.getsignal(signal.SIGALRM) is _raise


def test_an_error_of_the_block_is_the_context_of_the_interrupt() -> None:
    with pytest.raises(Alarm) as caught, Uninterrupted():
        signal.raise_signal(signal.SIGALRM)
        raise ValueError("from the block")
    assert isinstance(caught.value.__context__, ValueError)


def test_every_signal_that_came_is_delivered() -> None:
    came: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    with pytest.raises(Alarm), Uninterrupted():
        signal.raise_signal(signal.SIGALRM)
        signal.raise_signal(signal.SIGTERM)
    assert came == [signal.SIGTERM]


def test_a_nested_block_delivers_nothing_early() -> None:
    reached = False
    with pytest.raises(Alarm), Uninterrupted():
        with Uninterrupted():
            signal.raise_signal(signal.SIGALRM)
        reached = True
    assert reached


def test_a_signal_that_is_ignored_or_fatal_is_left_alone() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with Uninterrupted():
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        signal.raise_signal(signal.SIGTERM)


def test_nothing_is_collected_inside_the_block() -> None:
    with Uninterrupted():
        assert not gc.isenabled()
        with Uninterrupted():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with Uninterrupted():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_in_another_thread_the_block_leaves_signals_to_the_main_thread() -> None:
    seen: list[object] = []

    def work() -> None:
        with Uninterrupted():
            seen.append(signal.getsignal(signal.SIGALRM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [_raise]


def test_under_a_storm_of_signals_no_handler_is_lost_and_no_block_is_entered() -> None:
    entered = alarms = 0
    inside = False
    end = time.monotonic() + 0.7

    def storm(number: int, frame: FrameType | None) -> None:
        nonlocal entered, alarms
        entered += inside
        alarms += 1
        # Only where it is expected: neither in what calls `blocks`, nor in a callback of the collector.
        while frame is not None and frame.f_code.co_filename == interrupts.__file__:
            frame = frame.f_back
        if frame is not None and frame.f_code is blocks.__code__:
            raise Alarm

    def blocks() -> None:
        nonlocal inside
        while time.monotonic() < end:
            with Uninterrupted():
                inside = True
                sum(range(50))
                inside = False

    signal.signal(signal.SIGALRM, storm)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.00017)
    try:
        while time.monotonic() < end:
            with suppress(Alarm):
                blocks()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert alarms
    assert not entered
    assert not inside
    # The handlers are back, or stand behind one that hands on to them until the next block ends.
    signal.signal(signal.SIGALRM, _raise)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    test_a_handler_that_raises_runs_after_the_block()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
