"""Operations into the journal, in batches that exist whole or not at all.

When they become durable is the session's business.

State machine of the log
------------------------
::

    QUIET --begin--> IN BATCH --end----> QUIET      END is in the journal
                        |
                        +------abort---> QUIET      ABORT is in the journal
                        +------abort---> OWING      ABORT could not be written (disk full or failing)
    OWING --any append--> the ABORT that is owed goes first

Invariants
----------
1. Frames of one batch stand together: nothing else is appended while a batch
   is open, except the journal's own sync marks.
2. No frame follows an unfinished batch but its END or its ABORT; so an
   unfinished batch can only be the journal's last word, and reading it as
   "does not exist" is right.
"""

from __future__ import annotations

from safeh5._typing import Buffer
from safeh5.errors import FreeSpaceError, JournalWriteError
from safeh5.events import logger
from safeh5.journal import JournalWriter, Kind, Placed
from safeh5.journal.format import BARRIERS
from safeh5.operations import codec
from safeh5.operations.control import (
    CheckpointRecord,
    ControlRecord,
    StreamState,
    encode_control,
    now,
)
from safeh5.operations.model import Operation
from safeh5.session.disk import DiskWatch


class BatchLog:
    """Appends operations in batches.

    Parameters
    ----------
    journal : JournalWriter
        Where to.
    disk : DiskWatch
        Has room for what ends a session, when the disk has none.
    """

    def __init__(self, journal: JournalWriter, disk: DiskWatch) -> None:
        self.journal = journal
        self.disk = disk
        self._batch: int | None = None
        self._owing: int | None = None
        self._records = 0

    @property
    def in_batch(self) -> bool:
        """Whether a batch is open."""
        return self._batch is not None

    @property
    def records(self) -> int:
        """Operations in the open batch so far."""
        return self._records

    def begin(self) -> None:
        """Open a batch; nothing is written yet."""
        self._batch, self._records = self.journal.last_batch + 1, 0

    def record(self, operation: Operation, payload: Buffer = b"") -> int:
        """Append one operation of the open batch; returns its LSN. Not durable yet."""
        assert self._batch is not None
        self.settle()
        lsn = self.journal.append(Kind.OPERATION, codec.encode(operation), payload, batch=self._batch)
        self._records += 1
        return lsn

    def record_whole(self, operation: Operation, payload: Buffer = b"") -> int:
        """Append one operation that is a batch in itself; returns its LSN. Not durable yet.

        It exists from here on: only for what nobody will have to take back.
        """
        assert self._batch is None
        if self._owing is not None:
            self.settle()
        journal = self.journal
        return journal.append(
            Kind.OPERATION, codec.encode(operation), payload, batch=journal.last_batch + 1, whole=True
        )

    def make_ready(self) -> None:
        """Before `applied`: see that nothing stands in its way."""
        if self._owing is not None:
            self.settle()
        self.journal.make_ready()

    def applied(self, operation: Operation, payload: Buffer, *, gather: bool) -> int:
        """Append one operation that was applied, as a batch in itself; see `append_applied`."""
        return self.journal.append_applied(codec.encode(operation), payload, gather=gather)

    @property
    def placed(self) -> Placed | None:
        """Where the last operation stands that was appended."""
        return self.journal.placed

    def end(self) -> int:
        """End the open batch, which has records; returns the LSN of its end. Not durable yet.

        If END itself finds no room the batch is still open, to be aborted.
        """
        assert self._batch is not None and self._records
        lsn = self.journal.end_batch(self._batch)
        self._batch = None
        return lsn

    def end_applied(self) -> int:
        """End the open batch, whose operations were applied; a full disk does not stop that."""
        assert self._batch is not None and self._records
        lsn = self.journal.end_applied(self._batch)
        self._batch = None
        return lsn

    def abort(self) -> None:
        """Cancel the open batch; a full disk does not stop that."""
        self._batch = None
        # Asked of the journal: an interrupt may have come between the record and its count. And the batch
        # that is open there may be an earlier one, whose ABORT is still owed, when none of this got so far.
        batch = self.journal.open_batch
        if not batch:
            return
        self._owing = batch
        try:
            self.settle()
        except (FreeSpaceError, JournalWriteError) as error:
            if self.journal.failed:
                raise
            logger.warning("batch %s is cancelled, to be noted when the disk takes it: %s", batch, error)

    def control(self, kind: Kind, record: ControlRecord) -> int:
        """Append a control record and make it, and all before it, durable."""
        if kind in BARRIERS:
            self.disk.with_reserve(lambda: self._append_control(kind, record))
        else:
            self._append_control(kind, record)
        return self.journal.sync()

    def _append_control(self, kind: Kind, record: ControlRecord) -> None:
        self.settle()
        self.journal.append(kind, encode_control(record))

    def anchor(self, session: ControlRecord, applied: int, streams: tuple[StreamState, ...] = ()) -> int:
        """Let the journal begin anew at a checkpoint that holds everything up to `applied`.

        On return the segments before are gone, or garbage.

        Parameters
        ----------
        session : SessionRecord
            How the session began.
        applied : int
            LSN up to which the staging file's last checkpoint holds the journal.
        streams : tuple of StreamState
            What the report after a crash is to know of the records that go.
        """
        # The reserve may go for it: much more comes back.
        return self.disk.with_reserve(lambda: self._append_anchor(session, applied, streams))

    def _append_anchor(self, session: ControlRecord, applied: int, streams: tuple[StreamState, ...]) -> int:
        self.settle()
        record = CheckpointRecord(
            applied=applied,
            time=now(),
            session=encode_control(session),
            last_batch=self.journal.last_batch,
            streams=streams,
        )
        self.journal.anchor(encode_control(record))
        return self.journal.durable_lsn

    def sync(self) -> int:
        """Make everything appended so far durable; returns the LSN up to which it is."""
        return self.journal.sync()

    def sync_to(self, lsn: int) -> None:
        """Make the journal durable up to `lsn`; another thread's sync may have done it already."""
        self.journal.sync_to(lsn)

    def settle(self) -> None:
        """Append the ABORT that is owed, if any (invariant 2).

        Raises
        ------
        DiskFullError
            There is still no room for it.
        """
        if self._owing is not None:
            self.journal.abort_batch(self._owing)
            self._owing = None
