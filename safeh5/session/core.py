"""The working parts of a session: durability and checkpoints, on top of how it takes records.

`Contents` adds to this what a session is for, and `Session` how it ends; the states and
the numbered invariants stand at the head of `safeh5.session.session`.
"""

from __future__ import annotations

import time
from typing import Final

import h5py

from safeh5.errors import ApplyError, FreeSpaceError, JournalWriteError
from safeh5.events import logger
from safeh5.journal import Kind
from safeh5.operations.control import CheckpointRecord, now
from safeh5.options import MIB, Durability, JournalOptions, OnError
from safeh5.session import signals
from safeh5.session.applied import Applied
from safeh5.session.book import StreamBook
from safeh5.session.interval import IntervalSync
from safeh5.session.parts import Parts
from safeh5.session.reading import renew_failed
from safeh5.session.state import State

FLUSH_SECONDS: Final = 1.0
FLUSH_BYTES: Final = 16 * MIB
"""With more than this to write, a checkpoint is not made by a flush so soon after the last one."""
_CHECKPOINT_PAUSE: Final = 30.0
"""Seconds after a failed checkpoint in which no other is tried unasked."""


class SessionCore(Applied):
    """A session without its beginning and its end."""

    def __init__(
        self,
        parts: Parts,
        *,
        options: JournalOptions,
        on_error: OnError,
        journaled: bool,
    ) -> None:
        super().__init__(parts, options)
        self._on_error = on_error
        self._workspace.journaled = journaled
        self._streams = StreamBook(parts.storage, parts.found)
        if options.durability is Durability.INTERVAL:
            self._interval = IntervalSync(self._sync_for_interval, options.interval_ms)
        self._no_checkpoint_before = 0.0
        self._checkpointed = -FLUSH_SECONDS
        self._owed = IntervalSync(self._checkpoint_owed, round(1000 * FLUSH_SECONDS))
        signals.watch(self)

    # --- looking ------------------------------------------------------------------

    @property
    def durable_lsn(self) -> int:
        """Everything up to this record survives a power cut; of a batch, when its end does."""
        # Rows in memory have the LSN that comes next, and a sync mark may take it before them.
        before, settled, after = self.rows, self._log.journal.settled_lsn, self.rows
        return min([settled, *(rows.lsn - 1 for rows in (before, after) if rows is not None)])

    @property
    def lag_bytes(self) -> int:
        """Payload bytes that are in the journal and not yet applied."""
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

    # --- durability ---------------------------------------------------------------

    def sync(self) -> int:
        """Make everything written so far durable; returns `durable_lsn`.

        Raises
        ------
        JournalWriteError
            If the disk fails; the session is then FAILED and what was durable before stays.
        """
        return self._do(self._all_durable)

    def _look(self) -> h5py.File:
        """The file for the session's own questions, with everything written so far."""
        with self._working():
            self._before_looking()
            return self._workspace.look(self._applicable)

    def _before_looking(self) -> None:
        renew_failed(self._workspace, self._log.records if self._log.in_batch else 0)
        if not self._log.in_batch:
            self._flush_rows()

    def _applicable(self) -> int:
        """Sync, beside an open batch too; returns the LSN up to which everything can be applied."""
        self._workspace.durable(self._log.sync())
        return self.durable_lsn

    def _sync_for_interval(self) -> None:
        """In the timer's thread, and beside an open batch: only the journal is touched."""
        try:
            if self.rows is not None:  # then no batch is open, which could keep the mutex for long
                with self._mutex:
                    self._last_words()
        finally:
            self._workspace.durable(self._log.sync())
            if self.rows is not None and self._interval is not None:
                self._interval.note()

    def _all_durable(self) -> int:
        """Sync unless a batch has records, and tell the workspace; returns the LSN of the last record."""
        if not self._log.in_batch:
            self._flush_rows()
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

        When HDF5 has refused something of a file that h5py objects are open on, the checkpoint is
        left out until they are closed: it would have to open the file anew under them. Everything
        is durable all the same.

        Raises
        ------
        DiskFullError, ApplyError
            Everything is durable in the journal, and no new checkpoint was made; it may be called again.
        JournalWriteError
            The disk failed; what was durable before stays.
        """
        with self._working("checkpoint"):
            self._log.settle()
            applied = self._all_durable()
            if self._workspace.holds_back:
                self._no_checkpoint_before = time.monotonic() + _CHECKPOINT_PAUSE
                return
            self._workspace.checkpoint(applied)
            if self._journal_is_full:
                self._log.anchor(self._parts.record, applied, self._streams.states())
            else:
                self._log.control(Kind.CHECKPOINT, CheckpointRecord(applied=applied, time=now()))
            self._checkpointed = time.monotonic()

    def checkpoint_soon(self) -> None:
        """Make everything written so far durable, and checkpoint: now, or within `FLUSH_SECONDS`.

        For a program that flushes often. A checkpoint waits until the new file is on the disk too; where
        the last one was made a moment ago and tens of megabytes came since, it is left to a thread.
        What is durable does not depend on that, nor does what recovery finds.
        """
        with self._working("checkpoint"):
            early = time.monotonic() - self._checkpointed < FLUSH_SECONDS
            if early and self._workspace.fresh() >= FLUSH_BYTES and not self._journal_is_full:
                self._log.settle()
                self._all_durable()
                self._owed.note()
            else:
                self.checkpoint()

    def _checkpoint_owed(self) -> None:
        """In the timer's thread; no batch is open then, since it holds the mutex."""
        with self._mutex:
            if self.state is State.OPEN and self._workspace.fresh():
                self._try_checkpoint()

    def _let_go(self) -> None:
        self._owed.stop()
        super()._let_go()

    def _tend(self) -> None:
        """Checkpoint when enough has come together; what was acknowledged does not depend on it."""
        if not (self._journal_is_full or self._workspace.is_due()):
            return
        with self._mutex:
            if self.state is State.OPEN and not self._log.in_batch:
                self._try_checkpoint()

    def _try_checkpoint(self) -> None:
        if time.monotonic() < self._no_checkpoint_before:
            return
        try:
            self.checkpoint()
        except (FreeSpaceError, ApplyError, JournalWriteError) as error:
            # The call that finds it due has done what it was asked for: whoever was told that it
            # failed would do it again.
            if self._log.journal.failed:
                raise
            logger.warning("no checkpoint: %s", error)
            self._workspace.drop()
            # It stays due until one succeeds, and each try replays: not every record can be one.
            self._no_checkpoint_before = time.monotonic() + _CHECKPOINT_PAUSE

    @property
    def _journal_is_full(self) -> bool:
        return self._log.journal.size > self._options.journal_limit
