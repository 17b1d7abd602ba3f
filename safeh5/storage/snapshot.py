"""Reading the last checkpoint of a staging file while its writer goes on.

The checkpoint is the file with the pages of its redo slot over it: so it does
not matter whether the writer is just placing them. What the writer does next
is hold changes below the floor in memory and write behind it, so the bytes of
this checkpoint stay what they are until the pages of the next one are placed.

For what is overwritten then, a reader registers (`safeh5.storage.readers`): the
writer saves the old pages for it, and they are looked up after every read. A
reader that may not do so, because it may not write to the directory, sees the
checkpoint until the next one is begun, and an error from then on.

Invariants
----------
1. A read gives the bytes of the checkpoint, or raises.
2. A page is, in this order: what the redo slot has, the first old content that
   was saved, what stands in the file.
3. What was saved is looked at *after* the file was read: a page is saved
   before it is overwritten.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from typing import Final, Self

from safeh5.errors import LiveViewExpiredError
from safeh5.events import logger
from safeh5.options import SNAPSHOT_BYTES
from safeh5.storage.files import Storage, StrPath
from safeh5.storage.handles import RandomFile
from safeh5.storage.pager import completes, slot_path
from safeh5.storage.readonly import ReadOnlyFile
from safeh5.storage.redo import HEADER, PAGE, SLOTS, Redo, latest
from safeh5.storage.registration import Registration, expired
from safeh5.storage.undo import Header

_SEQUENCE_AT: Final = slice(32, 40)
_SECONDS: Final = 10.0
_TRIES: Final = 5


class SnapshotFile(ReadOnlyFile):
    """A read-only file object for h5py: one checkpoint, whole.

    Attributes
    ----------
    redo : Redo
        The checkpoint that is shown.
    made : int
        When it was made, nanoseconds since the epoch.
    """

    def __init__(
        self, file: RandomFile, storage: Storage, slot: bytes, redo: Redo, shown: StrPath | None = None
    ) -> None:
        super().__init__(file, shown)
        self.redo = redo
        self.made = 0
        self._storage = storage
        self._slot = slot
        self._end = redo.end
        self._registration: Registration | None = None
        self._why_expired: LiveViewExpiredError | None = None

    @classmethod
    def of(
        cls,
        storage: Storage,
        path: StrPath,
        session: bytes,
        shown: StrPath | None = None,
        *,
        limit: int = SNAPSHOT_BYTES,
    ) -> Self | None:
        """The last checkpoint of the staging file at `path`; None when it has none.

        Parameters
        ----------
        session : bytes
            Only checkpoints of this session count.
        shown : path-like, optional
            What h5py shows for the file's name.
        limit : int
            Bytes of old content that the writer may keep for this reader.
        """
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            try:
                snapshot = cls._open(storage, path, session, shown)
            except FileNotFoundError:
                return None
            if snapshot is None:
                return None
            snapshot._register(limit)
            if snapshot._is_newest():
                return snapshot
            # A checkpoint was made in between: its pages may have been placed before we were seen.
            snapshot.close()
        raise expired("checkpoints follow each other faster than they can be opened", path)

    @classmethod
    def _open(cls, storage: Storage, path: StrPath, session: bytes, shown: StrPath | None) -> Self | None:
        file = storage.open_readonly(path)
        try:
            slots = _read_slots(storage, path)
            redo = latest(slots, session)
            if redo is not None and completes(redo, file.size):
                slot = next(s[: HEADER.size] for s in slots if _sequence(s) == redo.sequence)
                snapshot = cls(file, storage, slot, redo, shown)
                snapshot.made = storage.stat(slot_path(path, redo.sequence % SLOTS)).st_mtime_ns
                return snapshot
        except BaseException:
            file.close()
            raise
        file.close()
        return None

    def _register(self, limit: int) -> None:
        header = Header(self.redo.session, self._file.inode, self.redo.sequence, self.redo.end, limit)
        for _ in range(_TRIES):
            try:
                self._registration = Registration.make(self._storage, self.path, header)
                return
            except FileNotFoundError:
                # The writer took the file for left over before it was locked; or everything is gone.
                continue
            except OSError as error:
                why = error.strerror or str(error)
                logger.info("%s is read without being known to its writer: %s", self.path, why)
                return

    @property
    def registered(self) -> bool:
        """Whether the writer knows of this reader."""
        return self._registration is not None

    @property
    def stale(self) -> bool:
        """Whether a newer checkpoint was begun."""
        return self._newer_begun()

    def check(self) -> None:
        """Raise if this checkpoint cannot be read any more.

        Raises
        ------
        LiveViewExpiredError
            It cannot.
        """
        if self._why_expired is None:
            try:
                if self._registration is None:
                    self._require_newest()
                elif not self._registration.look() and self._still_written():
                    raise expired("somebody removed its file from the session's directory", self.path)
            except LiveViewExpiredError as error:
                self._why_expired = error
        if self._why_expired is not None:
            raise self._why_expired.with_traceback(None)

    def close(self) -> None:
        """Close the file, after libhdf5 has."""
        super().close()
        if self._registration is not None:
            self._registration.close()

    # --- reading ----------------------------------------------------------------------

    def _complete(self, view: memoryview, offset: int, done: int) -> None:
        self.check()
        if not len(view):
            return
        have = done
        for number, page in self._pages_over(offset, len(view)):
            at = number * PAGE
            start, stop = max(at, offset) - offset, min(at + PAGE, offset + len(view)) - offset
            view[start:stop] = page[start + offset - at : stop + offset - at]
            if start <= have:
                have = max(have, stop)
        super()._complete(view, offset, have)

    def _pages_over(self, offset: int, size: int) -> Iterator[tuple[int, bytes | bytearray]]:
        """The pages of a range that are not, or not surely, what stands in the file; in order."""
        wanted = range(offset // PAGE, (offset + size - 1) // PAGE + 1)
        saved: Collection[int] = self._registration.numbers() if self._registration is not None else ()
        found = {n for pages in (self.redo.pages, saved) for n in _among(pages, wanted)}
        for number in sorted(found):
            page = self.redo.pages.get(number)
            if page is None:
                assert self._registration is not None
                page = self._registration.page(number)
            yield number, page

    # --- whether it still is the last checkpoint ----------------------------------------

    def _require_newest(self) -> None:
        if not self._is_newest():
            raise expired(
                "the next checkpoint has begun, and the writer does not know of this reader", self.path
            )

    def _still_written(self) -> bool:
        """Whether the file still is the staging file, so that the writer may overwrite what is shown."""
        try:
            return self._is_same(self._storage.stat(self.path))
        except FileNotFoundError:
            return False

    def _is_newest(self) -> bool:
        """Whether the file has been this checkpoint, and no other was placed in it, until now."""
        try:
            # In this order: a file that has its name now had these slots before.
            newest = not self._newer_begun() or self._newest_is_ours()
            return newest and self._is_same(self._storage.stat(self.path))
        except FileNotFoundError:
            return False

    def _newer_begun(self) -> bool:
        """Whether the slots are not as they were: a quick look, which a torn slot deceives."""
        own = slot_path(self.path, self.redo.sequence % SLOTS)
        other = slot_path(self.path, (self.redo.sequence + 1) % SLOTS)
        if self._storage.read_bytes(own, HEADER.size) != self._slot:
            return True
        return self._storage.exists(other) and (
            _sequence(self._storage.read_bytes(other, HEADER.size)) > self.redo.sequence
        )

    def _newest_is_ours(self) -> bool:
        slots = _read_slots(self._storage, self.path)
        redo = latest(slots, self.redo.session)
        return redo is not None and any(
            slot[: HEADER.size] == self._slot for slot in slots if _sequence(slot) == redo.sequence
        )

    def _is_same(self, status: os.stat_result) -> bool:
        ours = self._file.status()
        return (status.st_dev, status.st_ino) == (ours.st_dev, ours.st_ino)


def _read_slots(storage: Storage, staging: StrPath) -> list[bytes]:
    """What the slots hold that exist."""
    paths = [slot_path(staging, slot) for slot in range(SLOTS)]
    return [storage.read_bytes(path) for path in paths if storage.exists(path)]


def _sequence(slot: bytes) -> int:
    return int.from_bytes(slot[_SEQUENCE_AT], "little") if len(slot) >= HEADER.size else -1


def _among(pages: Collection[int], wanted: range) -> Iterator[int]:
    """Those of `pages` that are in `wanted`, looked for in the smaller of the two."""
    if len(pages) < len(wanted):
        return (number for number in pages if number in wanted)
    return (number for number in wanted if number in pages)


def newest_checkpoint(storage: Storage, staging: StrPath, session: bytes) -> tuple[int, int]:
    """Sequence and applied LSN of the newest checkpoint that a slot tells of, unchecked; zeros for none."""
    found = (0, 0)
    for slot in range(SLOTS):
        try:
            head = storage.read_bytes(slot_path(staging, slot), HEADER.size)
        except FileNotFoundError:
            continue
        if len(head) == HEADER.size:
            fields = HEADER.unpack(head)
            if fields[4] == session:
                found = max(found, (fields[5], fields[6]))
    return found
