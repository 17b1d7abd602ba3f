"""A thread that does one thing for the one who waits for it.

Who holds h5py's lock and waits for another thread must not have it collect
garbage, which may need that lock: so none is collected while a `Helper` works.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from safeh5.events import logger
from safeh5.storage.interrupts import Uncollected

T = TypeVar("T")


class Helper(Generic[T]):
    """Does one piece of work at a time, beside its caller.

    The thread is started by the first piece, and ends with `stop`.
    """

    def __init__(self) -> None:
        self._work: Callable[[], T] | None = None
        self._after: Callable[[], object] | None = None
        self._found: T | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        # Flags: locks that nobody holds, raised by `release`.
        self._wake, self._done, self._idle = threading.Lock(), threading.Lock(), threading.Lock()
        self._wake.acquire()
        self._done.acquire()

    def begin(self, work: Callable[[], T], after: Callable[[], object] | None = None) -> None:
        """Have `work` done; `result` must be called before the next.

        What comes `after` is not waited for, unless the next work is begun meanwhile.
        """
        self._idle.acquire()
        self._work, self._after = work, after
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="safeh5 helper", daemon=True)
            with Uncollected():
                self._thread.start()
        self._wake.release()

    def result(self) -> T:
        """Wait for it; returns what it gave, or raises what it raised."""
        self._done.acquire()
        error, self._error = self._error, None
        if error is not None:
            raise error
        found, self._found = self._found, None
        return found  # type: ignore[return-value]

    def stop(self) -> None:
        """End the thread, which has nothing to do; it is not waited for."""
        if self._thread is not None:
            self._thread = None
            self._wake.release()

    def _run(self) -> None:
        while True:
            self._wake.acquire()
            work, after = self._work, self._after
            self._work = self._after = None
            if work is None:
                return
            with Uncollected():
                try:
                    self._found = work()
                except BaseException as error:  # raised where the result is asked for
                    self._error = error
                # Nothing of the caller's is to be let go by this thread.
                del work
                self._done.release()
                _try(after)
                del after
            self._idle.release()


def _try(after: Callable[[], object] | None) -> None:
    try:
        if after is not None:
            after()
    except Exception as error:
        logger.warning("what was to be done beside was not: %s", error)
