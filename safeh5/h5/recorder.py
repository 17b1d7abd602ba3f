"""What the id layer needs of a session."""

from __future__ import annotations

from typing import Protocol

from h5py import h5f

from safeh5._typing import Buffer
from safeh5.applier import AtHand
from safeh5.operations.model import Operation
from safeh5.session import Session, State


class Recorder(Protocol):
    """Takes the changes made through h5py's objects of one file."""

    @property
    def file_id(self) -> h5f.FileID:
        """The open HDF5 file, as a plain h5py identifier."""

    @property
    def target(self) -> str:
        """Path of the file that the user works on, shown as its name."""

    @property
    def commits(self) -> bool:
        """Whether the file is closed for good when its last user closes it."""

    @property
    def ended(self) -> bool:
        """Whether it has come to an orderly end, so that closing has nothing left to do."""

    @property
    def epoch(self) -> int:
        """Changes whenever another object may stand at a path."""

    @property
    def position(self) -> int:
        """Changes with every change of the file."""

    def record(self, operation: Operation, payload: Buffer = b"", at: AtHand | None = None) -> int:
        """Journal an operation and apply it to `file_id`, to what is `at` hand; returns its LSN."""

    def flush(self) -> None:
        """Make everything recorded so far durable."""

    def close(self) -> None:
        """Commit; `file_id` and every identifier of the file are closed on return."""

    def abandon(self, error: BaseException) -> None:
        """End without committing, because `error` left a ``with`` block."""


class SessionRecorder:
    """A session as a `Recorder`.

    Parameters
    ----------
    session : Session
        An open session.
    commits : bool
        Whether closing the file commits the session; not if somebody else opened
        it, who ends it.
    """

    def __init__(self, session: Session, *, commits: bool = True) -> None:
        self.session = session
        self.commits = commits
        self._flushed = -1

    @property
    def file_id(self) -> h5f.FileID:
        """The staging file of the session."""
        return self.session.file.id

    @property
    def target(self) -> str:
        """The session's target."""
        return self.session.target

    @property
    def ended(self) -> bool:
        """Whether the session is committed, rolled back or suspended."""
        return self.session.state in (State.COMMITTED, State.ROLLED_BACK, State.SUSPENDED)

    @property
    def epoch(self) -> int:
        """See `Session.names_epoch`."""
        return self.session.names_epoch

    @property
    def position(self) -> int:
        """See `Session.last_lsn`."""
        return self.session.last_lsn

    def record(self, operation: Operation, payload: Buffer = b"", at: AtHand | None = None) -> int:
        """See `Session.record`."""
        return self.session.record(operation, payload, at)

    def flush(self) -> None:
        """See `Session.checkpoint_soon`; inside a batch, what can be is made durable."""
        durable = self.session.sync()
        if durable != self._flushed and not self.session.in_batch:
            self.session.checkpoint_soon()
            self._flushed = self.session.durable_lsn

    def close(self) -> None:
        """See `Session.commit`."""
        self.session.commit()

    def abandon(self, error: BaseException) -> None:
        """End the session as its `on_error` says; one in which nothing was changed just ends."""
        if self.session.has_changes:
            self.session.__exit__(type(error), error, error.__traceback__)
        else:
            self.session.rollback()
