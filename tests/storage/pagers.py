"""A pager as libhdf5 uses it, and one whose disk is recorded, to cut the power anywhere."""

from __future__ import annotations

import os
from pathlib import Path

from safeh5.storage import Storage
from safeh5.storage.pager import Pager, read_redo, slot_path
from safeh5.storage.redo import SLOTS
from tests.calm import Calm
from tests.storage.powercut import Disk, Event, RecordingStorage, disk_of, states

SESSION = bytes(range(16))
OTHER = bytes(16)


def seen(pager: Pager) -> bytes:
    """The file as libhdf5 sees it."""
    return pager.peek(0, pager.size)


def put(pager: Pager, offset: int, data: bytes) -> None:
    """Write as libhdf5 does."""
    pager.seek(offset, 0)
    pager.write(data)


def got(pager: Pager, offset: int, size: int) -> bytes:
    """Read as libhdf5 does."""
    data = bytearray(size)
    pager.seek(offset, 0)
    pager.readinto(data)
    return bytes(data)


def restored(path: Path, storage: Storage | None = None) -> bytes | None:
    """The bytes of the last checkpoint, as recovery finds it; None for none."""
    storage = storage or Calm()
    redo = read_redo(storage, path, SESSION)
    if redo is None:
        return None
    with Pager.restore(storage, path, redo):
        pass
    return path.read_bytes()


class Run:
    """A pager whose disk is recorded from one checkpoint to the end of the next."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "staging.h5"
        self.storage = RecordingStorage()
        self.pager = Pager.create(self.storage, self.path)
        self.applied = 0
        self.old: bytes | None = None
        self.new = b""
        self.base: Disk = {}

    def checkpoint(self) -> None:
        self.applied += 1
        self.new = seen(self.pager)
        self.pager.checkpoint(self.storage, SESSION, self.applied)
        assert self.path.read_bytes() == self.new

    def settle(self) -> None:
        """What follows is recorded."""
        self.checkpoint()
        self.old, self.base = self.new, disk_of(self.path.parent)
        self.storage.events.clear()

    def cut_everywhere(self, ground: Path) -> set[str]:
        """Cut the power after each effect; the file is the old checkpoint or the new, as it must be.

        Returns which were found.
        """
        found, events = set(), self.storage.events
        slot = slot_path(self.path, self.applied % SLOTS)
        for cut in range(len(events) + 1):
            sure = _is_decided(events[:cut], slot)
            for which, disk in states(self.base, events[:cut]):
                content = restored(written(disk, ground, self.path.name))
                where = f"cut after {cut} of {len(events)} effects, with {which}"
                assert content in ((self.new,) if sure else (self.new, self.old)), where
                found.add("new" if content == self.new else "old")
        return found


def _is_decided(events: list[Event], slot: str) -> bool:
    """Whether the redo slot is whole, and durable under its name."""
    if Event("sync", slot) not in events:
        return False
    after = events[events.index(Event("sync", slot)) :]
    return Event("create", slot) not in events or any(event.effect == "sync_directory" for event in after)


def written(disk: Disk, ground: Path, name: str) -> Path:
    for path in ground.iterdir():
        path.unlink()
    for path, content in disk.items():
        (ground / os.path.basename(path)).write_bytes(content)
    return ground / name
