"""The end of a journal on disk: the segment being written, its syncs, its failures.

Invariants
----------
1. `_tip` is the end of the last whole frame. It is one object, replaced in one
   step, so that an exception at any instant (a signal handler's too) leaves it
   either before or after a frame, never in between.
2. Bytes behind `_tip` were never acknowledged. They are cut off before the next
   frame is written: `_unsettled` says that there may be some.
3. After a failed fsync, or a failed attempt to cut off, nothing is written
   any more: the fate of the pages is unknown and a second fsync proves nothing.
   A write that failed is another matter, whatever the reason: it is cut off, and
   the next one may succeed. Whether the disk can be believed, the next fsync tells.
4. A segment that has a successor is durable up to the length stated there.
5. A segment is removed only when a later one begins with an anchor that is durable.
6. Frames may be *gathered*: they are in memory, `_tip` counts them, and the file ends before
   them, at `_tip.written`. They go out in one write, before the next frame that is written and before
   every sync, so the file always has a first part of the journal. Those that find
   no room stay in memory, and no frame passes them.
7. The checksum of a payload is that of bytes which nobody can change: a copy, or what is in the file
   already. The frame of the latter is first written with the checksum 0, which makes it a torn tail,
   and gets its true header before `_tip` passes it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from safeh5._typing import Buffer
from safeh5.errors import (
    DiskFullError,
    InternalError,
    JournalWriteError,
    SafeH5Error,
    SessionFailedError,
)
from safeh5.events import logger
from safeh5.journal.batches import BatchState
from safeh5.journal.checksum import padding
from safeh5.journal.failures import NO_SPACE, broken, deleted, disk_full, poisoned, refused
from safeh5.journal.format import (
    SEGMENT_HEADER_SIZE,
    FormatError,
    Kind,
    SegmentHeader,
    encode_meta,
)  # fmt: skip
from safeh5.journal.segment import NewSegment, StrPath, SyncFailedError
from safeh5.journal.shared import COPIED, ReadBack, copied
from safeh5.journal.tip import Tip
from safeh5.options import MIB, Durability, JournalOptions
from safeh5.storage.closing import Closes
from safeh5.storage.files import Storage
from safeh5.storage.handles import AppendFile
from safeh5.storage.names import segment_name

_WRITE_BACK: Final = 2 * MIB
_STILL_WRITTEN: Final = 16 * MIB
"""What was handed to the disk before this much was appended is there by now, mostly, and may be forgotten."""
DURABILITY: Final = {Durability.RECORD: 0, Durability.INTERVAL: 1, Durability.FLUSH: 2}


class JournalTail(Closes):
    """What `JournalWriter` is built on: frames go out here, and only here.

    Attributes
    ----------
    directory : str
        Where the segments are; `moved_to` changes it.
    """

    def __init__(
        self, storage: Storage, directory: str, options: JournalOptions, header: SegmentHeader,
        batch: BatchState, earlier_bytes: int, *, unnamed: bool = False,
    ) -> None:  # fmt: skip
        """For `create` and `resume`: begin the segment that `header` describes."""
        self.directory = directory
        self._storage = storage
        self._options = options
        self._session = header.session
        # Lock order: h5py's, _syncing, _lock. _syncing is held while the disk works, _lock never for long.
        # Whoever takes one of them without h5py's does so in `Uncollected`: garbage may need h5py's.
        self._syncing = threading.RLock()
        self._lock = threading.RLock()
        # Flags of those who wait for a sync, as locks that nobody holds: released when one has ended.
        self._waiters: deque[threading.Lock] = deque()
        self._failure: str | None = None
        self._unsettled = False
        self._earlier_bytes = earlier_bytes
        self._durable = header.first_lsn - 1
        self._settled = batch.first_lsn - 1 if batch.open else self._durable
        # Those behind the first `_tip.gathered` are left over from an interrupt, and do not count.
        self._gathered: list[bytes] = []
        self._gathered_since = 0.0
        self._stuck = False
        self._written_back = (0, 0)
        self._read_back = ReadBack()
        file = self._first_segment(header) if unnamed else self._new_segment(header)
        self._tip = Tip.of_new(file, header, batch)

    def moved_to(self, directory: StrPath) -> None:
        """Take note that the directory was renamed; later segments go there."""
        self.directory = os.fspath(directory)

    def close(self) -> None:
        """Close the file; nothing is synced by that. The writer is of no use afterwards."""
        with self._syncing, self._lock:
            self._failure = self._failure or "the journal is closed"
            self._tip.file.close()

    def sync(self) -> int:
        """Make every frame appended so far durable; returns the LSN up to which all is.

        Does nothing when there is nothing new.

        Raises
        ------
        JournalWriteError
            The sync failed. It is not retried, now or later: the writer is poisoned.
        SessionFailedError
            That happened in an earlier call.
        """
        with self._syncing:
            with self._lock:
                self._write_out()
                tip = self._tip
            if tip.last_record > self._durable:
                self._sync_file(tip)
                with self._lock:
                    self._leave_mark()
            return self._durable

    def write_back(self) -> None:
        """Have the system begin to write what was appended last, and forget what is on the disk.

        For whoever has no reader for it: memory that many would share is used again and again, and the
        next `sync` has little left to do.
        """
        tip, (number, done) = self._tip, self._written_back
        if tip.number != number:
            done = 0
        if tip.written - done >= _WRITE_BACK:
            begin = max(0, done - _STILL_WRITTEN)
            self._written_back = tip.number, tip.written
            tip.file.write_back(begin, tip.written - begin)

    def _sync_whole(self) -> None:
        """Make every frame durable, the last SYNC mark too, and leave no other; both locks are held.

        The mark of an ordinary sync is not on the disk before the next one. A
        frame that vouches for all before it would then be found behind a hole,
        when a power cut took the mark and left the frame: damage, by the look of it.
        """
        self._write_out()
        if self._tip.lsn - 1 > self._durable:
            self._sync_file(self._tip)

    @contextmanager
    def nobody_syncing(self, timeout: float) -> Iterator[None]:
        """Keep other threads from syncing; for a signal handler, which may have interrupted a frame.

        To wait without end could be to wait for a thread that, in its sync,
        waits for the frame that the handler has interrupted.

        Raises
        ------
        SessionFailedError
            Another thread still syncs after `timeout` seconds.
        """
        if not self._syncing.acquire(timeout=timeout):
            raise poisoned("another thread is busy with the disk", self.directory)
        try:
            yield
        finally:
            self._syncing.release()

    def _write_frame(self, kind: int, flags: int, batch: int, meta: bytes, payload: memoryview) -> int:
        """Write one frame behind `_tip` and move `_tip` behind it."""
        self._settle()
        tip = self._tip
        if len(payload) > COPIED:
            self._write_uncopied(kind, flags, batch, meta, payload)
        else:
            frame, after = self._copied_frame(kind, flags, batch, meta, payload)
            self._write((*self._waiting(tip), frame), after)
        return tip.lsn

    def _write_uncopied(self, kind: int, flags: int, batch: int, meta: bytes, payload: memoryview) -> None:
        """Write one frame from memory that somebody may change meanwhile (invariant 7)."""
        tip, size = self._tip, len(payload)
        head, after = self._head(kind, flags, batch, meta, size, 0)

        def finish() -> Tip:
            crc = self._read_back.checksum(tip.file, tip.offset + len(head), after.offset)
            true_head, end = self._head(kind, flags, batch, meta, size, crc)
            tip.file.amend(true_head, tip.offset)
            return end

        self._write((*self._waiting(tip), head, payload, padding(size)), after, finish)

    def _write(self, buffers: Sequence[Buffer], after: Tip, finish: Callable[[], Tip] | None = None) -> None:
        """Write what comes next; then `after`, or what `finish` gives, is the end; nothing is gathered."""
        tip = self._tip
        self._unsettled = True
        try:
            tip.file.write(buffers)
            if finish is not None:
                after = finish()
        except OSError as error:
            self._stuck = tip.gathered > 0
            needed = after.offset - tip.written
            raise self._refused(error, needed, f"writing to {self._path} failed") from error
        self._tip = after
        self._unsettled = self._stuck = False
        self._gathered.clear()

    def _gather_frame(self, kind: int, flags: int, batch: int, meta: bytes, payload: memoryview) -> int:
        """Put one frame behind `_tip`, in memory only; its payload is copied."""
        if self._failure is not None:
            raise poisoned(self._failure, self.directory)
        tip, parts = self._tip, self._gathered
        frame, after = self._copied_frame(kind, flags, batch, meta, payload, gather=True)
        if not tip.gathered:
            self._gathered_since = time.monotonic()
        del parts[tip.gathered :]
        parts.append(frame)
        self._tip = after
        return tip.lsn

    def _copied_frame(
        self, kind: int, flags: int, batch: int, meta: bytes, payload: memoryview, *, gather: bool = False
    ) -> tuple[bytes, Tip]:
        """The bytes of the next frame, and the end after it."""
        body, crc = copied(payload)
        head, after = self._head(kind, flags, batch, meta, len(payload), crc, gather=gather)
        return head + body, after

    def _head(
        self, kind: int, flags: int, batch: int, meta: bytes, size: int, crc: int, *, gather: bool = False
    ) -> tuple[bytes, Tip]:
        """The next frame up to its payload, and the end after it."""
        try:
            return self._tip.frame(kind, flags, batch, meta, size, crc, gather=gather)
        except FormatError as error:
            raise InternalError(f"a record was refused by the journal: {error}", lsn=self._tip.lsn) from error

    def _append_surely(self, kind: int, flags: int, batch: int, meta: bytes, payload: memoryview) -> int:
        """Write one frame now; if the disk refuses that, put it in memory and have `_stuck` say so."""
        if not self._stuck:
            try:
                return self._write_frame(kind, flags, batch, meta, payload)
            except (DiskFullError, JournalWriteError) as error:
                if self._failure is not None:
                    raise
                logger.warning("the journal is not written at the moment: %s", error)
                self._stuck = True
        return self._gather_frame(kind, flags, batch, meta, payload)

    def _waiting(self, tip: Tip) -> tuple[bytes, ...]:
        """The bytes of the frames that are gathered."""
        return (b"".join(self._gathered[: tip.gathered]),) if tip.gathered else ()

    def _write_out(self) -> None:
        """Write the frames that are gathered; if that fails they stay."""
        self._settle()
        tip = self._tip
        if tip.gathered:
            self._write(self._waiting(tip), tip._replace(written=tip.offset, gathered=0))

    @property
    def _path(self) -> str:
        """The last segment; the file's own idea of its path is older than `moved_to`."""
        return str(Path(self.directory, segment_name(self._tip.number)))

    def _settle(self) -> None:
        """Refuse if poisoned; cut off what an interrupted write may have left behind `_tip`."""
        if self._failure is not None:
            raise poisoned(self._failure, self.directory)
        if self._unsettled:
            try:
                self._tip.file.truncate(self._tip.written)
            except OSError as error:
                raise self._poison(error, f"shortening {self._path} failed") from error
            self._unsettled = False

    def _sync_file(self, tip: Tip) -> None:
        try:
            tip.file.sync()
        except OSError as error:
            raise self._poison(error, f"fsync of {self._path} failed") from error
        if not tip.file.has_name:
            # On the disk, and gone with the descriptor: nothing of it may be acknowledged.
            lost = deleted(self._path, self.directory)
            self._failure = lost.message
            raise lost
        self._durable = tip.lsn - 1
        self._settled = tip.batch.first_lsn - 1 if tip.batch.open else tip.lsn - 1

    def _leave_mark(self) -> None:
        """Append a SYNC mark. The sync was good whether or not this works."""
        try:
            self._write_frame(Kind.SYNC, 0, 0, encode_meta(durable=self._durable), memoryview(b""))
        except (DiskFullError, JournalWriteError, SessionFailedError) as error:
            logger.warning("no SYNC mark after LSN %d: %s", self._durable, error)

    def _begin_segment(self) -> None:
        """Close the last segment and go on in a new one; both locks are held."""
        self._write_out()
        tip = self._tip
        # The new header vouches for every byte of the old segment.
        self._sync_file(tip)
        header = SegmentHeader(
            self._session, tip.number + 1, tip.lsn, DURABILITY[self._options.durability], time.time_ns(),
            tip.offset, tip.chain,
        )  # fmt: skip
        self._tip = Tip.of_new(self._new_segment(header), header, tip.batch, tip.last_change, tip.placed)
        self._earlier_bytes += tip.offset
        tip.file.close()

    def _new_segment(self, header: SegmentHeader) -> AppendFile:
        segment = NewSegment(self._storage, self.directory, header)
        what = f"beginning segment {segment.path} failed"
        try:
            segment.prepare()
        except SyncFailedError as error:
            raise self._poison(error, f"fsync of {segment.path} failed") from error
        except OSError as error:
            raise self._refused(error, SEGMENT_HEADER_SIZE, what) from error
        try:
            return segment.publish()
        except OSError as error:
            # The name may or may not be on disk: nothing may be appended to the old segment any more.
            raise self._poison(error, what) from error

    def _first_segment(self, header: SegmentHeader) -> AppendFile:
        segment = NewSegment(self._storage, self.directory, header)
        try:
            return segment.begin()
        except OSError as error:
            what = f"beginning segment {segment.path} failed"
            raise self._refused(error, SEGMENT_HEADER_SIZE, what) from error

    def _refused(self, error: OSError, needed: int, what: str) -> SafeH5Error:
        """The error for a write that failed and was taken back; the writer stays usable."""
        if self._unsettled:
            self._settle()
        if error.errno in NO_SPACE:
            return disk_full(error, what, self.directory, needed)
        return refused(error, what, self.directory)

    def _poison(self, error: OSError, what: str) -> JournalWriteError:
        self._failure = f"{what}: {error.strerror or error}"
        return broken(error, what, self.directory)
