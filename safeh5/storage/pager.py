"""The pager: a staging file that is, on disk, always its last checkpoint.

HDF5 writes its metadata in place, in no useful order, so the file of a killed
writer is garbage even after a flush. Here nothing that the last checkpoint
refers to is overwritten until the next one is sure.

The line is the *floor*: the end of the file at the last checkpoint, rounded up
to a whole page. What HDF5 writes at or behind the floor goes straight to the
file, since nothing in the checkpoint refers to it. What it writes below is
held in memory as *dirty pages*, and read from there.

A checkpoint, after libhdf5 was flushed
---------------------------------------
1. fsync the staging file       what lies behind the floor is durable
2. write pages, end of file and applied LSN to a redo slot; fsync it
                                from here on the new checkpoint is sure
3. save the old pages for those who look at the old checkpoint (`safeh5.storage.readers`)
4. write the pages in place, set the length; fsync
                                the file *is* the new checkpoint

A crash before 2 is complete leaves the file as the old checkpoint (with bytes
behind its end, which nobody looks at). A crash after it leaves the redo slot,
from which step 4 is done again; doing it twice is doing it once. Step 4 must
be durable before the next checkpoint writes the other slot, because then this
slot is the only way back; it is, by its fsync.

Invariants
----------
1. Bytes of the file below the floor change only in step 4.
2. The floor changes only after step 4.
3. A slot is overwritten only when the other holds the checkpoint that the
   file is.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Any, Final, Self

from safeh5._typing import Buffer
from safeh5.events import Progress
from safeh5.storage.files import Storage, StrPath
from safeh5.storage.handles import RandomFile
from safeh5.storage.readers import Readers
from safeh5.storage.redo import PAGE, SLOTS, Redo, latest
from safeh5.storage.staging import StagingFile

_EVERYTHING: Final = 1 << 62
_NOTHING: Final = (_EVERYTHING, 0)
_WRITE_BACK: Final = 1 << 20
_SLOT_NAME: Final = "staging.redo-{}"


class Pager(StagingFile):
    """A file object for h5py whose file on disk is its last checkpoint.

    Before the first checkpoint the floor is 0: everything goes straight to
    the file, which until then is worth nothing after a crash.
    """

    def __init__(self, file: RandomFile, shown: StrPath | None = None) -> None:
        super().__init__(file, shown)
        self._floor = 0
        self._fresh = _NOTHING
        self._pages: dict[int, bytearray] = {}
        self._sequence = 0
        self._readers: Readers | None = None

    @classmethod
    def restore(cls, storage: Storage, path: StrPath, redo: Redo, shown: StrPath | None = None) -> Self:
        """Open the file as the checkpoint `redo` has it, doing step 4 again.

        On return the file on disk is that checkpoint, durably.
        """
        # Its writer may have been killed between writing the slot and step 2's fsync.
        slot = slot_path(path, redo.sequence % SLOTS)
        storage.sync_path(slot)
        storage.sync_directory(os.path.dirname(slot))
        pager = cls(storage.open_random(path), shown)
        try:
            pager._place(storage, redo)
        except BaseException:
            pager.close()
            raise
        pager._end, pager._floor, pager._sequence = redo.end, _floor_of(redo), redo.sequence
        return pager

    @classmethod
    def over(cls, storage: Storage, source: StrPath, shown: StrPath | None = None) -> Self:
        """Look at `source`, which is only read; what libhdf5 writes is held until `rebase`."""
        pager = cls(storage.open_readonly(source), shown)
        pager._floor = _EVERYTHING
        return pager

    @property
    def borrowed(self) -> bool:
        """Whether this is still `over` a file that is only read."""
        return self._floor == _EVERYTHING

    def rebase(self, copy: RandomFile) -> None:
        """Go on in a copy of the file that was only read, which libhdf5 does not notice.

        Raises
        ------
        OSError
            Nothing has changed but the copy.
        """
        for number, page in self._pages.items():
            copy.write_at(page, number * PAGE)
        if copy.size != self._end:
            copy.truncate(self._end)
        source, self._file = self._file, copy
        self._floor, self._pages = 0, {}
        source.close()

    @property
    def dirty_bytes(self) -> int:
        """Memory held by pages that wait for the next checkpoint."""
        return len(self._pages) * PAGE

    def checkpoint(self, storage: Storage, session: bytes, applied: int) -> None:
        """Make the file as libhdf5 sees it the new checkpoint; libhdf5 has been flushed.

        Parameters
        ----------
        storage : Storage
            For the redo slot.
        session : bytes
            Session id, 16 bytes.
        applied : int
            LSN up to which the journal is in the file; it must be durable there.

        Raises
        ------
        OSError
            The file on disk is the old checkpoint, or the new one can be
            restored. This object is worth nothing any more; `error` is set.
        """
        redo = Redo(session, self._sequence + 1, applied, self.size, self._pages)
        try:
            self.sync()
            try:
                _write_slot(storage, self.path, redo)
            except OSError:
                # Nobody knows what of it is on disk, so nobody may restore from it.
                _forget_slot(storage, self.path, redo)
                raise
            self._place(storage, redo)
        except OSError as error:
            self._latch(error)
            raise
        self._floor, self._sequence = _floor_of(redo), redo.sequence
        self._pages = {}

    def _place(self, storage: Storage, redo: Redo) -> None:
        """Write the pages of a checkpoint in place and set the length, durably."""
        self._readers = self._readers or Readers(storage, self.path)
        # Nobody finds out for whom a page was needed once it has been overwritten.
        self._readers.save(self._file, redo)
        _place(self._file, redo)

    def close(self) -> None:
        """Close the file, after libhdf5 has. Nothing is made durable by that."""
        super().close()
        if self._readers is not None:
            self._readers.close()

    def peek(self, offset: int, size: int) -> bytes:
        """The bytes at `offset` as libhdf5 sees them; fewer at the end of the file."""
        data = bytearray(size)
        count = self._file.read_into(memoryview(data), offset)
        self._overlay(memoryview(data), offset)
        return bytes(data[: max(count, min(size, self._end - offset))])

    def patch(self, offset: int, data: Buffer) -> None:
        """Write bytes the way libhdf5's are: held below the floor, else into the file."""
        view = memoryview(data)
        below = max(0, min(len(view), self._floor - offset))
        self._hold(view[:below], offset)
        if below < len(view):
            self._file.write_at(view[below:], offset + below)
            begin, end = self._fresh
            self._fresh = min(begin, offset + below), max(end, offset + len(view))

    def write_back(self) -> None:
        """Have the system begin to write what went to the file last; a checkpoint then waits for less."""
        begin, end = self._fresh
        if end - begin >= _WRITE_BACK:
            self._fresh = _NOTHING
            self._file.write_back(begin, end - begin)

    # --- what libhdf5 calls -------------------------------------------------------

    def _write(self, buffer: Any) -> int:
        view, offset = memoryview(buffer), self._position()
        self._end = max(self._end, offset + len(view))
        if self.error is None:
            self.patch(offset, view)
        return len(view)

    def _read_into(self, buffer: Any, offset: int) -> int:
        size = StagingFile._read_into(self, buffer, offset)
        if self._pages and offset < self._floor:
            self._overlay(memoryview(buffer), offset)
        return size

    def _truncate(self, size: int) -> int:
        # The checkpoint on disk may reach farther than the file as it is now:
        # below the floor it is not cut before the next checkpoint is sure.
        if self.error is None and size != self._end and not self.borrowed:
            self._file.truncate(max(size, self._floor))
        self._end = size
        return size

    def _hold(self, view: memoryview, offset: int) -> None:
        """Keep `view` in the dirty pages that it belongs to."""
        while len(view):
            number, start = divmod(offset, PAGE)
            count = min(len(view), PAGE - start)
            self._page(number, whole=count == PAGE)[start : start + count] = view[:count]
            view, offset = view[count:], offset + count

    def _page(self, number: int, whole: bool) -> bytearray:
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = bytearray(PAGE)
            if not whole:
                self._file.read_into(memoryview(page), number * PAGE)
        return page

    def _overlay(self, view: memoryview, offset: int) -> None:
        """Put the dirty pages over what was read from the file."""
        wanted = range(offset // PAGE, (offset + len(view) - 1) // PAGE + 1)
        # A read of megabytes spans hundreds of pages, of which few are held.
        numbers: Iterable[int] = wanted if len(wanted) < len(self._pages) else self._pages.keys() & wanted
        for number in numbers:
            page = self._pages.get(number)
            if page is not None:
                at = number * PAGE
                start, stop = max(at, offset), min(at + PAGE, offset + len(view))
                view[start - offset : stop - offset] = page[start - at : stop - at]


def _floor_of(redo: Redo) -> int:
    """The floor after a checkpoint: a whole page, so that no page is part held and part written."""
    return -(-redo.end // PAGE) * PAGE


def _place(file: RandomFile, redo: Redo) -> None:
    """Write the pages of a checkpoint in place and set the length, durably."""
    for number, page in redo.pages.items():
        # A page may reach over the end of the file; its tail is then zeros or
        # bytes that the truncation below removes again.
        file.write_at(page, number * PAGE)
    if file.size != redo.end:
        file.truncate(redo.end)
    file.sync()


# --- redo slots -----------------------------------------------------------------------


def slot_path(staging: StrPath, slot: int) -> str:
    """Where redo slot `slot` of a staging file lies: beside it."""
    return os.path.join(os.path.dirname(os.fspath(staging)), _SLOT_NAME.format(slot))


def _write_slot(storage: Storage, staging: str, redo: Redo) -> None:
    """Write a checkpoint to the slot whose turn it is; durable on return."""
    path = slot_path(staging, redo.sequence % SLOTS)
    made = not storage.exists(path)
    with storage.create_random(path) if made else storage.open_random(path) as file:
        content = b"".join(redo.pack())
        file.write_at(content, 0)
        if file.size > len(content):
            file.truncate(len(content))
        file.sync()
    if made:
        storage.sync_directory(os.path.dirname(path))


def read_redo(storage: Storage, staging: StrPath, session: bytes) -> Redo | None:
    """The last checkpoint of a staging file; None when it has none that is whole.

    A file that is too short is none: the slot brings only the pages with it
    that were rewritten.

    Parameters
    ----------
    staging : path-like
        The staging file; its slots lie beside it.
    session : bytes
        Only checkpoints of this session count.
    """
    if not storage.exists(staging):
        return None
    redo = _newest(storage, staging, session)
    return redo if redo is not None and completes(redo, storage.stat(staging).st_size) else None


def newest_applied(storage: Storage, staging: StrPath, session: bytes) -> int:
    """LSN of the newest checkpoint that a slot tells of, whatever became of the file; 0 for none."""
    redo = _newest(storage, staging, session)
    return redo.applied if redo is not None else 0


def _newest(storage: Storage, staging: StrPath, session: bytes) -> Redo | None:
    paths = [slot_path(staging, slot) for slot in range(SLOTS)]
    return latest([storage.read_bytes(path) for path in paths if storage.exists(path)], session)


def completes(redo: Redo, size: int) -> bool:
    """Whether a staging file of `size` bytes and the pages of the slot are the whole checkpoint."""
    return size >= redo.end or all(page in redo.pages for page in range(size // PAGE, -(-redo.end // PAGE)))


def _forget_slot(storage: Storage, staging: str, redo: Redo) -> None:
    with contextlib.suppress(OSError):
        storage.unlink(slot_path(staging, redo.sequence % SLOTS))


def forget_checkpoint(storage: Storage, staging: StrPath) -> None:
    """Remove a staging file with its redo slots, durably, so that another can be begun.

    The file goes first. A slot without a file is nobody's checkpoint; the older
    slot without the newer one would be taken for the checkpoint of a file that
    has gone on since, and a slot that outlived its file for one of the next.
    """
    directory = os.path.dirname(os.fspath(staging))
    if storage.exists(staging):
        storage.unlink(staging)
    # In any case: whoever was killed here before may have removed names and not synced that.
    storage.sync_directory(directory)
    paths = [slot_path(staging, slot) for slot in range(SLOTS)]
    present = [path for path in paths if storage.exists(path)]
    for path in present:
        storage.unlink(path)
    if present:
        storage.sync_directory(directory)


def trim_checkpoint(storage: Storage, staging: StrPath, session: bytes) -> None:
    """Give back the room that a staging file takes beyond its last checkpoint; a file without one goes."""
    redo = read_redo(storage, staging, session)
    if redo is None:
        forget_checkpoint(storage, staging)
    elif storage.stat(staging).st_size > _floor_of(redo):
        # Behind the floor there is nothing that the checkpoint refers to.
        with storage.open_random(staging) as file:
            file.truncate(_floor_of(redo))


def copy_checkpoint(storage: Storage, staging: StrPath, copy: StrPath, progress: Progress) -> None:
    """Copy a staging file with its redo slots, so that a result can be built elsewhere."""
    if not storage.exists(staging):
        return
    storage.copy_file(staging, copy, progress)
    for slot in range(SLOTS):
        if storage.exists(slot_path(staging, slot)):
            storage.copy_file(slot_path(staging, slot), slot_path(copy, slot), progress)
