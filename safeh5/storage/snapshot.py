"""Reading the last checkpoint of a staging file while its writer goes on.

The checkpoint is the file with the pages of its redo slot over it: so it does
not matter whether the writer is just placing them. What the writer does next
is hold changes below the floor in memory and write behind it, so the bytes of
this checkpoint stay what they are until the writer places the pages of the
next one. That begins with a new redo slot; a reader that finds one after
reading knows that its view may have been torn, and says so in `stale`.
"""

from __future__ import annotations

from typing import Any, Final, Self

from safeh5.storage.files import Storage, StrPath
from safeh5.storage.handles import RandomFile
from safeh5.storage.pager import read_redo, slot_path
from safeh5.storage.redo import HEADER, PAGE, SLOTS, Redo
from safeh5.storage.staging import StagingFile

_SEQUENCE_AT: Final = slice(32, 40)


class SnapshotFile(StagingFile):
    """A read-only file object for h5py: one checkpoint, whole.

    Attributes
    ----------
    redo : Redo
        The checkpoint that is shown.
    """

    def __init__(self, file: RandomFile, storage: Storage, redo: Redo, shown: StrPath | None = None) -> None:
        super().__init__(file, shown)
        self.redo = redo
        self._storage = storage
        self._end = redo.end

    @classmethod
    def of(cls, storage: Storage, path: StrPath, session: bytes, shown: StrPath | None = None) -> Self | None:
        """The last checkpoint of the staging file at `path`; None when it has none."""
        redo = read_redo(storage, path, session)
        if redo is None:
            return None
        return cls(storage.open_random(path), storage, redo, shown)

    @property
    def stale(self) -> bool:
        """Whether a newer checkpoint was begun, so that what was read since may be torn."""
        slot = slot_path(self.path, (self.redo.sequence + 1) % SLOTS)
        if not self._storage.exists(slot):
            return False
        head = self._storage.read_bytes(slot, HEADER.size)
        return int.from_bytes(head[_SEQUENCE_AT], "little") > self.redo.sequence

    def _read_into(self, buffer: Any) -> int:
        view, offset = memoryview(buffer), self._cursor.tell()
        super()._read_into(buffer)
        first, last = offset // PAGE, (offset + len(view) - 1) // PAGE
        for number in range(first, last + 1):
            page = self.redo.pages.get(number)
            if page is not None:
                at = number * PAGE
                start, stop = max(at, offset), min(at + PAGE, offset + len(view))
                view[start - offset : stop - offset] = page[start - at : stop - at]
        return len(view)

    def _write(self, buffer: Any) -> int:
        # libhdf5 writes nothing to a file it opened for reading.
        return len(memoryview(buffer))
