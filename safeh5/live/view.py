"""The live view: what a session has written so far, for everybody else to read.

The view is one checkpoint of the session, and stays it until `LiveView.refresh`.
It holds no lock that any writer would ask for; what the writer does for it is
explained in `safeh5.storage.readers`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import h5py

from safeh5.errors import LiveViewExpiredError, SessionStateError
from safeh5.live.source import Shown, Shows, current_session, open_newest
from safeh5.live.tail import Tail
from safeh5.recovery.locking import require_name
from safeh5.storage import Names, Storage, TargetLock
from safeh5.storage.closing import Closes
from safeh5.storage.pager import read_redo
from safeh5.storage.snapshot import SnapshotFile, newest_checkpoint

_SHORTEST: Final = 0.001
_LONGEST: Final = 0.02
_LOCK_SECONDS: Final = 0.25


class LiveState(StrEnum):
    """Whether somebody writes the file that a live view shows."""

    RUNNING = "running"
    """A session writes it."""
    STOPPED = "stopped"
    """Its session is suspended or was interrupted: it may be resumed, recovered or rolled back."""
    ENDED = "ended"
    """There is no session: it was committed or rolled back, or there was none. The target is all there is."""


class LiveView(Closes, Mapping[str, Any]):
    """What a session has written so far, read-only; made by `safeh5.live`.

    It can be used as an `h5py.File` that is open for reading: ``view["/a/b"]``,
    ``view.attrs``, ``view.visititems(...)``; where exactly an `h5py.File` is
    needed it is `file`. Everything in it is of one checkpoint. Objects taken
    from it close when the view is refreshed or closed.

    A read raises `LiveViewExpiredError` when the writer does not keep the
    checkpoint for this view any more; it never gives anything else than the
    checkpoint.
    """

    def __init__(self, storage: Storage, names: Names, keep_bytes: int) -> None:
        self._storage, self._names, self._keep_bytes = storage, names, keep_bytes
        self._mutex = threading.RLock()
        self._shown: Shown | None = open_newest(storage, names, keep_bytes)

    # --- what it shows ----------------------------------------------------------------

    @property
    def path(self) -> str:
        """Path of the HDF5 file, symbolic links resolved."""
        return self._names.target

    @property
    def file(self) -> h5py.File:
        """What is shown, as h5py knows it; another one after each `refresh`."""
        return self._open_one().file

    @property
    def shows(self) -> Shows:
        """Whether that is a checkpoint, the target itself, or nothing yet."""
        return self._open_one().shows

    @property
    def lsn(self) -> int:
        """LSN up to which the session's journal is in it; 0 when it is not a checkpoint."""
        return self._open_one().lsn

    @property
    def checkpoint_time(self) -> datetime | None:
        """When what is shown was written, in UTC; None for an empty file."""
        return self._open_one().time

    @property
    def age(self) -> float | None:
        """For how many seconds it has been there."""
        written = self.checkpoint_time
        return None if written is None else max(0.0, (datetime.now(UTC) - written).total_seconds())

    # --- what there is ----------------------------------------------------------------

    @property
    def state(self) -> LiveState:
        """Whether somebody writes the file now, whatever the view shows."""
        self._open_one()
        # The lock first: at its end a session removes its sidecar, then lets go of the lock.
        if TargetLock.is_held(self._names.lock):
            return LiveState.RUNNING
        session = current_session(self._storage, self._names)
        return LiveState.ENDED if session is None else LiveState.STOPPED

    @property
    def ended(self) -> bool:
        """Whether there is no session any more; after a `refresh` the view shows its result."""
        return self.state is LiveState.ENDED

    def refresh(self) -> bool:
        """Show the newest there is: the last checkpoint, or the target when the session has ended.

        Objects taken from the view before close, if anything newer is shown.

        Returns
        -------
        bool
            Whether something newer is shown now.

        Raises
        ------
        TargetNotFoundError
            The session was rolled back, and there is no file.
        """
        with self._mutex:
            if not self._is_newer():
                return False
            before, shown = self._open_one(), open_newest(self._storage, self._names, self._keep_bytes)
            if _same(before, shown) and not _has_expired(before):
                shown.close()
                return False
            self._shown = shown
            before.close()
            return True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until `refresh` has something newer to show.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Returns
        -------
        bool
            False if the time has passed, or nobody writes: the session has
            ended and its result is shown, or it has stopped.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause, look_at_lock = _SHORTEST, time.monotonic() + _LOCK_SECONDS
        idle = False
        while not self._is_newer():
            now = time.monotonic()
            if idle or (deadline is not None and now >= deadline):
                return False
            if now >= look_at_lock:
                # When nobody writes, look once more: the last thing he did may be to checkpoint.
                idle, look_at_lock = self.state is not LiveState.RUNNING, now + _LOCK_SECONDS
            time.sleep(pause if deadline is None else min(pause, max(0.0, deadline - now)))
            pause = min(_LONGEST, pause * 1.5)
        return True

    def tail(
        self,
        path: str,
        start: int | None = None,
        *,
        timeout: float | None = None,
        wait_for_resume: bool = False,
    ) -> Tail:
        """Follow a stream: its items, each as soon as it is durable, long before the next checkpoint.

        Parameters
        ----------
        path : str
            The dataset, which need not exist yet.
        start : int, optional
            The first item wanted; 0 for all, by default those that come from now on.
        timeout : float, optional
            Seconds without a new item after which the iteration ends; it can be gone on with.
        wait_for_resume : bool
            Wait for the session to be resumed when it has stopped, instead of ending.

        Returns
        -------
        Tail
            An iterator of `TailItem`: index and array.
        """
        self._open_one()
        return Tail(
            self._storage, self._names, path, start, timeout, wait_for_resume, keep_bytes=self._keep_bytes
        )

    def _is_newer(self) -> bool:
        shown = self._open_one()
        session = current_session(self._storage, self._names)
        if session != shown.session or _has_expired(shown):
            return True
        if session is None:
            return shown.inode != self._target_inode()
        _, applied = newest_checkpoint(self._storage, self._names.staging, session)
        if applied <= shown.lsn and not (applied and shown.shows is not Shows.CHECKPOINT):
            return False
        # It may be half written yet.
        redo = read_redo(self._storage, self._names.staging, session)
        return redo is not None and redo.applied >= applied

    def _target_inode(self) -> int | None:
        try:
            return self._storage.stat(self._names.target).st_ino
        except FileNotFoundError:
            return None

    def _open_one(self) -> Shown:
        shown = self._shown
        if shown is None:
            raise SessionStateError("this live view is closed", path=self._names.target)
        return shown

    # --- as an h5py.File --------------------------------------------------------------

    def __getitem__(self, name: Any) -> Any:
        return self.file[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.file)

    def __len__(self) -> int:
        return len(self.file)

    def __contains__(self, name: object) -> bool:
        return name in self.file

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.file, name)

    def keys(self) -> Any:
        """Names in the root group."""
        return self.file.keys()

    def values(self) -> Any:
        """Objects in the root group."""
        return self.file.values()

    def items(self) -> Any:
        """Names and objects in the root group."""
        return self.file.items()

    def get(self, name: str, default: Any = None, **options: Any) -> Any:
        """As `h5py.Group.get`."""
        return self.file.get(name, default, **options)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> bool:
        return self._shown is not None

    # --- ending -----------------------------------------------------------------------

    def close(self) -> None:
        """Close the view and everything taken from it; done twice is done once."""
        with self._mutex:
            shown, self._shown = self._shown, None
            if shown is not None:
                shown.close()

    def __repr__(self) -> str:
        shown = self._shown
        what = "closed" if shown is None else f"{shown.shows}, LSN {shown.lsn}"
        return f"<safeh5 live view of {self._names.target!r}: {what}>"


def _has_expired(shown: Shown) -> bool:
    if not isinstance(shown.below, SnapshotFile):
        return False
    try:
        shown.below.check()
    except LiveViewExpiredError:
        return True
    return False


def _same(before: Shown, after: Shown) -> bool:
    """Whether one shows nothing newer than the other."""
    if (before.session, before.shows) != (after.session, after.shows):
        return after.session == before.session and after.shows is not Shows.CHECKPOINT
    if after.shows is Shows.CHECKPOINT:
        return after.lsn <= before.lsn
    return after.inode == before.inode


def open_view(path: str | os.PathLike[str], keep_bytes: int, storage: Storage) -> LiveView:
    """The live view of the file at `path`."""
    names = Names.of(path)
    require_name(names)
    return LiveView(storage, names, keep_bytes)
