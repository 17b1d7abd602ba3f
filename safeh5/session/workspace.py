"""The staging file of a session: made when first needed, and again when it is no longer sure.

A session that only looks, or that opens a large target and ends without a
change, never pays for a copy. And whenever an operation failed half way the
staging file is opened again at its last checkpoint and gone on with from the
one thing that is sure, the journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from safeh5.applier import Staging
from safeh5.events import Progress
from safeh5.journal import JournalScan
from safeh5.operations.control import SessionRecord
from safeh5.options import CheckpointOptions
from safeh5.recovery.replay import begin_staging, replay
from safeh5.storage import Names, Storage


class Workspace:
    """Keeps the staging file of one session.

    Parameters
    ----------
    storage, names : Storage, Names
        Where it lies.
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

    @property
    def is_open(self) -> bool:
        """Whether there is a staging file at present."""
        return self._staging is not None

    def staging(self, *, journaled: bool) -> Staging:
        """The staging file, made now if there is none.

        Parameters
        ----------
        journaled : bool
            Whether the journal holds ended batches, to be replayed.
        """
        if self._staging is None:
            self._staging = self._replayed() if journaled else self._begun()
        return self._staging

    def note(self, size: int) -> None:
        """An operation with a payload of `size` bytes was applied."""
        self._fresh_bytes += size
        if self._fresh_since is None:
            self._fresh_since = time.monotonic()

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

    def checkpoint(self, applied: int, *, journaled: bool) -> None:
        """Make the staging file durable as it is after LSN `applied`."""
        self.sure_staging(journaled=journaled).checkpoint(applied)
        self._fresh_bytes, self._fresh_since = 0, None

    def sure_staging(self, *, journaled: bool) -> Staging:
        """The staging file for a commit: opened anew if an operation on it failed."""
        if self._doubtful:
            self.drop()
        return self.staging(journaled=journaled)

    def doubt(self) -> None:
        """One operation failed in HDF5: go on with the file, but do not commit it."""
        self._doubtful = self._staging is not None

    def release(self) -> None:
        """Forget the staging file, which somebody else closes."""
        self._staging = None

    def drop(self) -> None:
        """Let go of the staging file; everything open on it becomes invalid."""
        staging, self._staging, self._doubtful = self._staging, None, False
        if staging is not None:
            staging.drop()

    def _begun(self) -> Staging:
        return begin_staging(self._storage, self._names, self._session_id, self._session, self._progress)

    def _replayed(self) -> Staging:
        return replay(self._storage, self._names, self._session, self._journal(), self._progress).staging
