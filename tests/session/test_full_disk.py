"""A full disk: the batch is refused, and the session goes on when there is room."""

from __future__ import annotations

import errno
from pathlib import Path

import h5py
import pytest
from h5py import h5s

import safeh5
from safeh5.errors import (
    ApplyError,
    DiskFullError,
    SafeH5Error,
)
from safeh5.operations.model import CreateDataset, CreateGroup, WriteData
from safeh5.operations.values import encode_type
from safeh5.session import State
from safeh5.testing.faults import Fault, FaultyStorage
from tests.session.mendable import MendableStorage
from tests.support import (
    batches,
    entries,
    held,
    held_in,
    make_old,
    write_batch,
)


@pytest.mark.parametrize("short", [0, 1, 30, 100])
def test_a_journal_that_is_full_refuses_the_batch_and_goes_on_when_there_is_room(
    target: Path, storage: MendableStorage, short: int
) -> None:
    session = safeh5.open(target, storage=storage)
    write_batch(session, 0)
    storage.fail("append", "journal-", short=short)
    for _ in range(3):
        with pytest.raises(DiskFullError) as caught:
            write_batch(session, 1)
        assert str(target) in str(caught.value)
    assert session.state is State.OPEN
    storage.mend()
    write_batch(session, 2)
    assert held_in(session.file) == batches(0, 2)
    session.suspend()
    safeh5.recover(target)
    assert held(target) == batches(0, 2)


def test_a_journal_that_fills_up_at_any_frame_of_a_batch_loses_that_batch_and_no_other(
    tmp_path: Path,
) -> None:
    clean = FaultyStorage()
    session = safeh5.open(tmp_path / "clean.h5", storage=clean)
    write_batch(session, 0)
    before = sum(call.effect == "append" and "journal-" in call.path for call in clean.calls)
    session.rollback()
    for nth in range(1, 6):  # three operations, END, and a SYNC mark, which nobody misses
        target = tmp_path / f"{nth}.h5"
        fault = Fault("append", nth=before + nth, error=errno.ENOSPC, path="journal-")
        session = safeh5.open(target, storage=FaultyStorage(fault))
        write_batch(session, 0)
        if nth < 5:
            with pytest.raises(DiskFullError):
                write_batch(session, 1)
        else:
            write_batch(session, 1)
        write_batch(session, 2)
        session.suspend()
        safeh5.recover(target)
        assert held(target) == batches(*([0, 2] if nth < 5 else [0, 1, 2])), nth


SIZE = 1 << 20


BYTES = encode_type("u1")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("single", [False, True], ids=["batch", "single"])
def test_a_staging_file_that_fails_refuses_the_batch_and_is_made_again(
    target: Path, storage: MendableStorage, error: int, single: bool
) -> None:
    make_old(target)
    session = safeh5.open(target, storage=storage)
    space = h5s.create_simple((SIZE,)).encode()
    session.record(CreateDataset(path="/large", type=BYTES, space=space))
    session.record(WriteData(path="/large", type=BYTES), b"1" * SIZE)
    storage.fail("write_at", "staging.h5", error=error)
    for _ in range(3):
        with pytest.raises((DiskFullError, ApplyError)), session.batch():
            if not single:
                session.record(CreateGroup(path="/half"))
            session.record(WriteData(path="/large", type=BYTES), b"2" * SIZE)
    storage.mend()
    assert set(session.file) == {"old", "large"} and set(session.file["large"][()]) == {ord("1")}
    session.record(WriteData(path="/large", type=BYTES), b"3" * (SIZE // 2) + b"4" * (SIZE // 2))
    session.commit()
    with h5py.File(target) as file:
        assert set(file) == {"old", "large"} and set(file["large"][()]) == {ord("3"), ord("4")}


@pytest.mark.parametrize("effect", ["write_at", "sync", "create_random"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
def test_after_a_checkpoint_that_failed_the_next_batch_goes_through(
    target: Path, storage: MendableStorage, effect: str, error: int
) -> None:
    session = safeh5.open(target, storage=storage)
    write_batch(session, 0)
    session.checkpoint()
    write_batch(session, 1)
    storage.fail(effect, "staging", error=error)
    with pytest.raises((DiskFullError, ApplyError)):
        session.checkpoint()
    storage.mend()
    write_batch(session, 2)
    session.checkpoint()
    session.commit()
    assert held(target) == batches(0, 1, 2) and entries(target) == []


@pytest.mark.parametrize(
    ("effect", "path"), [("append", "journal-"), ("write_at", "staging"), ("copy_file", "staging")]
)
def test_a_commit_without_room_decides_nothing_and_works_when_there_is_room(
    target: Path, storage: MendableStorage, effect: str, path: str
) -> None:
    old = make_old(target)
    session = safeh5.open(target, storage=storage)
    if effect == "copy_file":
        storage.fail(effect, path)
        with pytest.raises(DiskFullError):
            write_batch(session, 0)
        storage.mend()
    write_batch(session, 0)
    storage.fail(effect, path)
    if effect != "copy_file":
        with pytest.raises(DiskFullError):
            session.commit()
    assert target.read_bytes() == old and session.state is State.OPEN
    storage.mend()
    session.commit()
    assert held(target) == batches(0, old=True) and entries(target) == []


@pytest.mark.parametrize("keep", [False, True])
def test_a_full_disk_does_not_stop_a_roll_back(target: Path, storage: MendableStorage, keep: bool) -> None:
    old = make_old(target)
    session = safeh5.open(target, storage=storage)
    write_batch(session, 0)
    storage.fail("append")
    session.rollback(keep=keep)
    assert target.read_bytes() == old and len(entries(target)) == keep


def test_a_session_that_finds_no_room_to_begin_leaves_nothing_behind(tmp_path: Path) -> None:
    for number in range(1, 100):
        target = tmp_path / f"d{number}" / "run.h5"
        target.parent.mkdir()
        old = make_old(target)
        storage = FaultyStorage(Fault(nth=number, error=errno.ENOSPC))
        try:
            session = safeh5.open(target, storage=storage)
        except SafeH5Error:
            assert target.read_bytes() == old and entries(target) == [], storage.calls[-3:]
            continue
        session.rollback()
        break
    assert number >= 8
