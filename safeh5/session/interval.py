"""Durability within a bounded time: a thread that syncs what was written meanwhile.

Who writes through h5py's objects holds h5py's global lock, and drops h5py's
objects wherever garbage is collected, which needs that lock too. So there is
nothing here that a writer waits for while the thread could be collecting: they
tell each other by raw locks that nobody holds, used as flags; the thread
starts, and syncs, with garbage left alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from safeh5.errors import SafeH5Error
from safeh5.events import logger
from safeh5.session import threads
from safeh5.storage.interrupts import Uncollected


class IntervalSync:
    """Calls `sync` at most `interval_ms` after the first `note` since the last call.

    Parameters
    ----------
    sync : callable
        Makes the journal durable; it must be safe to call from another thread.
    interval_ms : int
        The bound, in milliseconds.
    """

    def __init__(self, sync: Callable[[], object], interval_ms: int) -> None:
        self._sync = sync
        self._seconds = interval_ms / 1000
        self._noted = False
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._wake, self._end = _flag(), _flag()

    def note(self) -> None:
        """Something was written that is to be durable within the interval."""
        if self._noted or self._stopped:
            return
        self._noted = True
        if self._thread is None:
            self._thread = threads.start(self._run, "safeh5 interval")
        _raise(self._wake)

    def stop(self) -> None:
        """Forget what is pending; the caller syncs itself. The thread is not waited for."""
        self._stopped = True
        _raise(self._end)
        _raise(self._wake)
        if self._thread is not None:
            threads.told_to_end(self._thread)

    def _run(self) -> None:
        while True:
            self._wake.acquire()
            if self._stopped or self._end.acquire(timeout=self._seconds):
                return
            self._noted = False
            self._fire()

    def _fire(self) -> None:
        try:
            with Uncollected():
                self._sync()
        except SafeH5Error as error:
            # The journal has poisoned itself: the next call of the session
            # raises. Nobody could catch it here.
            if self._stopped:
                return  # or it was closed, by a session that has synced it itself
            logger.error("the journal could not be made durable: %s", error)


def _flag() -> threading.Lock:
    """A lock that is held, by nobody: to acquire it is to wait until the flag is raised."""
    lock = threading.Lock()
    lock.acquire()
    return lock


def _raise(flag: threading.Lock) -> None:
    """Raise a flag; it may be up already, and another thread may raise or take it meanwhile."""
    with suppress(RuntimeError):
        flag.release()
