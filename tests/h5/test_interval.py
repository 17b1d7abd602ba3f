"""Interval durability below h5py's objects: two threads, h5py's lock and the garbage collector."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import h5py

import safeh5
from safeh5.storage.interrupts import Uncollected, Uninterrupted

WRITER = """
    import gc, sys
    import h5py, safeh5
    from safeh5.h5 import journaled_file

    def collect_an_h5py_object(phase, info):
        with h5py._objects.phil:
            pass

    # Every few objects, in whichever thread is running, garbage is collected that has one of h5py's in it.
    gc.callbacks.append(collect_an_h5py_object)
    gc.set_threshold(3)
    with journaled_file(safeh5.open(sys.argv[1], "w", durability="interval", interval_ms=1)) as file:
        for i in range(1000):
            file.create_group(str(i))
    print("done")
"""


def test_a_writer_and_the_sync_of_its_journal_never_wait_for_each_other(tmp_path: Path) -> None:
    script = tmp_path / "writer.py"
    script.write_text(textwrap.dedent(WRITER))
    command = [sys.executable, str(script), str(tmp_path / "run.h5")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout == "done\n", done.stderr
    with h5py.File(tmp_path / "run.h5") as file:
        assert len(file) == 1000


def test_what_was_written_is_durable_within_the_interval_without_another_call(tmp_path: Path) -> None:
    with safeh5.open(tmp_path / "run.h5", "w", durability="interval", interval_ms=10) as session:
        for i in range(3):
            session.write(safeh5.MicroDataGroup(f"g{i}"))
            _wait_for(session)


def _wait_for(session: safeh5.Session) -> None:
    deadline = time.monotonic() + 20
    while session.durable_lsn < session.last_lsn:
        assert time.monotonic() < deadline, "the journal is not synced"
        time.sleep(0.005)


def test_garbage_is_collected_again_when_the_last_block_ends_in_whatever_order() -> None:
    first, second = Uncollected(), Uncollected()
    with first:
        second.__enter__()
    assert not gc.isenabled()
    with Uninterrupted():
        second.__exit__(None, None, None)
        assert not gc.isenabled()
    assert gc.isenabled()


def test_who_has_switched_the_collector_off_finds_it_off() -> None:
    gc.disable()
    try:
        with Uncollected(), Uninterrupted():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
