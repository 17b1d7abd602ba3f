"""The staging file on disk: always a whole HDF5 file, with everything up to the last checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.applier import Place, Staging
from safeh5.errors import ApplyError
from safeh5.operations.control import FileCreation
from safeh5.operations.model import CreateGroup
from safeh5.options import CheckpointOptions, Durability, JournalOptions
from safeh5.recovery import replay
from safeh5.session.opening import Opening, open_session
from safeh5.storage import Storage
from safeh5.storage.pager import read_redo
from safeh5.testing.faults import Fault, FaultyStorage, Killed
from tests.support import batches, held, held_in, make_old, sidecar, write_batch

SESSION = bytes(range(16))


def staging_of(target: Path) -> Path:
    return sidecar(target) / "staging.h5"


@pytest.mark.parametrize(
    "creation",
    [
        {"libver": "earliest"},
        {"libver": "v110"},
        {"libver": "latest"},
        {"libver": "latest", "userblock_size": 512},
        {"libver": "earliest", "userblock_size": 2048},
        {"libver": "latest", "track_order": True},
    ],
    ids=str,
)
def test_after_each_checkpoint_anybody_can_open_the_file_on_disk(
    target: Path, creation: dict[str, Any]
) -> None:
    session = safeh5.open(target, "x", **creation)
    for number in range(4):
        write_batch(session, number)
        session.checkpoint()
        on_disk = staging_of(target).read_bytes()
        assert held(staging_of(target)) == batches(*range(number + 1))
        copy = target.with_name("copy.h5")
        copy.write_bytes(on_disk)
        with h5py.File(copy, "r+") as file:  # not marked as open for writing
            file["more"] = 1
    write_batch(session, 4)  # not checkpointed: not there
    assert held(staging_of(target)) == batches(0, 1, 2, 3)
    session.commit()
    assert held(target) == batches(0, 1, 2, 3, 4)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_checkpoint_of_a_copied_target_holds_the_old_content_too(target: Path, libver: str) -> None:
    with h5py.File(target, "w", libver=libver, userblock_size=1024) as file:
        file["old/data"] = np.arange(10)
        file["old"].attrs["kept"] = "yes"
    session = safeh5.open(target)
    for number in range(3):
        write_batch(session, number)
        session.checkpoint()
        assert held(staging_of(target)) == batches(*range(number + 1), old=True)
    with h5py.File(staging_of(target), "r") as file:
        assert file.userblock_size == 1024
    session.rollback()


def test_between_checkpoints_nothing_of_hdf5s_metadata_is_written(target: Path) -> None:
    storage = FaultyStorage()
    session = safeh5.open(target, "x", storage=storage, durability="flush")
    write_batch(session, 0)
    session.checkpoint()
    before = staging_of(target).read_bytes()
    storage.calls.clear()
    with session.batch():
        for number in range(3000):
            session.record(CreateGroup(path=f"/many{number}"))
    assert [call for call in storage.calls if call.effect == "write_at"] == []
    assert staging_of(target).read_bytes() == before
    assert len(session.file) == 3001
    session.checkpoint()
    with h5py.File(staging_of(target), "r") as file:
        assert len(file) == 3001
    session.rollback()


def test_memory_that_waits_for_a_checkpoint_is_bounded_and_given_back(target: Path) -> None:
    limit = 6 << 20
    journal = JournalOptions(durability=Durability.FLUSH)
    opening = Opening("x", checkpoints=CheckpointOptions(held_bytes=limit), journal=journal)
    session = open_session(target, opening, Storage())
    held_bytes, applied = [], set()
    for number in range(34):
        with session.batch():
            for part in range(500):
                session.record(CreateGroup(path=f"/g{number}-{part}"))
        staging = session._workspace.inline._staging  # type: ignore[attr-defined]
        held_bytes.append(staging.held_bytes)
        applied.add(staging.applied)
    assert max(held_bytes) < limit
    # And not after every batch from the first time on.
    assert 3 <= len(applied) < 10
    assert len(session.file) == 34 * 500
    session.rollback()


def test_a_checkpoint_is_made_after_so_many_bytes_and_so_much_time(target: Path) -> None:
    session = safeh5.open(target, "x", checkpoint_bytes=50)
    write_batch(session, 0)
    assert not staging_of(target).exists() or read_redo(Storage(), staging_of(target), b"") is None
    for number in range(1, 4):  # 20 bytes each
        write_batch(session, number)
    assert held(staging_of(target)) >= batches(0, 1)
    session.rollback()
    session = safeh5.open(target, "x", checkpoint_seconds=0.0)
    write_batch(session, 0)
    assert held(staging_of(target)) == batches(0)
    session.rollback()


# --- the pages below the applier ------------------------------------------------------------------


def place(directory: Path, storage: Storage) -> Place:
    return Place(storage, str(directory / "staging.h5"), "shown.h5", SESSION)


def fill(staging: Staging, *names: str) -> None:
    for name in names:
        staging.applier.apply(CreateGroup(path=f"/{name}"), b"", lsn=1)


def test_a_checkpoint_of_an_earlier_staging_file_is_never_used_for_the_next(tmp_path: Path) -> None:
    staging = Staging.create(place(tmp_path, Storage()), FileCreation())
    for number in range(3):
        fill(staging, f"g{number}")
        staging.checkpoint(number + 1)
    staging.drop()
    staging = Staging.create(place(tmp_path, Storage()), FileCreation())
    fill(staging, "other")
    staging.drop()
    assert Staging.last_checkpoint(place(tmp_path, Storage()), FileCreation()) is None


@pytest.mark.parametrize("effect", ["open_random", "write_at"])
def test_a_file_that_cannot_be_copied_to_be_changed_can_still_be_looked_at_and_be_copied_later(
    tmp_path: Path, effect: str
) -> None:
    old = make_old(tmp_path / "run.h5")
    storage = FaultyStorage(Fault(effect, path="staging.h5"))
    staging = Staging.over(place(tmp_path, storage), str(tmp_path / "run.h5"), FileCreation())
    staging._below.patch(len(old) - 1, old[-1:])  # as libhdf5 may, and it is held
    with pytest.raises(ApplyError):
        staging.own()
    assert staging.borrowed and held_in(staging.file) == {"old"}
    staging.own()
    assert not staging.borrowed
    fill(staging, "new")
    staging.finish(1)
    with h5py.File(tmp_path / "staging.h5") as file:
        assert set(file) == {"old", "new"}
    assert (tmp_path / "run.h5").read_bytes() == old


@pytest.mark.parametrize("checkpoints", [1, 2, 3])
def test_killed_while_a_staging_file_is_begun_anew_the_last_checkpoint_is_whole_or_gone(
    tmp_path: Path, checkpoints: int
) -> None:
    outcomes = set()
    for nth in range(1, 30):
        directory = tmp_path / str(nth)
        directory.mkdir()
        staging = Staging.create(place(directory, Storage()), FileCreation())
        names = []
        for number in range(checkpoints):
            names.append(f"g{number}")
            fill(staging, names[-1])
            staging.checkpoint(number + 1)
        staging.drop()
        storage = FaultyStorage(Fault(nth=nth, kill=True))
        try:
            Staging.create(place(directory, storage), FileCreation()).drop()
        except Killed:
            pass
        else:
            break
        found = Staging.last_checkpoint(place(directory, Storage()), FileCreation())
        outcomes.add(found is None)
        if found is not None:
            assert found.applied == checkpoints and sorted(found.file) == names
            found.drop()
    assert outcomes == {True, False}


def test_recovery_from_the_last_checkpoint_applies_what_came_after_it(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(target)
    session = safeh5.open(target)
    write_batch(session, 0)
    session.checkpoint()
    write_batch(session, 1)
    session._abandon()
    monkeypatch.setattr(replay, "REBUILD_BYTES", -1)
    with safeh5.open(target, resume=True) as session:
        assert held_in(session.file) == batches(0, 1, old=True)
    assert held(target) == batches(0, 1, old=True)
    assert os.listdir(target.parent) == ["run.h5"]
