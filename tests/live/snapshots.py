"""A pager and what each of its checkpoints holds, for readers that look at them."""

from __future__ import annotations

import os
from pathlib import Path

from safeh5.storage import Storage
from safeh5.storage.pager import Pager, read_redo
from safeh5.storage.readers import PREFIX
from safeh5.storage.redo import PAGE
from safeh5.storage.snapshot import SnapshotFile
from tests.calm import Calm

SESSION = bytes(range(16))


class Run:
    """A pager, and what each of its checkpoints holds."""

    def __init__(self, directory: Path, storage: Storage | None = None) -> None:
        self.path, self.storage = directory / "staging.h5", storage or Calm()
        self.pager = Pager.create(self.storage, self.path)
        self.number = 0

    def put(self, offset: int, data: bytes) -> None:
        self.pager.seek(offset, 0)
        self.pager.write(data)

    def checkpoint(self) -> bytes:
        self.number += 1
        content = self.pager.peek(0, self.pager.size)
        self.pager.checkpoint(self.storage, SESSION, self.number)
        return content

    def killed(self) -> None:
        """The writer is gone, and another goes on from the last checkpoint."""
        self.pager.close()
        redo = read_redo(self.storage, self.path, SESSION)
        assert redo is not None
        self.pager = Pager.restore(self.storage, self.path, redo)

    def look(self, **options: int) -> SnapshotFile:
        snapshot = SnapshotFile.of(self.storage, self.path, SESSION, **options)
        assert snapshot is not None
        return snapshot

    def reader_files(self) -> list[str]:
        return sorted(name for name in os.listdir(self.path.parent) if name.startswith(PREFIX))


def content(snapshot: SnapshotFile) -> bytes:
    """All bytes, read as libhdf5 does."""
    data = bytearray(snapshot.size)
    snapshot.seek(0, 0)
    snapshot.readinto(data)
    return bytes(data)


def filled(run: Run, pages: int = 6) -> bytes:
    run.put(0, b"".join(bytes([65 + number]) * PAGE for number in range(pages)))
    return run.checkpoint()
