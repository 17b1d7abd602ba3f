"""Where operations are applied: the staging file, as the session sees it.

`Workspace` is what a session asks for. `Inline` applies in the caller: the
staging file is made when first needed, and a large target copied by the first
change, so that a session that only looks never pays for that. Whenever an
operation failed half way the file is opened again at its last checkpoint and
gone on with from the one thing that is sure, the journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import h5py

from safeh5._typing import Buffer
from safeh5.applier import Staging
from safeh5.errors import ApplyError, FreeSpaceError, JournalError, SafeH5Error
from safeh5.events import Progress
from safeh5.journal import JournalScan
from safeh5.operations.control import SessionRecord
from safeh5.operations.model import Operation
from safeh5.options import CheckpointOptions
from safeh5.recovery.replay import begin_staging, replay, require_base, room_needed
from safeh5.storage import Names, Storage


class Workspace(Protocol):
    """Applies what a session journals.

    Attributes
    ----------
    journaled : bool
        Whether the journal holds ended batches; kept by the session.
    uses_h5py : bool
        Whether operations are applied by h5py in the caller.
    """

    journaled: bool
    uses_h5py: bool

    def file(self, durable: Callable[[], int]) -> h5py.File:
        """The file with everything written so far, for reading; `durable` syncs it and gives its LSN."""

    def lag(self) -> tuple[int, float]:
        """Payload bytes that wait to be applied, and for how many seconds the oldest has."""

    def is_backlogged(self) -> bool:
        """Whether more waits to be applied than is allowed."""

    def make_room(self) -> None:
        """Wait until that is no longer so, or raise `BacklogFull`; everything is durable."""

    def prepare(self) -> None:
        """An operation is about to be journaled: be ready to apply it, or refuse."""

    def apply(self, operation: Operation, payload: Buffer, lsn: int) -> None:
        """An operation of the open batch was journaled."""

    def ended(self, lsn: int) -> None:
        """The batch has its END, at `lsn`."""

    def abandoned(self, records: int, *, refused: bool) -> None:
        """The open batch, of so many records, is cancelled; `refused` by HDF5 itself."""

    def durable(self, lsn: int) -> None:
        """Everything up to `lsn` is on disk."""

    def is_due(self) -> bool:
        """Whether the session should checkpoint now."""

    def checkpoint(self, lsn: int) -> None:
        """Make everything up to `lsn`, durable and outside a batch, the staging file's next checkpoint."""

    def finish(self, lsn: int) -> None:
        """Close the staging file with everything up to `lsn` in it: whole, and durable."""

    def room(self) -> int:
        """Bytes of room that `finish` needs at most."""

    def check(self) -> None:
        """Raise if the disk below what `file` gave has failed: what was read since may be wrong."""

    def drop(self) -> None:
        """Let go of the staging file; everything open on it becomes invalid."""


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

    def file(self, durable: Callable[[], int]) -> h5py.File:
        """The staging file itself; it holds the open batch too."""
        return self._ready().file

    def lag(self) -> tuple[int, float]:
        """None at all."""
        return 0, 0.0

    def is_backlogged(self) -> bool:
        """Never: nothing waits."""
        return False

    def make_room(self) -> None:
        """Nothing to do."""

    def prepare(self) -> None:
        """Make the staging file before anything is journaled that could not be applied."""
        self._own()

    def apply(self, operation: Operation, payload: Buffer, lsn: int) -> None:
        """Apply at once."""
        staging = self._own()
        staging.tell_reads(False)
        try:
            staging.applier.apply(operation, payload, lsn=lsn)
        finally:
            staging.tell_reads(True)
        self._fresh_bytes += memoryview(payload).nbytes
        if self._fresh_since is None:
            self._fresh_since = time.monotonic()

    def ended(self, lsn: int) -> None:
        """Nothing is left to do."""

    def durable(self, lsn: int) -> None:
        """Nothing is left to do."""

    def abandoned(self, records: int, *, refused: bool) -> None:
        """Throw away a staging file that may hold a part of a batch that does not exist."""
        if records == 1 and refused and self._is_sound():
            # HDF5 refused a single operation: it does so before changing
            # anything, so objects that are open on the file stay valid. That
            # this holds is not relied on for a checkpoint.
            self._doubtful = self._staging is not None
        elif records:
            self.drop()

    def is_due(self) -> bool:
        """Whether enough has been applied since the last checkpoint for the next one."""
        if self._staging is None or self._fresh_since is None:
            return False
        limits = self._checkpoints
        return (
            self._fresh_bytes >= limits.every_bytes
            or time.monotonic() - self._fresh_since >= limits.every_seconds
            or self._staging.held_bytes >= limits.held_bytes
        )

    def checkpoint(self, lsn: int) -> None:
        """Checkpoint, of a file that is sure."""
        try:
            self._sure().checkpoint(lsn)
        except BaseException:
            # It is the old checkpoint or the new one; which, is found out when it is next needed.
            self.drop()
            raise
        self._ready().tell_reads(True)
        self._fresh_bytes, self._fresh_since = 0, None

    def finish(self, lsn: int) -> None:
        """Close with a last checkpoint, of a file that is sure."""
        staging = self._sure()
        self._staging = None
        staging.finish(lsn)

    def room(self) -> int:
        """What is in memory only; without a staging file, what making it again takes."""
        if self._staging is not None and not self._doubtful:
            return self._staging.unwritten(self._fresh_bytes)
        return room_needed(self._storage, self._names, self._session, self._journal())

    def check(self) -> None:
        """Raise if the disk below the file has failed."""
        if self._staging is not None:
            self._staging.check()

    def drop(self) -> None:
        """Let go of the staging file; everything open on it becomes invalid."""
        staging, self._staging, self._doubtful = self._staging, None, False
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
        staging = self._ready()
        if staging.borrowed:
            require_base(self._names, self._session)
            staging.own(self._progress)
        return staging

    def _sure(self) -> Staging:
        """The staging file, opened anew if an operation on it failed."""
        if self._doubtful:
            self.drop()
        staging = self._own()
        staging.tell_reads(False)
        return staging

    def _begun(self) -> Staging:
        return begin_staging(
            self._storage, self._names, self._session_id, self._session, self._progress, only_look=True
        )

    def _replayed(self) -> Staging:
        try:
            return replay(self._storage, self._names, self._session, self._journal(), self._progress).staging
        except OSError as error:
            if isinstance(error, SafeH5Error):
                raise
            raise JournalError(
                f"the session's own journal cannot be read back: {error.strerror or error}",
                path=self._names.sidecar,
                safe="The target is untouched, and nothing acknowledged is lost",
                hint="See to the disk and call again",
            ) from error
