"""A session under asyncio: calls beside the event loop, and whose the open batch is.

The tasks of an event loop are one thread, and the session's lock does not tell them apart. So

1. A batch that is begun in a running loop belongs to the task that began it, and to the tasks made inside
   it (``asyncio.gather``): what they append is part of it, and goes to the journal at once.
2. What another task appends in the meantime with `await` waits for the end of that batch, and any other
   call of it that would become part of the batch is refused: it would be cancelled with the batch.
3. Everything else goes to the journal by one thread, in the order of the calls. Another one waits for the
   disk, so that one sync serves what has come together.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar

from safeh5.errors import SessionStateError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

_Result = TypeVar("_Result")

_OPEN: Final[ContextVar[tuple[object, ...]]] = ContextVar("safeh5_batches", default=())
"""The batches that the running task is inside of; tasks made inside inherit it."""


class Turn:
    """Whose the open batch is."""

    def __init__(self) -> None:
        self._thread: int | None = None
        self._batch: object | None = None
        self._waiting: list[Future[None]] = []

    def begin(self) -> None:
        """A batch begins; the session's lock is held until `end`."""
        self._thread = threading.get_ident()
        if _running_loop() is not None:
            self._batch = object()
            _OPEN.set((*_OPEN.get(), self._batch))

    def end(self) -> None:
        """It has ended, however."""
        self._thread, batch, self._batch = None, self._batch, None
        if batch is None:
            return
        _OPEN.set(tuple(other for other in _OPEN.get() if other is not batch))
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    @property
    def is_mine(self) -> bool:
        """Whether the caller is inside the open batch."""
        return self._is_here and (self._batch is None or self._batch in _OPEN.get())

    @property
    def is_anothers(self) -> bool:
        """Whether another task of this thread is."""
        return self._is_here and self._batch is not None and self._batch not in _OPEN.get()

    @property
    def _is_here(self) -> bool:
        return self._thread == threading.get_ident()

    def require_mine(self, target: str) -> None:
        """Raise if what is written now would become part of another task's batch.

        Raises
        ------
        SessionStateError
            It would.
        """
        if self.is_anothers:
            raise SessionStateError(
                "another asyncio task has a batch open, and this call would become part of it",
                path=target,
                safe="Nothing was written by this call",
                hint="`await stream.aappend(...)` waits for the end of that batch; "
                "for other calls guard the batches with an asyncio.Lock, or do not await inside them",
            )

    async def wait(self, loop: AbstractEventLoop) -> None:
        """Return when no other task of this thread has a batch open."""
        while self.is_anothers:
            future = loop.create_future()
            self._waiting.append(future)
            await future


class Aside:
    """Makes a session's calls beside the event loop.

    Parameters
    ----------
    turn : Turn
        Whose the open batch is.
    settle : callable
        Waits until a record is as durable as promised; gets what `Owed.recorded` gave.
    """

    def __init__(self, turn: Turn, settle: Callable[[int | None], None]) -> None:
        self._turn, self._settle = turn, settle
        self._owed = Owed()
        self._closed = False
        self._recorder: ThreadPoolExecutor | None = None
        self._waiter: ThreadPoolExecutor | None = None

    async def run(self, call: Callable[..., _Result], *args: Any) -> _Result:
        """`call(*args)`, which records one thing, durable as promised."""
        from asyncio import get_running_loop  # it takes as long to import as NumPy

        loop = get_running_loop()
        if self._turn.is_mine or self._closed:
            return call(*args)
        await self._turn.wait(loop)
        if self._recorder is None or self._waiter is None:
            # Threads of our own: those of the loop may all be waiting for a batch whose
            # task waits for one of them.
            self._recorder = ThreadPoolExecutor(1, "safeh5-append")
            self._waiter = ThreadPoolExecutor(1, "safeh5-sync")
        result, owed = await loop.run_in_executor(self._recorder, self._recorded, call, args)
        if owed:
            await loop.run_in_executor(self._waiter, self._settle_all, owed)
        return result

    def put_off(self, end: int | None) -> bool:
        """Whether somebody else waits for this record to be durable."""
        return self._owed.put_off(end)

    def close(self) -> None:
        """The session has ended: let the threads go."""
        self._closed = True
        for pool in (self._recorder, self._waiter):
            if pool is not None:
                pool.shutdown(wait=False)

    def _recorded(
        self, call: Callable[..., _Result], args: tuple[Any, ...]
    ) -> tuple[_Result, list[int | None]]:
        ends: list[int | None] = []
        self._owed.ends = ends
        try:
            return call(*args), ends
        finally:
            self._owed.ends = None

    def _settle_all(self, owed: list[int | None]) -> None:
        for end in owed:
            self._settle(end)


class Owed(threading.local):
    """What a thread has recorded and not waited for; None where it waits itself."""

    ends: list[int | None] | None = None

    def put_off(self, end: int | None) -> bool:
        """Take note of a record, unless the thread waits itself."""
        if self.ends is None:
            return False
        self.ends.append(end)
        return True


def _running_loop() -> AbstractEventLoop | None:
    asyncio = sys.modules.get("asyncio")  # who has not imported it has no loop
    loop: AbstractEventLoop | None = asyncio._get_running_loop() if asyncio is not None else None
    return loop
