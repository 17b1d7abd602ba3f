"""A thread that does one thing for the one who waits for it.

Who holds h5py's lock must never wait for a thread that collects garbage, which
may need that lock. While the caller waits none is collected, since it is inside
`Uncollected`; but the thread may have begun to collect before that. So it is
waited for only once it has *taken* the work, which it does not in the middle of
collecting; what it has not taken when the result is asked for the caller does itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from safeh5.events import logger
from safeh5.session import threads
from safeh5.storage.interrupts import Uncollected

T = TypeVar("T")

_IDLE_SECONDS: Final = 0.1
"""How long new work waits for what came after the last; then its caller does it without the thread."""


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
        self._stopped = False
        # Flags: locks that nobody holds, raised by `release`. Whoever gets `_offered` does the work.
        self._wake, self._offered, self._done = threading.Lock(), threading.Lock(), threading.Lock()
        for flag in (self._wake, self._offered, self._done):
            flag.acquire()
        self._idle = threading.Lock()

    def begin(self, work: Callable[[], T], after: Callable[[], object] | None = None) -> None:
        """Have `work` done; `result` must be called before the next, and both in one block of `Uncollected`.

        What comes `after` is not waited for, unless the next work is begun meanwhile.
        """
        self._work = work
        self._offered.release()
        if self._is_idle():
            self._after = after
            self._wake.release()

    def _is_idle(self) -> bool:
        try:
            if self._thread is None:
                self._thread = threads.start(self._run, "safeh5 helper")
        except RuntimeError:
            return False  # no more threads, for now or because the interpreter ends
        return self._idle.acquire(timeout=_IDLE_SECONDS)

    def result(self) -> T:
        """Wait for it, or do it; returns what it gave, or raises what it raised."""
        if self._offered.acquire(blocking=False):
            self._do()
        else:
            self._done.acquire()
        error, self._error = self._error, None
        if error is not None:
            raise error
        found, self._found = self._found, None
        return found  # type: ignore[return-value]

    def stop(self) -> None:
        """End the thread, which has no work; it is not waited for."""
        self._stopped = True
        if self._thread is not None:
            threads.told_to_end(self._thread)
            if self._wake.locked():
                self._wake.release()

    def _run(self) -> None:
        while True:
            self._wake.acquire()
            # Nothing here makes what could be collected: whoever has the flag does not collect.
            if self._offered.acquire(blocking=False):
                self._do()
                self._done.release()
            if self._stopped:
                return
            with Uncollected():
                after, self._after = self._after, None
                _try(after)
                del after
            self._idle.release()

    def _do(self) -> None:
        """The work; nothing of the caller's is kept, which this thread would let go of."""
        work, self._work = self._work, None
        assert work is not None
        try:
            self._found = work()
        except BaseException as error:  # raised where the result is asked for
            self._error = error


def _try(after: Callable[[], object] | None) -> None:
    try:
        if after is not None:
            after()
    except Exception as error:
        logger.warning("what was to be done beside was not: %s", error)
