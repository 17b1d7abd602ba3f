"""A full disk under `safeh5.File`: nothing that was done is lost, and the program may go on."""

from __future__ import annotations

import errno
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import DiskFullError
from safeh5.testing.faults import Fault, FaultyStorage


def full(path: str) -> Fault:
    return Fault("write_at" if "staging" in path else "append", path=path, times=None, error=errno.ENOSPC)


def values(target: Path) -> dict[str, float]:
    with h5py.File(target, "r") as file:
        return {name: float(np.max(file[name])) for name in file}


def test_a_full_journal_refuses_one_call_and_the_same_objects_go_on(target: Path) -> None:
    storage = FaultyStorage()
    with safeh5.File(target, "w", durability="record", storage=storage) as file:
        dataset = file.create_dataset("d", data=np.zeros(10))
        storage.replan(full("journal-"))
        for _ in range(3):
            with pytest.raises(OSError) as refused:
                dataset[0] = 1
            assert isinstance(refused.value, DiskFullError) and refused.value.errno == errno.ENOSPC
        storage.mend()
        dataset[0] = 2
    assert values(target) == {"d": 2}


def lose_the_file(target: Path) -> tuple[h5py.File, FaultyStorage]:
    """A file whose HDF5 file met a full disk."""
    storage = FaultyStorage()
    file = safeh5.File(target, "w", storage=storage)
    file["before"] = 1
    storage.replan(full("staging"))
    with pytest.raises(DiskFullError):
        for i in range(50):
            file[f"large{i}"] = np.full(200_000, i)
    storage.mend()
    return file, storage


def test_close_commits_after_the_disk_under_the_hdf5_file_was_full(target: Path) -> None:
    file, _ = lose_the_file(target)
    assert file, "there is something to close"
    file.close()
    assert values(target)["before"] == 1 and not file


def test_opening_the_path_again_goes_on_after_the_disk_was_full(target: Path) -> None:
    old, _ = lose_the_file(target)
    new = safeh5.File(target, "a")
    new["after"] = 2
    old.close()
    assert not old and new["after"][()] == 2, "the one that was lost does not end the other"
    new.close()
    assert values(target)["before"] == 1 and values(target)["after"] == 2


def test_a_lost_file_that_is_forgotten_is_committed_with_the_one_that_went_on(target: Path) -> None:
    old, _ = lose_the_file(target)
    new = safeh5.File(target, "a")
    del old
    new["after"] = 2
    assert not target.exists()
    del new
    assert values(target)["after"] == 2


def test_a_full_disk_at_close_leaves_the_file_open_to_be_closed_again(target: Path) -> None:
    storage = FaultyStorage()
    file = safeh5.File(target, "w", storage=storage)
    file["x"] = np.arange(100_000)
    storage.replan(full("staging"))
    with pytest.raises(DiskFullError):
        file.close()
    storage.mend()
    assert file and not target.exists()
    file.close()
    assert values(target) == {"x": 99_999}


def test_how_much_room_is_kept_is_said_as_for_a_session(target: Path) -> None:
    with safeh5.File(target, "w", warn_below=3 << 20, refuse_below=1 << 20, reserve=0) as file:
        disk = file.session.disk
        assert (disk.warn_below, disk.refuse_below, disk.reserve) == (3 << 20, 1 << 20, 0)
