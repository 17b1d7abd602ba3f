"""Batches are whole or gone, and durable when they are said to be."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

import safeh5
from safeh5.errors import (
    ApplyError,
    SessionStateError,
)
from safeh5.operations.model import CreateGroup, Delete
from tests.support import (
    REFUSED,
    batches,
    entries,
    held,
    held_in,
    operations,
    write_batch,
)

# --- batches --------------------------------------------------------------------------------------


def test_a_failed_batch_leaves_the_others(target: Path) -> None:
    with safeh5.open(target) as session:
        write_batch(session, 0)
        with pytest.raises(ZeroDivisionError), session.batch():
            for operation, payload in operations(1):
                session.record(operation, payload)
            raise ZeroDivisionError
        assert held_in(session.file) == batches(0)
        write_batch(session, 2)
        assert held_in(session.file) == batches(0, 2)
    assert held(target) == batches(0, 2)


def test_a_batch_that_hdf5_refuses_in_the_middle_leaves_no_trace(target: Path) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    with pytest.raises(ApplyError), session.batch():
        session.record(CreateGroup(path="/half"))
        session.record(REFUSED)
    assert held_in(session.file) == batches(0)
    session.suspend()
    assert safeh5.recover(target).records == 3
    assert held(target) == batches(0)


def test_a_refused_operation_caught_inside_its_batch_still_cancels_the_batch(target: Path) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    with pytest.raises(SessionStateError), session.batch():
        session.record(CreateGroup(path="/half"))
        with pytest.raises(ApplyError):
            session.record(REFUSED)
        session.record(CreateGroup(path="/more"))
    session.commit()
    assert held(target) == batches(0)


def test_a_part_of_a_batch_that_fails_and_is_caught_cancels_the_whole(target: Path) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    with pytest.raises(SessionStateError), session.batch():
        session.record(CreateGroup(path="/whole"))
        with pytest.raises(KeyboardInterrupt), session.batch():
            session.record(CreateGroup(path="/half"))
            raise KeyboardInterrupt
    write_batch(session, 1)
    session.suspend()
    safeh5.recover(target)
    assert held(target) == batches(0, 1)


def test_a_single_operation_that_hdf5_refuses_leaves_no_trace_and_objects_stay_open(target: Path) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    opened = session.file["b0/data"]
    for _ in range(3):
        with pytest.raises(ApplyError):
            session.record(REFUSED)
        with pytest.raises(ApplyError):
            session.record(CreateGroup(path="/b0"))
    assert opened.shape == (5,)
    write_batch(session, 1)
    session.commit()
    assert held(target) == batches(0, 1)


def test_a_batch_inside_a_batch_is_part_of_it(target: Path) -> None:
    session = safeh5.open(target)
    with pytest.raises(ZeroDivisionError), session.batch():
        write_batch(session, 0)
        raise ZeroDivisionError
    with session.batch():
        write_batch(session, 1)
        write_batch(session, 2)
    session.commit()
    assert held(target) == batches(1, 2)


def test_what_was_deleted_is_gone_after_commit_and_after_replay(target: Path, old: bytes) -> None:
    session = safeh5.open(target)
    session.record(Delete(path="/old"))
    write_batch(session, 0)
    session.suspend()
    safeh5.recover(target)
    assert held(target) == batches(0)


# --- durability -----------------------------------------------------------------------------------


def test_record_means_durable_on_return(target: Path) -> None:
    session = safeh5.open(target, durability="record")
    for number in range(3):
        write_batch(session, number)
        lsn = session.record(CreateGroup(path=f"/g{number}"))
        assert session.durable_lsn >= lsn
    session.rollback()


def test_what_write_returns_is_durable_by_the_sessions_own_account(target: Path) -> None:
    session = safeh5.open(target, durability="record")
    written = session.write(safeh5.MicroDataGroup("g", children=[safeh5.MicroDataset("d", np.arange(3))]))
    assert written.lsn <= session.durable_lsn
    session.rollback()


def test_flush_means_durable_at_sync(target: Path) -> None:
    session = safeh5.open(target, durability="flush")
    start = session.durable_lsn
    write_batch(session, 0)
    last = session.record(CreateGroup(path="/g"))
    assert session.durable_lsn == start
    assert session.sync() >= last and session.durable_lsn >= last
    session.rollback()


def test_interval_means_durable_within_the_interval(target: Path) -> None:
    session = safeh5.open(target, durability="interval", interval_ms=50)
    start = session.durable_lsn
    lsn = session.record(CreateGroup(path="/g"))
    assert session.durable_lsn == start
    deadline = time.monotonic() + 10
    while session.durable_lsn < lsn:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    session.commit()


@pytest.mark.parametrize("durability", ["record", "interval", "flush"])
def test_every_durability_ends_in_the_same_file(target: Path, durability: str) -> None:
    with safeh5.open(target, durability=durability) as session:
        for number in range(3):
            write_batch(session, number)
    assert held(target) == batches(0, 1, 2) and entries(target) == []


def test_an_interval_sync_that_is_pending_when_the_session_ends_reports_nothing(
    target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        with safeh5.open(target, "w", durability="interval", interval_ms=1) as session:
            for number in range(4):
                write_batch(session, number)
                time.sleep(0.001)
    time.sleep(0.02)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_threads_may_write_at_the_same_time_and_every_batch_is_whole(target: Path) -> None:
    session = safeh5.open(target, segment_bytes=4000)

    def work(first: int) -> None:
        for number in range(first, 40, 4):
            write_batch(session, number)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session.suspend()
    safeh5.recover(target)
    assert held(target) == batches(*range(40))
