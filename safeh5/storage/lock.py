"""One writer per target: an operating-system lock that dies with its holder.

The lock is `filelock.FileLock` (``flock``, ``LockFileEx``) on a file beside the
target. The kernel releases it when the holder ends, however it ends. What the
file contains or whether it exists says nothing: only the lock counts.

Rules
-----
1. **Only the lock on the file that has the name counts.** A releaser unlinks
   the file, so a waiter may get the lock of a file without a name, or of one
   that another file has replaced. After acquiring, the file locked is compared
   with the file that has the name, and thrown away if they differ.
2. **Only a holder unlinks, and only while it holds.** Nobody can then have
   locked the file that has the name meanwhile.
3. **A probe never creates and never unlinks**, and is shared with other probes.
   An opener that meets one waits `GRACE` seconds before it gives up.
4. **A forked child has no part in the lock.** filelock closes its descriptor
   in the child, so the lock ends with the parent, and the child's `release`
   does nothing.
5. **No fallback.** A file system that cannot lock is an error: a lock file
   that only exists outlives its holder and can be broken by guessing.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from typing import Final

import filelock

from safeh5.errors import InternalError, SessionLockedError
from safeh5.storage.files import StrPath
from safeh5.storage.names import SUFFIX

if sys.platform != "win32":
    import fcntl

GRACE: Final = 0.3
"""Seconds that an opener waits at least, since a probe may hold the lock for a moment."""

_POLL: Final = 0.01
_EVERYBODY: Final = 0o666

_Identity = tuple[int, int]


class TargetLock:
    """The lock of one target.

    Parameters
    ----------
    path : path-like
        The lock file (`Names.lock`).
    holder : callable, optional
        Tells who holds the lock, for the error message; asked only when it is
        needed, may return None.
    """

    def __init__(self, path: StrPath, holder: Callable[[], str | None] | None = None) -> None:
        self.path = os.fspath(path)
        self._holder = holder
        self._identity: _Identity | None = None
        self._pid = os.getpid()
        self._lock = filelock.FileLock(
            self.path,
            # Any thread of the session may release. The file is empty and secret-free: let whoever may
            # write the directory lock it, also after somebody else crashed and left it behind.
            thread_local=False,
            mode=_EVERYBODY,
            fallback_to_soft=False,
            # Windows cannot unlink an open file: there filelock removes it, by a way that is safe.
            preserve_lock_file=sys.platform != "win32",
            on_acquired=self._note,
        )

    def acquire(self, timeout: float = 0.0) -> None:
        """Take the lock.

        Parameters
        ----------
        timeout : float
            Seconds to wait for a holder to go away; at least `GRACE` are waited.

        Raises
        ------
        SessionLockedError
            Another session, in this process or another, holds it still.
        OSError
            There is no such directory, the file cannot be made, or the file
            system cannot lock.
        """
        if self._identity is not None:
            raise InternalError("the lock is acquired twice", path=self.path)
        # filelock would make a missing directory, and a mistyped path a tree of them.
        os.stat(os.path.dirname(self.path) or os.curdir)
        deadline = time.monotonic() + max(timeout, GRACE)
        while True:
            try:
                self._lock.acquire(timeout=max(deadline - time.monotonic(), 0.0), poll_interval=_POLL)
            except filelock.Timeout:
                if os.path.lexists(self.path):
                    raise self._locked() from None
                # Just released, and free to be tried once more; or no file can be made
                # there, which to filelock is a lock that somebody holds: the system says why.
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, _EVERYBODY))
                continue
            if self._check_name():
                return
            if time.monotonic() > deadline:
                raise self._locked()

    def release(self, remove: bool) -> None:
        """Give the lock back; nothing happens when it is not held, or in a forked child.

        Parameters
        ----------
        remove : bool
            Remove the lock file too. (On Windows it always goes.)

        Raises
        ------
        OSError
            The file could not be removed; the lock is released all the same.
        """
        if os.getpid() != self._pid or self._identity is None:
            return
        try:
            # While the lock is still held, and only if it is our file that has the name.
            if remove and sys.platform != "win32" and self.held():
                os.unlink(self.path)
        finally:
            self._identity = None
            self._lock.release(force=True)

    def held(self) -> bool:
        """Whether the lock is held by this object, on the file that has the name.

        False, in the middle of a session, means that somebody removed or
        replaced the lock file: another session may have begun.
        """
        if self._identity is None or os.getpid() != self._pid or not self._lock.is_locked:
            return False
        return _identity_of(self.path) == self._identity

    @staticmethod
    def is_held(path: StrPath) -> bool:
        """Whether any process holds the lock at `path`; it is not disturbed by being asked.

        True while another opener merely tries. The answer may be out of date
        when it arrives: to act on a target, acquire its lock.
        """
        path = os.fspath(path)
        identity = _identity_of(path)
        if identity is None:
            return False
        return _listed_by_kernel(identity) or _refused(path)

    def _check_name(self) -> bool:
        """Keep the lock just acquired if its file has the name, else give it back."""
        kept = False
        try:
            kept = self.held()
        finally:
            if not kept:
                self.release(remove=False)
        return kept

    def _note(self, fd: int) -> None:
        status = os.fstat(fd)
        self._identity = status.st_dev, status.st_ino

    def _locked(self) -> SessionLockedError:
        holder = self._holder() if self._holder is not None else None
        target = self.path.removesuffix(".lock").removesuffix(SUFFIX)
        return SessionLockedError(
            f"{target} is being written by another session" + (f": {holder}" if holder else ""),
            holder=holder,
            path=target,
            safe="Nothing has been changed.",
            hint="Wait until that session ends, or end that process; the lock goes with it.",
        )

    def __repr__(self) -> str:
        return f"<TargetLock {self.path!r}{' held' if self._identity is not None else ''}>"


def _identity_of(path: str) -> _Identity | None:
    """Device and inode of the file at `path`; None when there is none."""
    try:
        status = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise
    return status.st_dev, status.st_ino


def _listed_by_kernel(identity: _Identity) -> bool:
    """Whether Linux lists a lock on this file: a certain yes without touching it.

    No is not certain: locks of other containers are not listed, and some file
    systems are listed under another device number than the one `stat` gives.
    """
    device = (
        f"{os.major(identity[0]):02x}:{os.minor(identity[0]):02x}:{identity[1]}" if os.name == "posix" else ""
    )
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            # "7: FLOCK  ADVISORY  WRITE 4711 fd:01:263254 0 EOF"; waiters are marked with "->".
            return any(
                fields[1] == "FLOCK" and fields[3] == "WRITE" and fields[5] == device
                for line in file
                if len(fields := line.split()) >= 8
            )
    except OSError:
        return False


def _refused(path: str) -> bool:
    """Whether a lock that could be shared is refused; it is given back at once."""
    if sys.platform == "win32":
        return _refused_on_windows(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def _refused_on_windows(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        if not filelock.lock_descriptor(fd, blocking=False):
            return True
        filelock.unlock_descriptor(fd)
        return False
    finally:
        os.close(fd)
