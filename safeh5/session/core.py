"""The working parts of a session: batches, durability, and what happens when one of them fails.

`Session` adds to this what a session is for and how it ends; the states and
the numbered invariants stand at the head of `safeh5.session.session`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, Self

from h5py.h5f import phil

from safeh5._typing import Buffer
from safeh5.errors import (
    ApplyError,
    FreeSpaceError,
    JournalWriteError,
    LockLostError,
    SafeH5Error,
    SessionFailedError,
    SessionStateError,
    recover_command,
)
from safeh5.events import logger
from safeh5.journal import Kind
from safeh5.operations.control import CheckpointRecord, SealRecord, now
from safeh5.operations.model import Operation
from safeh5.options import Durability, JournalOptions, OnError
from safeh5.recovery import publish
from safeh5.session import signals
from safeh5.session.book import StreamBook
from safeh5.session.interval import IntervalSync
from safeh5.session.parts import Parts
from safeh5.session.state import State

_CHECKPOINT_PAUSE: Final = 30.0
"""Seconds after a failed checkpoint in which no other is tried unasked."""

_SEAL_SECONDS: Final = 2.0
"""How long sealing at the end of the process waits for a call of another thread."""


class SessionCore:
    """A session without its beginning and its end."""

    def __init__(
        self,
        parts: Parts,
        *,
        options: JournalOptions,
        on_error: OnError,
        journaled: bool,
    ) -> None:
        self.target = parts.names.target
        self.state = State.OPEN
        self._parts = parts
        self._log, self._workspace = parts.log, parts.workspace
        self._options, self._on_error = options, on_error
        self._workspace.journaled = journaled
        self._streams = StreamBook(parts.storage, parts.found)
        self._interval = (
            IntervalSync(self._sync_for_interval, options.interval_ms)
            if options.durability is Durability.INTERVAL
            else None
        )
        # Applying in the caller takes h5py's own lock inside ours, and h5py objects that are
        # journaled take ours inside h5py's: two locks would sooner or later wait for each other.
        self._mutex = phil if self._workspace.uses_h5py else threading.RLock()
        self._spoiled: BaseException | None = None
        self._undo: list[Callable[[], None]] = []
        self._pid = os.getpid()
        self._no_checkpoint_before = 0.0
        signals.watch(self)

    # --- looking ------------------------------------------------------------------

    @property
    def last_lsn(self) -> int:
        """LSN of the last record appended to the journal; its own sync marks do not count."""
        return self._log.journal.last_record

    @property
    def durable_lsn(self) -> int:
        """Everything up to this record survives a power cut; of a batch, when its end does."""
        return self._log.journal.settled_lsn

    @property
    def lag_bytes(self) -> int:
        """Payload bytes that are in the journal and not yet applied; 0 with an inline applier."""
        return self._workspace.lag()[0]

    @property
    def lag_seconds(self) -> float:
        """How long the oldest of them has been waiting."""
        return self._workspace.lag()[1]

    @property
    def has_changes(self) -> bool:
        """Whether anything was written in this session."""
        return self._workspace.journaled

    @property
    def is_copy(self) -> bool:
        """Whether the new file begins as a copy of the target."""
        return self._parts.record.copy

    @property
    def is_ours(self) -> bool:
        """Whether the session is open, and this process is not a fork of the one that opened it."""
        return self.state is State.OPEN and os.getpid() == self._pid

    @property
    def in_batch(self) -> bool:
        """Whether a batch is open."""
        return self._log.in_batch

    # --- changing -----------------------------------------------------------------

    @contextmanager
    def batch(self) -> Iterator[Self]:
        """Everything written inside is applied whole or not at all.

        An exception that leaves the block cancels the batch. A batch inside a
        batch is part of it; when a part fails the whole cannot be ended any
        more, even if the exception is caught.
        """
        with self._working():
            if self._log.in_batch:
                with self._part_of_batch():
                    yield self
                return
            if self._workspace.is_backlogged():
                self._all_durable()
                self._workspace.make_room()
            self._log.begin()
            try:
                yield self
                end = self._end_batch()
            except BaseException as error:
                self._abandon_batch(error)
                raise
        # Not under the mutex: while the disk works for one thread, others go
        # on appending, and one sync then serves them all.
        self._keep_promise(end)
        self._tend()

    def record(self, operation: Operation, payload: Buffer = b"") -> int:
        """Journal one operation and apply it; outside a batch it is a batch of its own.

        Parameters
        ----------
        operation : Operation
            What to change.
        payload : C-contiguous buffer
            The values; not copied.

        Returns
        -------
        int
            Its LSN. Outside a batch, and with durability ``"record"``, it is
            on disk.

        Raises
        ------
        ApplyError
            If HDF5 refuses it; it is then cancelled in the journal.
        """
        with self.batch():
            return self._record(operation, payload)

    def on_cancel(self, undo: Callable[[], None]) -> None:
        """Call `undo` if the open batch is cancelled, latest first; outside a batch never."""
        if self._log.in_batch:
            self._undo.append(undo)

    def _record(self, operation: Operation, payload: Buffer) -> int:
        """Append to the journal, then apply (invariant 2); a batch is open."""
        self._log.disk.spend(memoryview(payload).nbytes)
        self._workspace.prepare()
        lsn = self._log.record(operation, payload)
        self._workspace.apply(operation, payload, lsn)
        return lsn

    @contextmanager
    def _part_of_batch(self) -> Iterator[None]:
        before = self._log.records
        try:
            yield
        except BaseException as error:
            if self._log.records > before:
                self._spoiled = error
            raise

    def _end_batch(self) -> int | None:
        """Append END; returns its LSN, or None for a batch that left no trace."""
        if self._spoiled is not None:
            raise SessionStateError(
                f"a part of this batch failed ({self._spoiled}), so none of it is written", path=self.target
            )
        if not self._log.records:
            self._log.abort()
            return None
        end = self._log.end()
        self._note_end(end)
        return end

    def _note_end(self, end: int) -> None:
        """The batch has its END; done twice is done once."""
        self._undo.clear()
        self._workspace.journaled = True
        self._workspace.ended(end)

    def _abandon_batch(self, error: BaseException) -> None:
        """Cancel the open batch; the staging file may hold a part of it (invariant 3)."""
        if not self._log.in_batch:
            # Interrupted when its END was in the journal already: the batch exists.
            self._note_end(self.last_lsn)
            return
        records, self._spoiled = self._log.records, None
        while self._undo:
            self._undo.pop()()
        try:
            self._log.abort()
        except SafeH5Error as second:
            logger.error("the batch could not be cancelled: %s", second)
        self._workspace.abandoned(records, refused=isinstance(error, ApplyError))

    # --- durability ---------------------------------------------------------------

    def sync(self) -> int:
        """Make everything written so far durable; returns `durable_lsn`.

        Raises
        ------
        JournalWriteError
            If the disk fails; the session is then FAILED and what was durable before stays.
        """
        with self._working():
            return self._all_durable()

    def _sync_for_interval(self) -> None:
        """In the timer's thread, and beside an open batch: only the journal is touched."""
        self._workspace.durable(self._log.sync())

    def _all_durable(self) -> int:
        """Sync unless a batch has records, and tell the workspace; returns the LSN of the last record."""
        if not (self._log.in_batch and self._log.records):
            self._workspace.durable(self._log.sync())
        return self.durable_lsn

    def _keep_promise(self, lsn: int | None) -> None:
        """Make a batch durable as the session's policy says."""
        if lsn is None:
            return
        if self._options.durability is Durability.RECORD:
            with self._poisoning():
                self._log.sync_to(lsn)
            # Whoever took the lock file away may have resumed this session, and
            # cut off what we write: that is no promise to make.
            self._require_lock()
            self._workspace.durable(self.durable_lsn)
        elif self._interval is not None:
            self._interval.note()

    def checkpoint(self) -> None:
        """Make everything written so far durable, and bring it to the staging file on disk.

        When the journal has grown beyond `journal_limit`, what the checkpoint
        holds is removed from it.
        """
        with self._working("checkpoint"):
            self._log.settle()
            applied = self._all_durable()
            self._workspace.checkpoint(applied)
            if self._journal_is_full:
                self._log.anchor(self._parts.record, applied, self._streams.states())
            else:
                self._log.control(Kind.CHECKPOINT, CheckpointRecord(applied=applied, time=now()))

    def _tend(self) -> None:
        """Checkpoint when enough has come together; what was acknowledged does not depend on it."""
        with self._mutex:
            if self.state is not State.OPEN or self._log.in_batch:
                return
            due = self._journal_is_full or self._workspace.is_due()
            if not due or time.monotonic() < self._no_checkpoint_before:
                return
            try:
                self.checkpoint()
            except (FreeSpaceError, ApplyError) as error:
                logger.warning("no checkpoint: %s", error)
                self._workspace.drop()
                # It stays due until one succeeds, and each try replays: not every record can be one.
                self._no_checkpoint_before = time.monotonic() + _CHECKPOINT_PAUSE

    @property
    def _journal_is_full(self) -> bool:
        return self._log.journal.size > self._options.journal_limit

    # --- guards and failure -------------------------------------------------------

    @contextmanager
    def _working(self, ending: str | None = None) -> Iterator[None]:
        """The mutex, and the state that a call needs; `ending` names calls that no batch may surround."""
        with self._mutex:
            self._require_open()
            if ending is not None and self._log.in_batch:
                raise SessionStateError(f"cannot {ending} inside a batch", path=self.target)
            with self._poisoning():
                yield

    @contextmanager
    def _poisoning(self) -> Iterator[None]:
        """Fail the session when the journal has (invariant 4)."""
        try:
            yield
        except (JournalWriteError, SessionFailedError):
            # The second when the interval's thread met the failure first.
            with self._mutex:
                if self._log.journal.failed and self.state is not State.FAILED:
                    self._fail()
            raise

    def _require_open(self) -> None:
        if os.getpid() != self._pid:
            raise SessionStateError(
                "this session belongs to the process that opened it, and this is a fork of it",
                path=self.target,
            )
        if self.state is State.FAILED:
            raise SessionFailedError(
                "the session has failed and takes no more work",
                path=self.target,
                safe="What was acknowledged is in the journal",
                hint="Bring it back with: " + recover_command(self.target),
            )
        if self.state is not State.OPEN:
            # COMMITTING too: what a progress callback wrote now would be acknowledged and not committed.
            raise SessionStateError(f"the session is {self.state}", path=self.target)

    def _require_lock(self) -> None:
        """Before anything that other sessions of this target could not bear."""
        try:
            publish.require_lock(self._parts.lock)
        except LockLostError:
            self._fail()
            raise

    def _fail(self) -> None:
        """Take no more work; what was acknowledged stays in the journal."""
        self.state = State.FAILED
        with suppress(SafeH5Error, OSError):
            self._workspace.drop()
        self._let_go()

    def seal_now(self, reason: str) -> None:
        """Seal the journal and let go, in the middle of whatever is going on.

        For the end of the process: a batch that is open then has no end, and
        does not exist. Nothing is applied.

        Raises
        ------
        SafeH5Error
            The seal could not be written, or not in time; the session is then interrupted.
        """
        if os.getpid() != self._pid:
            return
        # If another thread is in a call that takes long, it is not waited for.
        held = self._acquire_soon()
        try:
            if self.state is not State.OPEN:
                # Ended meanwhile, or about to be: a SEAL behind a COMMIT says nothing.
                return
            with self._log.journal.nobody_syncing(_SEAL_SECONDS):
                self._log.control(Kind.SEAL, SealRecord(time=now()))
            self.state = State.SUSPENDED
            logger.warning(
                "%s: the session on %s is sealed; commit it with: %s",
                reason,
                self.target,
                recover_command(self.target),
            )
            self._let_go()
        finally:
            if held:
                self._mutex.release()

    def close_file(self) -> None:
        """Close the HDF5 file under construction of a session that was sealed, unless it is in use."""
        if os.getpid() != self._pid or self.state is State.OPEN or not self._acquire_soon():
            return
        try:
            with suppress(SafeH5Error, OSError):
                self._workspace.drop()
        finally:
            self._mutex.release()

    def _acquire_soon(self) -> bool:
        """The mutex, if it can be had within `_SEAL_SECONDS`."""
        deadline = time.monotonic() + _SEAL_SECONDS
        while not self._mutex.acquire(blocking=False):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def _let_go(self) -> None:
        signals.forget(self)
        if self._interval is not None:
            self._interval.stop()
        with suppress(SafeH5Error, OSError):
            self._log.journal.close()
        with suppress(OSError):
            # Released in any case; what may fail is removing the file.
            self._parts.lock.release(remove=True)

    def __repr__(self) -> str:
        return f"<safeh5 session on {self.target!r}: {self.state}>"
