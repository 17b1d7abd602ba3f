"""What a session costs on a large target: nothing for looking, a reflink or one copy for the first change."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import TargetChangedError
from safeh5.events import Progress, ProgressEvent, silent
from safeh5.storage import CopyMethod, Storage, StrPath
from safeh5.testing.world import batches, entries, held, held_in, make_old, sidecar, write_batch
from tests.disk.conftest import MakeDisk


class CopyingStorage(Storage):
    """The real disk, with a list of the copies that were made."""

    def __init__(self) -> None:
        self.copies: list[CopyMethod] = []

    def copy_file(self, source: StrPath, destination: StrPath, progress: Progress = silent) -> CopyMethod:
        self.copies.append(super().copy_file(source, destination, progress))
        return self.copies[-1]


@pytest.fixture
def storage() -> CopyingStorage:
    return CopyingStorage()


@pytest.mark.parametrize("applier", ["inline", "process"])
def test_looking_at_a_target_and_rolling_back_copies_nothing(
    tmp_path: Path, storage: CopyingStorage, applier: str
) -> None:
    target = tmp_path / "run.h5"
    old = make_old(target)
    session = safeh5.open(target, storage=storage, applier=applier)
    for _ in range(3):
        assert held_in(session.file) == {"old"}
    session.file.flush()
    assert storage.copies == [] and not (sidecar(target) / "staging.h5").exists()
    session.rollback()
    assert target.read_bytes() == old and entries(target) == []


@pytest.mark.parametrize("applier", ["inline", "process"])
def test_a_commit_after_only_looking_leaves_the_very_file(
    tmp_path: Path, storage: CopyingStorage, applier: str
) -> None:
    target = tmp_path / "run.h5"
    make_old(target)
    before = target.stat()
    with safeh5.open(target, storage=storage, applier=applier) as session:
        assert "old" in session.file
    after = target.stat()
    assert storage.copies == [] and (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("userblock", [0, 512])
def test_objects_taken_before_the_first_change_are_good_after_it(
    tmp_path: Path, storage: CopyingStorage, libver: str, userblock: int
) -> None:
    target = tmp_path / "run.h5"
    with h5py.File(target, "w", libver=libver, userblock_size=userblock) as file:
        file["old/data"] = np.arange(10)
        file["old"].attrs["kept"] = "yes"
        file.create_dataset("old/large", data=np.arange(50_000), chunks=(1000,), compression="gzip")
    before = target.read_bytes()
    session = safeh5.open(target, storage=storage)
    group, dataset = session.file["old"], session.file["old/large"]
    assert dataset[7] == 7
    write_batch(session, 0)
    assert len(storage.copies) == 1 and target.read_bytes() == before
    np.testing.assert_array_equal(dataset[()], np.arange(50_000))
    assert group.attrs["kept"] == "yes" and "b0" in group.file
    write_batch(session, 1)
    session.checkpoint()
    write_batch(session, 2)
    session.commit()
    assert len(storage.copies) == 1
    with h5py.File(target) as file:
        assert set(file) == batches(0, 1, 2, old=True)
        np.testing.assert_array_equal(file["old/large"][()], np.arange(50_000))


def test_a_target_that_others_changed_while_it_was_looked_at_is_not_copied(
    tmp_path: Path, storage: CopyingStorage
) -> None:
    target = tmp_path / "run.h5"
    make_old(target)
    session = safeh5.open(target, storage=storage)
    assert "old" in session.file
    with h5py.File(target, "r+") as file:
        file["theirs"] = 1
    with pytest.raises(TargetChangedError):
        write_batch(session, 0)
    assert storage.copies == []
    session.rollback()
    assert "theirs" in h5py.File(target)


def make_large(path: Path, mib: int) -> None:
    block = np.random.default_rng(0).integers(0, 256, 1 << 20, dtype="u1")
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", (mib, 1 << 20), "u1", chunks=(1, 1 << 20))
        for number in range(mib):
            data[number] = block
    os.sync()


def used(disk: Path) -> int:
    os.sync()
    return shutil.disk_usage(disk).used


@pytest.mark.root
@pytest.mark.parametrize(
    ("kind", "size", "method"),
    [
        ("xfs", 320, CopyMethod.REFLINK),
        ("btrfs", 400, CopyMethod.REFLINK),
        ("ext4", 256, CopyMethod.KERNEL),
    ],
)
def test_the_first_change_shares_the_blocks_where_it_can_and_copies_with_progress_where_not(
    make_disk: MakeDisk, storage: CopyingStorage, kind: str, size: int, method: CopyMethod
) -> None:
    disk = make_disk(kind, size)
    target = disk / "run.h5"
    make_large(target, 96)
    events: list[ProgressEvent] = []
    session = safeh5.open(target, storage=storage, progress=events.append)
    assert len(session.file["data"]) == 96 and not events
    before = used(disk)
    write_batch(session, 0)
    assert storage.copies == [method] and storage.shares_blocks(disk) == (method is CopyMethod.REFLINK)
    taken = used(disk) - before
    if method is CopyMethod.REFLINK:
        assert taken < 16 << 20, f"{taken} bytes for a copy that shares its blocks"
        assert len(events) == 1
    else:
        assert taken >= 96 << 20
        assert [event.done for event in events] == sorted(event.done for event in events)
        assert len(events) >= 6
    assert (events[-1].done, events[-1].task) == (events[-1].total, "copying")
    session.commit()
    with h5py.File(target) as file:
        assert set(file) == {"data", "b0"} and file["data"][95].any()


@pytest.mark.root
@pytest.mark.parametrize("applier", ["inline", "process"])
def test_a_target_that_fills_its_disk_can_be_added_to_where_blocks_are_shared(
    make_disk: MakeDisk, applier: str
) -> None:
    disk = make_disk("xfs", 320)
    target = disk / "run.h5"
    make_large(target, 180)
    with safeh5.open(target, applier=applier) as session:
        write_batch(session, 0)
    with h5py.File(target) as file:
        assert set(file) == {"data", "b0"}


def test_the_target_of_a_session_that_ends_in_between_is_old_or_new(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    make_old(target)
    for keep in (False, True):
        session = safeh5.open(target)
        assert "old" in session.file
        write_batch(session, 0)
        session.suspend()
        session = safeh5.open(target, resume=True)
        assert held_in(session.file) == batches(0, old=True)
        session.rollback(keep=keep)
        assert held(target) == {"old"}
