"""Redo slots that may not be on disk, whatever the page cache says: nobody places pages from them."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from safeh5.storage.pager import Pager, read_redo, slot_path
from safeh5.storage.redo import PAGE
from safeh5.testing.faults import Fault, FaultyStorage

SESSION = bytes(range(16))


def checkpointed(path: Path, storage: FaultyStorage) -> Pager:
    """A staging file with one checkpoint, and a page that waits for the next."""
    pager = Pager.create(storage, path)
    pager.patch(0, bytes(PAGE))
    pager._end = PAGE
    pager.checkpoint(storage, SESSION, 1)
    pager.patch(0, b"\1" * PAGE)
    return pager


def test_a_slot_whose_sync_failed_is_never_restored_from(tmp_path: Path) -> None:
    path = tmp_path / "staging.h5"
    # Files are synced in the order: staging, slot, staging; this is the slot of the second checkpoint.
    storage = FaultyStorage(Fault("sync", nth=2, error=errno.EIO, path="redo", times=1))
    pager = checkpointed(path, storage)
    with pytest.raises(OSError):
        pager.checkpoint(storage, SESSION, 2)
    pager.close()
    found = read_redo(storage, path, SESSION)
    assert found is not None and found.applied == 1


def test_a_slot_is_on_disk_before_pages_are_placed_from_it(tmp_path: Path) -> None:
    # Its writer may have been killed before its own sync.
    path = tmp_path / "staging.h5"
    storage = FaultyStorage()
    pager = checkpointed(path, storage)
    pager.checkpoint(storage, SESSION, 2)
    pager.close()
    redo = read_redo(storage, path, SESSION)
    assert redo is not None
    storage.calls.clear()
    Pager.restore(storage, path, redo).close()
    effects = [(call.effect, call.path) for call in storage.calls]
    synced = next(i for i, (effect, where) in enumerate(effects) if effect == "sync_path")
    placed = next(i for i, (effect, where) in enumerate(effects) if effect in ("write_at", "write"))
    assert effects[synced][1] == slot_path(path, redo.sequence % 2) and synced < placed
