"""Nobody who holds h5py's lock waits for a thread that may need it: locks, garbage, the interpreter's end."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from safeh5.session import threads
from safeh5.session.helper import Helper
from safeh5.storage.interrupts import Uncollected

RECORDING = """
    import gc, sys, threading
    import h5py, safeh5

    def collect_an_h5py_object(phase, info):
        with h5py._objects.phil:
            pass

    # Every few objects, in whichever thread is running, garbage is collected that has one of h5py's in it.
    gc.callbacks.append(collect_an_h5py_object)
    gc.set_threshold(3)
    with safeh5.open(sys.argv[1], "w", durability="record") as session:
        def write(number):
            for i in range(60):
                session.write(safeh5.MicroDataGroup(f"{number}-{i}"))
        writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
    gc.callbacks.clear()
    print("done")
"""

ENDING = """
    import threading, time
    from h5py.h5f import phil
    from safeh5.session.interval import IntervalSync

    class Last:
        "What the interpreter lets go of last, as it does with h5py's objects."
        def __del__(self):
            with phil:
                print("done", flush=True)

    def sync():
        with phil:
            inside.set()
            time.sleep(0.5)

    inside, last = threading.Event(), Last()
    interval = IntervalSync(sync, 1)
    interval.note()
    inside.wait()
    interval.stop()
"""


def run(script: str, *arguments: str) -> None:
    """A program that says "done" if it comes to its end."""
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "done\n", done.stderr


def test_threads_that_share_a_sync_never_wait_for_each_others_garbage(tmp_path: Path) -> None:
    run(RECORDING, str(tmp_path / "run.h5"))
    with h5py.File(tmp_path / "run.h5") as file:
        assert len(file) == 180


def test_the_interpreter_ends_though_a_thread_that_was_told_to_end_has_h5pys_lock() -> None:
    run(ENDING)


@pytest.fixture
def helper() -> Helper[int]:
    return Helper()


def test_a_helper_that_is_kept_by_a_lock_of_its_caller_is_not_waited_for(helper: Helper[int]) -> None:
    lock = threading.Lock()
    with lock, Uncollected():
        helper.begin(lambda: 1, lambda: lock.acquire(timeout=60))
        assert helper.result() == 1
        helper.begin(lambda: 2)
        assert helper.result() == 2
    helper.stop()


def test_what_the_helper_has_not_taken_its_caller_does(
    helper: Helper[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    late = threading.Event()
    here: list[int] = []

    def start(run: Callable[[], object], name: str) -> threading.Thread:
        def wait() -> None:
            late.wait(60)
            run()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        return thread

    monkeypatch.setattr(threads, "start", start)
    for number in range(2):
        helper.begin(lambda: here.append(threading.get_ident()) or 7)
        assert helper.result() == 7, number
    assert here == 2 * [threading.get_ident()]
    late.set()
    while helper._idle.locked():
        late.wait(0.01)
    done: list[int] = []
    helper.begin(lambda: done.append(0) or 8, lambda: done.append(1))
    assert helper.result() == 8
    helper.stop()


def test_an_error_of_the_work_is_raised_where_the_result_is_asked_for(helper: Helper[int]) -> None:
    for _ in range(50):
        helper.begin(lambda: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            helper.result()
        helper.begin(lambda: 3)
        assert helper.result() == 3
    helper.stop()


def test_without_a_thread_to_be_had_the_caller_does_the_work(
    helper: Helper[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> threading.Thread:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "start", refuse)
    for number in range(2):
        helper.begin(lambda: 5)
        assert helper.result() == 5, number
    helper.stop()
