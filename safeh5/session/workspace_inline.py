"""The workspace that applies in the caller.

The staging file is made when first needed, and a large target copied by the
first change, so that a session that only looks never pays for that. Whenever an
operation failed half way the file is opened again at its last checkpoint and
gone on with from the one thing that is sure, the journal.

Operations that HDF5 is known to take *wait*: they are in the journal, and are
applied from there when somebody needs the file or too much waits. Nothing of
them is kept in memory but where they stand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import h5py

from safeh5._typing import Buffer
from safeh5.applier import AtHand, Staging
from safeh5.applier.coalesce import Coalescer
from safeh5.errors import ApplyError, FreeSpaceError, JournalError, SafeH5Error
from safeh5.events import Progress, logger
from safeh5.journal import JournalScan, Placed, reread
from safeh5.operations import codec
from safeh5.operations.control import SessionRecord
from safeh5.operations.model import Operation
from safeh5.options import MIB, CheckpointOptions
from safeh5.recovery.replay import begin_staging, replay, require_base, room_needed
from safeh5.storage import Names, Storage

_WAITING_BYTES: Final = 64 * MIB
_WAITING_RECORDS: Final = 16384
"""More than this does not wait to be applied in the caller: the next call that writes applies it."""
_HELD_BACK: Final = 8
"""A checkpoint that would close what users have open waits until so many times `held_bytes` wait for it."""
_HELD_EVERY: Final = 64
"""After so many operations the memory that HDF5 holds is asked for again."""


class Inline:
    """Applies in the caller.

    Parameters
    ----------
    storage, names : Storage, Names
        Where the staging file lies.
    session_id, session : bytes, SessionRecord
        Whose it is, and how the session began.
    journal : callable
        Reads the session's own journal, for making the staging file again.
    checkpoints : CheckpointOptions
        When a checkpoint is due.
    progress : callable
        Told about copying and replaying.
    """

    applies_first = True

    def __init__(
        self,
        storage: Storage,
        names: Names,
        session_id: bytes,
        session: SessionRecord,
        journal: Callable[[], JournalScan],
        checkpoints: CheckpointOptions,
        progress: Progress,
    ) -> None:
        self.journaled = False
        self.uses_h5py = True
        self._storage = storage
        self._names = names
        self._session_id = session_id
        self._session = session
        self._journal = journal
        self._checkpoints = checkpoints
        self._progress = progress
        self._staging: Staging | None = None
        self._doubtful = False
        self._fresh_bytes = 0
        self._fresh_since: float | None = None
        # Ended batches that the open staging file has not; what is replayed needs no list.
        self._waiting: list[Placed] = []
        self._waiting_bytes = 0
        self._waiting_since = 0.0
        # The open batch, whole, and how much of it the open staging file has.
        self._batch: list[Placed] = []
        self._batch_done = 0
        self._batch_bytes = 0
        self._touched = self._live = False
        self._held_bytes = 0
        self._operations = 0

    def file(self, durable: Callable[[], int]) -> h5py.File:
        """The staging file itself, or the target as long as nothing has changed; with the open batch."""
        file = self.look(durable)
        self._live = True
        return file

    @property
    def live(self) -> bool:
        """Since `file` was handed out, until it is closed."""
        return self._live

    def look(self, durable: Callable[[], int]) -> h5py.File:
        """The same, for a moment."""
        waits = self._waiting or len(self._batch) > self._batch_done
        return (self._caught_up() if waits else self._ready()).file

    def streams(self) -> None:
        """Nothing changes by that."""

    @property
    def in_batch(self) -> bool:
        """Whether a batch is open that has records."""
        return bool(self._batch)

    def hand_over(self, lsn: int) -> None:
        """Leave the staging file, with everything up to `lsn` in it, to another applier.

        A file that nobody has made a checkpoint of and that begins empty is
        simply made again: the journal reaches back to its beginning.
        """
        if self._staging is not None and (self._session.copy or self._staging.applied):
            self.checkpoint(lsn)
        self.drop()
        self._fresh_bytes, self._fresh_since = 0, None

    def lag(self) -> tuple[int, float]:
        """What waits to be applied, and for how long the oldest of it has."""
        waiting = self._waiting
        return self._waiting_bytes, time.monotonic() - self._waiting_since if waiting else 0.0

    def is_backlogged(self) -> bool:
        """Whether the next call should apply what waits."""
        return self._waiting_bytes > _WAITING_BYTES or len(self._waiting) > _WAITING_RECORDS

    def make_room(self, durable: Callable[[], int]) -> None:
        """Apply what waits; if that fails the journal has it, and the acquisition goes on."""
        try:
            self._caught_up()
        except (ApplyError, FreeSpaceError) as error:
            logger.warning("what was written is not applied, and stays in the journal: %s", error)
            self.drop()

    def prepare(self) -> None:
        """Have the staging file open and up to date; what stands in the way is better known before."""
        staging = self._staging
        if staging is not None and staging.has_failed and not self._batch:
            # A read below it failed, since the last change. What is in the journal makes it anew.
            self.drop()
            staging = None
        if staging is None or staging.borrowed or self._waiting or len(self._batch) > self._batch_done:
            self._caught_up()

    def expect(self) -> None:
        """Copy a target that was only looked at; what was dropped is not made again for this."""
        if not self.journaled:
            self._own()

    def take(self, placed: Placed, size: int) -> None:
        """Let it wait."""
        self._batch.append(placed)
        self._batch_bytes += size
        if self._fresh_since is None:
            self._fresh_since = time.monotonic()

    def apply(self, operation: Operation, payload: Buffer, lsn: int, at: AtHand | None = None) -> None:
        """Apply what was taken last; all before it has been (`prepare`)."""
        self._touched = True
        # Refused or not, it is not tried a second time: the batch is spoiled then.
        self._batch_done = len(self._batch)
        staging = self._own()
        staging.tell_reads(False)
        try:
            staging.applier.apply(operation, payload, lsn=lsn, at=at)
        finally:
            staging.tell_reads(True)
        self._note_applied(1)

    def apply_first(self, operation: Operation, payload: Buffer, lsn: int, at: AtHand | None) -> None:
        """Apply it to the objects at hand."""
        self._touched = True
        staging = self._staging
        assert staging is not None
        staging.tell_reads(False)
        try:
            staging.applier.apply(operation, payload, lsn=lsn, at=at)
        finally:
            staging.tell_reads(True)
        self._batch_bytes += memoryview(payload).nbytes
        if self._fresh_since is None:
            self._fresh_since = time.monotonic()
        self._note_applied(1)

    def write_back(self) -> None:
        """What a checkpoint would wait for is begun."""
        staging = self._staging
        if staging is not None and not staging.borrowed:
            staging.write_back()

    def ended(self, lsn: int) -> None:
        """The batch waits, as far as it is not applied."""
        if self._staging is not None and self._batch_done < len(self._batch):
            if not self._waiting:
                self._waiting_since = time.monotonic()
            self._waiting += self._batch[self._batch_done :]
            self._waiting_bytes += self._batch_bytes
        self._fresh_bytes += self._batch_bytes
        self._forget_batch()

    def _forget_batch(self) -> None:
        self._batch, self._batch_done, self._batch_bytes, self._touched = [], 0, 0, False

    def durable(self, lsn: int) -> None:
        """Nothing is left to do."""

    def abandoned(self, records: int, *, refused: bool) -> None:
        """Throw away a staging file that may hold a part of a batch that does not exist."""
        if self._touched:
            if records == 1 and refused and self._is_sound():
                # HDF5 refused a single operation: it does so before changing
                # anything, so objects that are open on the file stay valid. That
                # this holds is not relied on for a checkpoint.
                self._doubtful = self._staging is not None
            else:
                self.drop()
        self._forget_batch()

    def fresh(self) -> int:
        """Payload bytes that were applied since the last checkpoint."""
        return self._fresh_bytes

    def is_due(self) -> bool:
        """Whether enough has been applied since the last checkpoint for the next one."""
        if self._staging is None or self._fresh_since is None or self.holds_back:
            return False
        limits = self._checkpoints
        return (
            self._fresh_bytes >= limits.every_bytes
            or time.monotonic() - self._fresh_since >= limits.every_seconds
            or self._held_bytes >= limits.held_bytes
        )

    @property
    def holds_back(self) -> bool:
        """After a refusal the file is no more sure, and to open it anew would close what users have open.

        Everything is in the journal, so they go on; not when the memory for what waits for a
        checkpoint has been used up.
        """
        return self._doubtful and self._live and self._held_bytes < _HELD_BACK * self._checkpoints.held_bytes

    def checkpoint(self, lsn: int) -> None:
        """Checkpoint, of a file that is sure."""
        try:
            self._sure().checkpoint(lsn)
        except BaseException:
            # It is the old checkpoint or the new one; which, is found out when it is next needed.
            self.drop()
            raise
        self._ready().tell_reads(True)
        self._fresh_bytes, self._fresh_since, self._held_bytes = 0, None, 0

    def finish(self, lsn: int) -> None:
        """Close with a last checkpoint, of a file that is sure."""
        staging, self._staging = self._sure(), None
        staging.finish(lsn)

    def room(self) -> int:
        """What is in memory only; without a staging file, what making it again takes."""
        if self._staging is not None and not self._doubtful:
            return self._staging.unwritten(self._fresh_bytes - self._waiting_bytes) + self._waiting_bytes
        return room_needed(self._storage, self._names, self._session, self._journal())

    def check(self) -> None:
        """Raise if the disk below the file has failed."""
        if self._staging is not None:
            self._staging.check()

    def drop(self) -> None:
        """Let go of the staging file; everything open on it becomes invalid."""
        staging, self._staging, self._doubtful = self._staging, None, False
        self._waiting, self._waiting_bytes, self._batch_done, self._live = [], 0, 0, False
        if staging is not None:
            staging.drop()

    def _is_sound(self) -> bool:
        """Whether the disk below the staging file has not failed."""
        try:
            self.check()
        except (ApplyError, FreeSpaceError):
            return False
        return True

    def _ready(self) -> Staging:
        if self._staging is None:
            self._staging = self._replayed() if self.journaled else self._begun()
            self._staging.tell_reads(True)
        return self._staging

    def _own(self) -> Staging:
        """The staging file, to be changed; a target that was only looked at is copied now."""
        if not self._touched and not self._is_sound():
            # The disk failed under somebody who read, and was told.
            self.drop()
        staging = self._ready()
        if staging.borrowed:
            require_base(self._names, self._session)
            staging.own(self._progress)
        return staging

    def _caught_up(self) -> Staging:
        """The staging file with everything in it that is in the journal, the open batch included."""
        staging = self._own()
        places = self._waiting + self._batch[self._batch_done :]
        if not places:
            return staging
        self._touched = self._touched or len(self._batch) > self._batch_done
        try:
            with self._reading_back():
                self._apply_from_journal(staging, places)
        except BaseException:
            # How far it came is not known; the journal has everything.
            self.drop()
            raise
        self._waiting, self._waiting_bytes, self._batch_done = [], 0, len(self._batch)
        self._note_applied(len(places))
        return staging

    def _apply_from_journal(self, staging: Staging, places: list[Placed]) -> None:
        staging.tell_reads(False)
        coalescer = Coalescer(staging.applier, staging.write_back)
        for record in reread(self._storage, self._names.sidecar, self._session_id, places):
            coalescer.apply(codec.decode(record.meta), record.payload, record.lsn)
        coalescer.flush()
        staging.tell_reads(True)

    def _note_applied(self, count: int) -> None:
        """From time to time look at the memory that waits for a checkpoint."""
        self._operations += count
        if self._operations >= _HELD_EVERY and self._staging is not None:
            self._operations, self._held_bytes = 0, self._staging.held_bytes

    def _sure(self) -> Staging:
        """The staging file up to date, opened anew if an operation on it failed."""
        if self._doubtful:
            self.drop()
        staging = self._caught_up()
        staging.tell_reads(False)
        return staging

    def _begun(self) -> Staging:
        return begin_staging(
            self._storage, self._names, self._session_id, self._session, self._progress, only_look=True
        )

    def _replayed(self) -> Staging:
        with self._reading_back():
            return replay(self._storage, self._names, self._session, self._journal(), self._progress).staging

    @contextmanager
    def _reading_back(self) -> Iterator[None]:
        """A disk that fails under the session's own journal is one of our errors."""
        try:
            yield
        except OSError as error:
            if isinstance(error, SafeH5Error):
                raise
            raise JournalError(
                f"the session's own journal cannot be read back: {error.strerror or error}",
                path=self._names.sidecar,
                safe="The target is untouched, and nothing acknowledged is lost",
                hint="See to the disk and call again",
            ) from error
