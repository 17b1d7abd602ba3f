"""Durability within a bounded time: a timer that syncs what was written meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

from safeh5.errors import SafeH5Error
from safeh5.events import logger


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
        # Reentrant: a signal handler that ends the session may come in the middle of `note`.
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._stopped = False

    def note(self) -> None:
        """Something was written that is to be durable within the interval."""
        with self._lock:
            if self._timer is None:
                self._timer = threading.Timer(self._seconds, self._fire)
                self._timer.daemon = True
                self._timer.start()

    def stop(self) -> None:
        """Forget what is pending; the caller syncs itself."""
        with self._lock:
            timer, self._timer, self._stopped = self._timer, None, True
        if timer is not None:
            timer.cancel()

    def _fire(self) -> None:
        with self._lock:
            self._timer = None
        try:
            self._sync()
        except SafeH5Error as error:
            # The journal has poisoned itself: the next call of the session
            # raises. Nobody could catch it here.
            if self._stopped:
                return  # or it was closed, by a session that has synced it itself
            logger.error("the journal could not be made durable: %s", error)
