"""Free space: what is refused before it is written, and what the reserve is for."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

import safeh5
from safeh5.errors import DiskFullError, InvalidOptionError
from safeh5.options import KIB, MIB, DiskOptions
from safeh5.recovery import Condition
from safeh5.session import Session, State
from safeh5.session.disk import DiskState
from safeh5.testing.faults import Fault, FaultyStorage
from safeh5.testing.small_disk import SmallDisk
from safeh5.testing.world import (
    batches,
    dead_session,
    entries,
    held,
    held_in,
    make_old,
    sidecar,
    snapshot,
    write_batch,
)


@pytest.fixture
def disk() -> SmallDisk:
    return SmallDisk()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "run.h5"


def reserve(target: Path) -> Path:
    return sidecar(target) / "reserve"


# --- thresholds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("applier", ["inline", "process"])
def test_a_record_that_would_leave_too_little_is_not_written_and_the_session_goes_on(
    target: Path, disk: SmallDisk, applier: str
) -> None:
    session = safeh5.open(target, storage=disk, applier=applier)
    frames = session.stream("/frames", shape=(256 * KIB,), dtype="u1")
    frames.append(np.zeros(256 * KIB, "u1"))
    disk.free = 16 * MIB + 100 * KIB
    session.disk  # noqa: B018
    before = session.last_lsn
    session._log.disk._next_look = 0  # as after a second
    with pytest.raises(DiskFullError) as caught:
        frames.append(np.ones(256 * KIB, "u1"))
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.needed is not None and caught.value.needed >= 256 * KIB
    assert caught.value.missing == caught.value.needed - 100 * KIB
    assert "Nothing was written" in str(caught.value) and str(caught.value.missing) in str(caught.value)
    assert (session.last_lsn, len(frames)) == (before, 1)
    disk.free += caught.value.missing
    frames.append(np.full(256 * KIB, 2, "u1"))
    assert list(session.file["frames"][:, 0]) == [0, 2]
    session.commit()


def test_a_warning_comes_once_for_each_crossing_and_says_how_long_it_lasts(
    target: Path, disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    session = safeh5.open(target, storage=disk, warn_below=1000 * MIB, refuse_below=10 * MIB)
    for free in (2000, 990, 950, 1010, 980, 1200, 900):
        disk.free = free * MIB
        session._log.disk._next_look = 0
        write_batch(session, free)
    warnings = [r.getMessage() for r in caplog.records if "nearly full" in r.getMessage()]
    assert len(warnings) == 2, "1010 MiB is not far enough away to warn again at 980"
    assert str(990 * MIB) in warnings[0] and "records are refused in" in warnings[0]
    session.rollback()


def test_what_the_session_says_of_the_disk_is_what_it_is(target: Path, disk: SmallDisk) -> None:
    session = safeh5.open(target, storage=disk, warn_below=100 * MIB, refuse_below=MIB, reserve=64 * KIB)
    assert (session.disk.state, session.disk.reserve) == (DiskState.OK, 0)
    write_batch(session, 0)
    for free, state in ((99 * MIB, DiskState.LOW), (MIB, DiskState.FULL), (10 << 30, DiskState.OK)):
        disk.free = free
        status = session.disk
        assert (status.state, status.free) == (state, free)
        assert (status.warn_below, status.refuse_below, status.reserve) == (100 * MIB, MIB, 64 * KIB)
    session.rollback()


@pytest.mark.parametrize(
    ("size", "thresholds"),
    [
        (4 << 40, (1024 * MIB, 16 * MIB, MIB)),
        (64 * MIB, (64 * MIB // 20, 64 * MIB // 100, 256 * KIB)),
        (0, (0, 0, 0)),
    ],
)
def test_thresholds_follow_the_size_of_the_disk(size: int, thresholds: tuple[int, int, int]) -> None:
    assert DiskOptions().of(size) == thresholds
    assert DiskOptions(5, 7, 9).of(size) == (7, 7, 9)
    with pytest.raises(InvalidOptionError):
        DiskOptions(reserve=-1)


def test_looking_at_the_disk_is_rare(target: Path, disk: SmallDisk) -> None:
    session = safeh5.open(target, storage=disk, durability="flush")
    disk.looks = 0
    stream = session.stream("/rows", shape=(128,), dtype="f8")
    for _ in range(1000):
        stream.append(np.zeros(128))
    assert disk.looks <= 10
    session.rollback()


# --- the reserve ------------------------------------------------------------------------------------


def ended_by(session: Session, way: str) -> None:
    if way == "SIGTERM":
        session.seal_now("SIGTERM")
        session._workspace.drop()  # as the end of the process does
    else:
        getattr(session, way)()


@pytest.mark.parametrize("way", ["suspend", "commit", "rollback", "SIGTERM"])
@pytest.mark.parametrize("applier", ["inline", "process"])
def test_a_session_can_be_ended_when_others_have_filled_the_disk(
    target: Path, disk: SmallDisk, way: str, applier: str
) -> None:
    old = make_old(target)
    session = safeh5.open(target, storage=disk, applier=applier, refuse_below=0)
    write_batch(session, 0)
    assert reserve(target).stat().st_size == MIB and reserve(target).stat().st_blocks * 512 >= MIB
    disk.full = True
    with pytest.raises(DiskFullError):
        write_batch(session, 1)
    assert reserve(target).exists(), "a record is no reason to give up the reserve"
    ended_by(session, way)
    disk.full = False
    if way == "commit":
        assert held(target) == batches(0, old=True)
    else:
        assert target.read_bytes() == old
    if way in ("suspend", "SIGTERM"):
        assert safeh5.status(target).condition is Condition.SUSPENDED
        safeh5.recover(target)
        assert held(target) == batches(0, old=True)
    assert entries(target) == []


def test_the_reserve_is_taken_again_when_there_is_room(target: Path, disk: SmallDisk) -> None:
    session = safeh5.open(target, storage=disk)
    write_batch(session, 0)
    assert session._log.disk.release() and not reserve(target).exists()
    disk.free = 16 * MIB + 512 * KIB
    session._log.disk._next_look = 0
    write_batch(session, 1)
    assert not reserve(target).exists(), "what records may still use is not taken from them"
    disk.free = 32 * MIB
    session._log.disk._next_look = 0
    write_batch(session, 2)
    assert session.disk.reserve == MIB
    session.rollback(keep=True)
    (kept,) = target.parent.glob("*rolledback*")
    assert not (kept / "reserve").exists()


def test_what_ends_a_session_is_tried_again_with_the_reserve_and_once_that_is_used_no_more(
    target: Path,
) -> None:
    calls = []

    def full() -> None:
        calls.append(None)
        raise DiskFullError("the disk is full", path=target)

    with safeh5.open(target) as session:
        write_batch(session, 0)
        assert reserve(target).exists()
        for expected in (2, 3):
            with pytest.raises(DiskFullError):
                session._log.disk.with_reserve(full)
            assert len(calls) == expected and not reserve(target).exists()
    assert held(target) == batches(0)


def test_without_room_for_a_reserve_the_session_works_and_says_so(
    target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = FaultyStorage(Fault("allocate", times=None, error=errno.ENOSPC))
    with safeh5.open(target, storage=storage) as session:
        for number in range(3):
            session._log.disk._next_look = 0
            write_batch(session, number)
        assert session.disk.reserve == 0
    assert held(target) == batches(0, 1, 2)
    assert sum("nothing is set aside" in r.getMessage() for r in caplog.records) == 1


def test_a_session_that_only_looks_takes_no_reserve(target: Path) -> None:
    make_old(target)
    session = safeh5.open(target)
    assert held_in(session.file) == {"old"}
    assert not reserve(target).exists()
    session.rollback()


# --- commit and recovery ----------------------------------------------------------------------------


def test_a_commit_without_room_touches_nothing_and_works_when_there_is_room(
    target: Path, disk: SmallDisk
) -> None:
    make_old(target)
    session = safeh5.open(target, storage=disk, refuse_below=0, reserve=4096)
    write_batch(session, 0)
    frames = session.stream("/frames", shape=(MIB,), dtype="u1", chunks=(1, 1000))
    frames.append(np.arange(MIB) % 251)
    before, lsn = snapshot(target.parent), session.last_lsn
    disk.free = 100 * KIB
    with pytest.raises(DiskFullError) as caught:
        session.commit()
    assert caught.value.missing and str(caught.value.missing) in str(caught.value)
    assert snapshot(target.parent) == before
    assert (session.state, session.last_lsn) == (State.OPEN, lsn)
    disk.free += caught.value.missing
    session.commit()
    assert target.stat().st_size > MIB


def test_a_commit_counts_the_copy_of_a_target_that_was_not_made_yet(target: Path, disk: SmallDisk) -> None:
    make_old(target)
    with target.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(os.urandom(3 * MIB))
    with safeh5.open(target) as session:
        write_batch(session, 0)
        session.suspend()
    (sidecar(target) / "staging.h5").unlink()
    session = safeh5.open(target, resume=True, storage=disk)
    disk.free = 2 * MIB
    if not disk.shares_blocks(target.parent):
        with pytest.raises(DiskFullError) as caught:
            session.commit()
        assert caught.value.needed is not None and caught.value.needed > 3 * MIB - 64 * KIB
        assert session.state is State.OPEN
    disk.free = 10 << 30
    session.commit()
    assert held(target) == batches(0, old=True)


def test_recovery_on_a_full_disk_says_how_much_to_free_and_leaves_everything(tmp_path: Path) -> None:
    target = dead_session(tmp_path / "dead", 0, 1, old=True)
    reserve(target).unlink(missing_ok=True)
    old = target.read_bytes()
    before = {name: data for name, data in snapshot(target.parent).items() if "staging" not in name}
    storage = FaultyStorage(Fault("write_at", times=None, error=errno.ENOSPC))
    with pytest.raises(DiskFullError) as caught:
        safeh5.recover(target, storage=storage)
    assert caught.value.needed is not None and "bytes are needed" in str(caught.value)
    after = {name: data for name, data in snapshot(target.parent).items() if "staging" not in name}
    assert (after, target.read_bytes()) == (before, old)
    safeh5.recover(target)
    assert held(target) == batches(0, 1, old=True) and entries(target) == []


def test_recovery_on_a_full_disk_uses_the_reserve_of_the_session(tmp_path: Path) -> None:
    target = dead_session(tmp_path / "dead", 0, 1, old=True)
    assert reserve(target).exists()
    storage = SmallDisk()
    storage.full, storage.reserves = True, [reserve(target)]
    safeh5.recover(target, storage=storage)
    assert held(target) == batches(0, 1, old=True) and entries(target) == []


def test_a_target_without_room_for_its_copy_is_refused_before_a_byte_is_copied(
    target: Path, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safeh5.storage import copying

    make_old(target)
    monkeypatch.setattr(copying, "_reflink", lambda *_: False)
    session = safeh5.open(target, refuse_below=0)
    usage = copying.shutil.disk_usage(target.parent)
    monkeypatch.setattr(copying.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    monkeypatch.setattr(copying, "_copy_block", lambda *_: pytest.fail("copying began"))
    with pytest.raises(DiskFullError) as caught:
        write_batch(session, 0)
    monkeypatch.undo()
    assert caught.value.needed == target.stat().st_size and caught.value.missing == caught.value.needed - 1000
    write_batch(session, 0)
    session.commit()
    assert held(target) == batches(0, old=True)


def test_a_disk_that_is_full_is_said_to_be_so_once_and_so_is_that_there_is_room_again(
    target: Path, disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    session = safeh5.open(target, storage=disk, warn_below=100 * MIB, refuse_below=10 * MIB)
    for free in (9, 8, 200):
        disk.free = free * MIB
        session._log.disk._next_look = 0
        try:
            write_batch(session, free)
        except DiskFullError:
            assert free < 10 and session.disk.state is DiskState.FULL
    told = [r.getMessage() for r in caplog.records if str(target) in r.getMessage()]
    assert [word for text in told for word in ("is full", "room again") if word in text] == [
        "is full",
        "room again",
    ]
    session.commit()
    assert held(target) == batches(200)


def test_how_long_the_disk_lasts_is_not_said_before_anything_is_known_of_it(target: Path) -> None:
    storage = FaultyStorage(Fault("free_space"))
    session = safeh5.open(target, storage=storage)
    assert session.disk.seconds_left is None and session.disk.free > 0
    session.rollback()
