"""What keeps a session from doing harm: its state, its one lock, and what happens when something fails.

The states stand at the head of `safeh5.session.session`.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NoReturn, TypeVar

from h5py.h5f import phil

from safeh5.errors import (
    JournalWriteError,
    LockLostError,
    SafeH5Error,
    SessionFailedError,
    SessionStateError,
    recover_command,
)
from safeh5.events import logger
from safeh5.journal import Kind
from safeh5.operations.control import SealRecord, now
from safeh5.recovery import publish
from safeh5.session import signals
from safeh5.session.interval import IntervalSync
from safeh5.session.parts import Parts
from safeh5.session.rows import RowBlock
from safeh5.session.state import State
from safeh5.storage.interrupts import Uncollected

_Result = TypeVar("_Result")

_SEAL_SECONDS: Final = 2.0
"""How long sealing at the end of the process waits for a call of another thread."""


class Guarded:
    """A session as far as it looks after itself.

    Attributes
    ----------
    target : str
        Path of the HDF5 file, symbolic links resolved.
    state : State
        Where the session stands.
    rows : RowBlock or None
        Small items that wait to become one record; none after the session has ended.
    """

    def __init__(self, parts: Parts) -> None:
        self.target = parts.names.target
        self.state = State.OPEN
        self._parts = parts
        self._log, self._workspace = parts.log, parts.workspace
        self._interval: IntervalSync | None = None
        self.rows: RowBlock | None = None
        # Applying in the caller takes h5py's own lock inside ours, and h5py objects that are
        # journaled take ours inside h5py's: two locks would sooner or later wait for each other.
        self._mutex = self.mutex = phil if self._workspace.uses_h5py else threading.RLock()
        self._pid = os.getpid()

    def _last_words(self) -> None:
        """What is still to go to the journal before it is sealed; the mutex is held."""

    @contextmanager
    def _working(self, ending: str | None = None) -> Iterator[None]:
        """The mutex, and the state that a call needs; `ending` names calls that no batch may surround."""
        with self._mutex:
            self._require_open()
            if ending is not None and self._log.in_batch:
                raise SessionStateError(f"cannot {ending} inside a batch", path=self.target)
            with self._poisoning():
                yield

    def _do(self, action: Callable[[], _Result]) -> _Result:
        """`action` inside `_working`, in a third of the time: for what is done with every sync."""
        with self._mutex:
            self._require_open()
            try:
                return action()
            except (JournalWriteError, SessionFailedError):
                self._fail_if_poisoned()
                raise

    @contextmanager
    def _poisoning(self) -> Iterator[None]:
        """Fail the session when the journal has (invariant 4)."""
        try:
            yield
        except (JournalWriteError, SessionFailedError):
            self._fail_if_poisoned()
            raise

    def _fail_if_poisoned(self) -> None:
        """Fail if the journal has; the thread of the interval may have met the failure first."""
        with self._mutex:
            if self._log.journal.failed and self.state is not State.FAILED:
                self._fail()

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
            if held:
                self._last_words()
            # Who holds the mutex may wait for the journal, and garbage collected here for the mutex.
            with Uncollected(), self._log.journal.nobody_syncing(_SEAL_SECONDS):
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

    @property
    def is_ours(self) -> bool:
        """Whether the session is open, and this process is not a fork of the one that opened it."""
        return self.state is State.OPEN and os.getpid() == self._pid

    def close_file(self) -> None:
        """Close the HDF5 file of a session that was sealed or is another process's, unless it is in use.

        In a fork nothing is written by that: see `safeh5.storage.staging`.
        """
        if not self._workspace.uses_h5py or self.is_ours or not self._acquire_soon():
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
        self.rows = None
        signals.forget(self)
        if self._interval is not None:
            self._interval.stop()
        with suppress(SafeH5Error, OSError):
            self._log.journal.close()
        with suppress(OSError):
            # Released in any case; what may fail is removing the file.
            self._parts.lock.release(remove=True)

    def __reduce__(self) -> NoReturn:
        # For pickle, which multiprocessing uses: a stream is refused with its session.
        raise SessionStateError(
            "a session, and a stream of it, cannot be sent to another process: it belongs to the one "
            "that opened it",
            path=self.target,
            hint="Send the values to that process, through a queue say, and append them there",
        )

    def __repr__(self) -> str:
        return f"<safeh5 session on {self.target!r}: {self.state}>"


def _in_fork() -> None:
    """In a fork of this process: its copies of gathered rows are due, so the next row meets `_require_open`.

    To ask with every row which process this is would cost more than to take the row.
    """
    for session in signals.watched():
        if isinstance(session, Guarded) and session.rows is not None:
            session.rows.due = -math.inf


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_fork)
