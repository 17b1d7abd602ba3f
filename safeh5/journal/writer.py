"""Appending to a journal.

What is durable when: `append` hands a frame to the operating system, nothing
more. `sync` makes all frames before it durable and then leaves a SYNC mark
behind them, which is the evidence that later tells a torn tail from damage.

`append` and `sync` may be called from different threads; while the disk works
for `sync`, `append` goes on. The invariants stand in `safeh5.journal.tail`.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import Final

from safeh5._typing import Buffer
from safeh5.errors import (
    InputError,
    InternalError,
)
from safeh5.journal.anchor import Anchor
from safeh5.journal.batches import BatchState
from safeh5.journal.failures import broken
from safeh5.journal.findings import JournalScan
from safeh5.journal.format import (
    BARRIERS,
    MAX_META,
    SEGMENT_HEADER_SIZE,
    WHOLE,
    Kind,
    SegmentHeader,
    encode_meta,
)  # fmt: skip
from safeh5.journal.segment import StrPath, remove_segments
from safeh5.journal.tail import DURABILITY, JournalTail
from safeh5.journal.tip import Placed
from safeh5.options import JournalOptions
from safeh5.storage.files import Storage
from safeh5.storage.interrupts import Uncollected
from safeh5.storage.platform import byte_view

_TURN_SECONDS: Final = 0.01
GATHERED_BYTES: Final = 128 * 1024
"""So much is gathered in memory, and one record more, before it is written."""
GATHERED_SECONDS: Final = 0.05
"""After this time the next record that is gathered has those before it written first."""
_OPERATION, _END = int(Kind.OPERATION), int(Kind.END)


class JournalWriter(JournalTail):
    """The only writer of a journal. Made by `create` or `resume`."""

    @classmethod
    def create(
        cls,
        storage: Storage,
        directory: StrPath,
        session_id: bytes,
        options: JournalOptions,
        *,
        unnamed: bool = False,
    ) -> JournalWriter:
        """Begin a journal in an existing directory that holds none.

        On return the first segment's header and name are durable, unless `unnamed`. The first
        record must be the SESSION record.

        Parameters
        ----------
        session_id : bytes
            16 bytes, unique to this session.
        unnamed : bool
            The directory has not its own name yet. Nothing is synced then, that being the business of who
            names it: `sync`, then a sync of the directory, then the name.

        Raises
        ------
        DiskFullError, JournalWriteError
            The segment could not be made.
        """
        if len(session_id) != 16:
            raise InternalError(f"a session id has 16 bytes, not {len(session_id)}")
        header = SegmentHeader(session_id, 1, 1, DURABILITY[options.durability], time.time_ns())
        return cls(storage, os.fspath(directory), options, header, BatchState(), 0, unnamed=unnamed)

    @classmethod
    def resume(
        cls, storage: Storage, directory: StrPath, scan: JournalScan, options: JournalOptions
    ) -> JournalWriter:
        """Go on with the journal that `scan` describes, in a new segment.

        Nothing that counts is touched: a torn tail stays where it is, behind
        the length that the new segment states for the old one; only segments
        from before an anchor go. All frames of the scan are durable on return.
        A batch that was open is aborted. The next record should be the RESUME
        record.

        Raises
        ------
        CorruptJournalError
            `scan` found damage.
        DiskFullError, JournalWriteError
            The segment could not be made.
        """
        scan.raise_if_damaged()
        last = scan.segments[-1]
        # Frames of a process that was killed may still be in memory only. The new header vouches for
        # them, so they go to disk first.
        try:
            storage.sync_path(last.path)
        except OSError as error:
            raise broken(error, f"fsync of {last.path} failed", os.fspath(directory)) from error
        header = SegmentHeader(
            scan.session_id, last.number + 1, scan.last_lsn + 1, DURABILITY[options.durability],
            time.time_ns(), last.valid_length, last.chain,
        )  # fmt: skip
        writer = cls(storage, os.fspath(directory), options, header, scan.batch, scan.size)
        if scan.leftovers:
            remove_segments(storage, directory, scan.segments[0].number)
        if scan.batch.open:
            writer.abort_batch(scan.batch.last)
        return writer

    @property
    def next_lsn(self) -> int:
        """LSN that the next frame gets."""
        return self._tip.lsn

    @property
    def last_record(self) -> int:
        """LSN of the last frame that is not a SYNC mark."""
        return self._tip.last_record

    @property
    def placed(self) -> Placed | None:
        """Where the last OPERATION stands that was appended; None before the first."""
        return self._tip.placed

    @property
    def durable_lsn(self) -> int:
        """Every frame up to this LSN survives a power cut."""
        return self._durable

    @property
    def settled_lsn(self) -> int:
        """`durable_lsn`, less the batch that was open then: without its END it does not exist."""
        return self._settled

    @property
    def size(self) -> int:
        """Bytes of the journal, all segments from its beginning or its anchor on."""
        return self._earlier_bytes + self._tip.offset

    @property
    def last_batch(self) -> int:
        """Number of the latest batch, 0 when there was none; the next one must be above it."""
        return self._tip.batch.last

    @property
    def open_batch(self) -> int:
        """Number of the batch that waits for its END, 0 when there is none."""
        return self._tip.batch.last if self._tip.batch.open else 0

    @property
    def failed(self) -> bool:
        """Whether the writer takes nothing any more, because it is poisoned or closed."""
        return self._failure is not None

    def append(
        self, kind: Kind, meta: bytes = b"", payload: Buffer = b"", *, batch: int = 0, whole: bool = False
    ) -> int:
        """Append one frame; it is in the operating system's hands on return, not durable.

        Parameters
        ----------
        kind : Kind
            RESUME, SEAL, COMMIT and ROLLBACK sync what stands before them first.
        meta : bytes
            At most 64 MiB.
        payload : buffer
            Any C-contiguous buffer; a large one is not copied. Of one that another thread changes
            meanwhile, each byte is in the journal as it was at some time during the call.
        batch : int
            Batch number; 0 for control records.
        whole : bool
            The record is a batch in itself.

        Returns
        -------
        int
            LSN of the frame.

        Raises
        ------
        DiskFullError
            No room. The frame is not in the journal; the writer can be used again.
        JournalWriteError
            The journal cannot be written. What was durable stays.
        SessionFailedError
            That happened in an earlier call.
        """
        if kind == Kind.SYNC:
            raise InternalError("only a sync leaves a SYNC mark")
        if len(meta) > MAX_META:
            raise InputError(f"the description of a record has {len(meta)} bytes; {MAX_META} are allowed")
        view = byte_view(payload)
        flags = WHOLE if whole else 0
        if self._tip.offset >= self._options.segment_size:
            self._roll()
        if kind in BARRIERS:
            # Such a frame proves that all before it is durable, so nothing may come in between.
            with self._syncing, self._lock:
                self._sync_whole()
                return self._write_frame(kind, flags, batch, meta, view)
        with self._lock:
            return self._write_frame(kind, flags, batch, meta, view)

    def end_batch(self, batch: int) -> int:
        """Append the END of the open batch, with its record count; returns the LSN."""
        return self.append(Kind.END, encode_meta(records=self._tip.batch.records), batch=batch)

    def make_ready(self) -> None:
        """Before `append_applied`: write out what waits for room, and what was gathered if it is much or old.

        Raises
        ------
        DiskFullError, JournalWriteError, SessionFailedError
            As `append`. What was gathered before is kept, and written when the disk takes it.
        """
        tip = self._tip
        if tip.offset >= self._options.segment_size:
            self._roll()
        elif self._stuck or (
            tip.gathered
            and (
                tip.offset - tip.written >= GATHERED_BYTES
                or time.monotonic() - self._gathered_since >= GATHERED_SECONDS
            )
        ):
            self.write_out()

    def append_applied(self, meta: bytes, payload: Buffer, *, gather: bool) -> int:
        """Append an operation that was applied and is a batch in itself; returns its LSN.

        A full disk does not stop that: the frame is then kept in memory, with a copy of the payload, and
        `make_ready` tells.

        Parameters
        ----------
        gather : bool
            Keep it in memory in any case. It goes to the operating system with the next frame that is
            appended, the next sync, or the next `make_ready` that finds enough; a process that is
            killed before takes it along.
        """
        with self._lock:
            append = self._gather_frame if gather else self._append_surely
            return append(_OPERATION, WHOLE, self._tip.batch.last + 1, meta, byte_view(payload))

    def end_applied(self, batch: int) -> int:
        """Append the END of the open batch, whose operations were applied; returns the LSN.

        A full disk does not stop that: see `append_applied`.
        """
        with self._lock:
            meta = encode_meta(records=self._tip.batch.records)
            return self._append_surely(_END, 0, batch, meta, memoryview(b""))

    def write_out(self) -> None:
        """Hand what was gathered to the operating system; not durable.

        Raises
        ------
        DiskFullError, JournalWriteError, SessionFailedError
            As `append`. What was gathered is kept.
        """
        with self._lock:
            self._write_out()

    def abort_batch(self, batch: int) -> int:
        """Append the ABORT of the latest batch, open or just closed; returns the LSN."""
        return self.append(Kind.ABORT, encode_meta(), batch=batch)

    def anchor(self, meta: bytes) -> int:
        """Let the journal begin anew, at a CHECKPOINT with this meta, and remove all segments before.

        On return the anchor is durable and the old segments are gone. A crash
        before leaves the whole journal, or the anchor with any of the old
        segments beside it, which nobody looks at any more.

        Parameters
        ----------
        meta : bytes
            An encoded `CheckpointRecord` with all its fields. The checkpoint
            it speaks of must be durable, and hold every batch so far.

        Returns
        -------
        int
            LSN of the anchor.

        Raises
        ------
        InternalError
            A batch is open, or the journal has records that the checkpoint has not.
        DiskFullError, JournalWriteError, SessionFailedError
            As `append`. No segment was removed.
        """
        with self._syncing, self._lock:
            self._settle()
            self._require_anchor(meta)
            if self._tip.offset > SEGMENT_HEADER_SIZE:
                self._begin_segment()
            # From here on no batch from before can be cancelled: nobody could say what it was.
            self._tip = self._tip._replace(batch=BatchState.anchored(self.last_batch))
            lsn = self._write_frame(Kind.CHECKPOINT, 0, 0, meta, memoryview(b""))
            # The anchor is on disk before the first of the segments goes that it stands for.
            self.sync()
            self._earlier_bytes = 0
            remove_segments(self._storage, self.directory, self._tip.number)
            return lsn

    def sync_to(self, lsn: int) -> None:
        """Make every frame up to `lsn` durable; many threads that wait share one sync.

        Raises
        ------
        JournalWriteError, SessionFailedError
            As `sync`.
        """
        while self._durable < lsn or self._failure is not None:
            # Waiting begins before the turn is asked for: whoever has it, and ends it meanwhile, tells.
            flag = threading.Lock()
            flag.acquire()
            self._waiters.append(flag)
            if not self._sync_in_turn(lsn):
                # Bounded: not everybody who holds `_syncing` tells when he lets go of it.
                flag.acquire(timeout=_TURN_SECONDS)

    def _sync_in_turn(self, lsn: int) -> bool:
        """Sync, if nobody else does; simply to wait for `_syncing` would be to wait for the next sync too.

        No garbage is collected meanwhile: others wait for both locks who have h5py's.
        """
        with Uncollected():
            if not self._syncing.acquire(blocking=False):
                return False
            try:
                if self._durable < lsn or self._failure is not None:
                    self.sync()
            finally:
                self._syncing.release()
                with suppress(IndexError):
                    while True:
                        self._waiters.popleft().release()
        return True

    def _roll(self) -> None:
        """Go on in a new segment, if another thread has not done so already."""
        with self._syncing, self._lock:
            self._settle()
            if self._tip.offset >= self._options.segment_size:
                self._begin_segment()

    def _require_anchor(self, meta: bytes) -> None:
        """Refuse an anchor that would throw away what nothing else holds."""
        tip = self._tip
        anchor = Anchor.of_meta(meta, tip.number, tip.lsn)
        if tip.batch.open or anchor is None or anchor.last_batch != tip.batch.last:
            raise InternalError("a batch is open, or this record is no anchor of this journal", lsn=tip.lsn)
        if anchor.applied < tip.last_change or anchor.applied > self._durable:
            raise InternalError(
                f"the checkpoint of LSN {anchor.applied} does not hold what the journal has", lsn=tip.lsn
            )
