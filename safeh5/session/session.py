"""A session: one transaction on one HDF5 file, from opening to commit.

States
------
::

    OPEN --commit--> COMMITTING --> COMMITTED
      |                  |
      |                  +--------> OPEN        nothing was decided (no room, target changed)
      |                  +--------> FAILED      the COMMIT record may be there: recover decides
      +--rollback--> ROLLED_BACK
      +--suspend---> SUSPENDED
      +--a failed fsync, a lost lock--> FAILED

=============  =================================  ==============================
state          on disk                            target
=============  =================================  ==============================
OPEN           sidecar, journal growing, staging  as the session found it
COMMITTING     staging whole; COMMIT record last  as found, until the rename
COMMITTED      no sidecar                         the new file
ROLLED_BACK    no sidecar, or kept aside          as the session found it
SUSPENDED      sidecar, journal ends in SEAL      as the session found it
FAILED         sidecar                            as found, or the new file whole
=============  =================================  ==============================

Invariants
----------
1. The lock is held from before the sidecar is looked at until after it is gone
   or sealed.
2. An operation is in the journal before the applier sees it, and its batch has
   no END before every operation of it was applied that HDF5 might refuse: what
   HDF5 refuses was never acknowledged. What it is sure to take may wait in the
   journal (docs/decisions/0013). Where HDF5 works in the caller and a record is not
   durable when its call returns, there are two exceptions. A small one that is a batch in
   itself goes to HDF5 first, and into the journal in the same step (docs/decisions/0019).
   A large one goes to both at the same time, and its END follows when both have it
   (docs/decisions/0022). Either way no checkpoint holds what the journal does not.
3. The staging file holds the ended batches, but for those that wait, and those
   operations of the open batch that were applied. When that is no longer sure
   it is thrown away and made again from the journal when next needed. Nobody
   looks at it, and no checkpoint is made of it, before what waits is applied.
4. After a failed fsync nothing is acknowledged any more.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from safeh5.errors import (
    FreeSpaceError,
    JournalError,
    JournalWriteError,
    SafeH5Error,
    SessionFailedError,
    TargetChangedError,
    recover_command,
)
from safeh5.events import logger
from safeh5.journal import Kind
from safeh5.operations.control import RollbackRecord, SealRecord, now
from safeh5.options import KIB, OnError
from safeh5.session import ending
from safeh5.session.contents import Contents
from safeh5.session.parts import Parts
from safeh5.session.state import State
from safeh5.storage.fingerprint import Fingerprint

COMMIT_BYTES: Final = 64 * KIB
"""Room for the last records of the journal, a segment for them included."""


class Session(Contents):
    """One transaction on one HDF5 file; made by `safeh5.open`.

    Attributes
    ----------
    target : str
        Path of the HDF5 file, symbolic links resolved.
    state : State
        Where the session stands.
    """

    # --- ending -------------------------------------------------------------------

    def commit(self) -> None:
        """Put the new file in the place of the target, atomically and durably.

        On return the target is the new file, on disk, and the sidecar is gone.

        Raises
        ------
        TargetChangedError, VerificationError, DiskFullError
            Nothing was decided: target untouched, session open as before.
        LockLostError
            Nothing was decided, and the session has FAILED: somebody else may hold the lock now.
        SessionFailedError
            The disk failed in the last steps; ``safeh5 recover`` finishes them.
        """
        with self._working("commit"):
            self._require_lock()
            self._flush_rows()
            if not self._workspace.journaled and self._parts.record.copy:
                # Nothing was changed: the target is its own result.
                self._leave(State.COMMITTED, ending.retire)
                return
            self._log.disk.require(self._workspace.room() + COMMIT_BYTES, "the commit")
            self._decide(self._prepare())
            self._leave(State.COMMITTED, ending.place_and_retire)

    def _prepare(self) -> Fingerprint:
        """The new file, whole, closed and on disk; after an error the session is open as before."""
        self.state = State.COMMITTING
        try:
            return self._log.disk.with_reserve(lambda: ending.prepare(self._parts))
        except OSError as error:
            if isinstance(error, SafeH5Error):
                raise
            raise JournalError(
                f"the new file could not be finished: {error.strerror or error}",
                path=error.filename or self.target,
                safe="Nothing was touched, and the session is open as before",
                hint="See to that and call again, or suspend() and later: " + recover_command(self.target),
            ) from error
        finally:
            self.state = State.OPEN

    def _decide(self, result: Fingerprint) -> None:
        """Write the COMMIT record; if it is not sure whether it is there, recovery finds out."""
        self.state = State.COMMITTING
        try:
            ending.decide(self._parts, result)
        except BaseException as error:
            refused = isinstance(error, TargetChangedError | FreeSpaceError | JournalWriteError)
            # A write that failed was taken back: there is no COMMIT record. After a failed sync nobody knows.
            if refused and not self._log.journal.failed:
                self.state = State.OPEN
            else:
                self._fail()
            raise

    def rollback(self, *, keep: bool = False) -> None:
        """Give up everything written since the session began; the target stays as it is.

        Parameters
        ----------
        keep : bool
            Keep the sidecar under another name instead of deleting it.

        Raises
        ------
        LockLostError
            Nothing was given up, and the session has FAILED: somebody else may hold the lock now.
        SessionFailedError
            The disk failed in the last steps; ``safeh5 recover --rollback`` finishes them.
        """
        with self._working("roll back"):
            self._require_lock()
            self.rows = None
            self._workspace.drop()
            try:
                self._log.control(Kind.ROLLBACK, RollbackRecord(time=now()))
            except (FreeSpaceError, JournalWriteError) as error:
                if self._log.journal.failed:
                    raise
                # The record only spares a question after a crash in the next
                # step; to give up must be possible on a full or failing disk.
                logger.warning("the roll back is not noted in the journal: %s", error)
            self._leave(State.ROLLED_BACK, ending.set_aside if keep else ending.retire)

    def suspend(self) -> None:
        """Seal the journal and let the session rest: resume, replay or roll back later.

        On return everything written is durable and the lock is free.

        Raises
        ------
        DiskFullError, JournalWriteError
            The seal could not be written. While the session is still OPEN it may be called again; in
            any case recovery brings back all that was acknowledged.
        LockLostError
            The session has FAILED: somebody else may hold the lock now.
        """
        with self._working("suspend"):
            self._require_lock()
            self._flush_rows()
            self._log.control(Kind.SEAL, SealRecord(time=now()))
            self._workspace.drop()
            self._leave(State.SUSPENDED, ending.nothing)

    def _leave(self, state: State, last_steps: Callable[[Parts], None]) -> None:
        """Do what is left after the decision; whatever happens, let go of everything."""
        if self._interval is not None:
            self._interval.stop()
        try:
            last_steps(self._parts)
        except OSError as error:
            self._fail()
            raise SessionFailedError(
                f"the session is {state}, but its last steps failed: {error.strerror or error}",
                path=self.target,
                safe="Nothing is lost",
                hint="Finish with: "
                + recover_command(self.target, *(["--rollback"] if state is State.ROLLED_BACK else [])),
            ) from error
        except BaseException:
            self._fail()
            raise
        self.state = state
        self._let_go()

    # --- with ---------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.state is not State.OPEN or os.getpid() != self._pid:
            return
        if error is None:
            self._commit_or_release()
            return
        logger.error("%s left the session on %s: %s", type(error).__name__, self.target, self._on_error.value)
        end = {OnError.COMMIT: self.commit, OnError.ROLLBACK: self.rollback, OnError.SUSPEND: self.suspend}
        try:
            end[self._on_error]()
        except SafeH5Error as second:
            # The first exception is what the caller must see.
            logger.error("%s", second)
            self._abandon()
        if self._on_error is OnError.SUSPEND:
            logger.error("nothing is lost; commit what was written with: %s", recover_command(self.target))

    def _commit_or_release(self) -> None:
        """Commit at the end of a ``with``; when that is refused nobody is left to try again."""
        try:
            self.commit()
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        """Let go without a word in the journal: to recovery this is an interrupted session."""
        if self.state is State.OPEN:
            self._fail()
