"""Keep Python's interruptions out of libhdf5.

Two things run in the middle of whatever the main thread is doing: signal
handlers (Ctrl-C raises `KeyboardInterrupt`) and the garbage collector (which
may drop the last reference to an h5py object, and so call libhdf5 in the
middle of a call of libhdf5). While libhdf5 works on a file through callbacks
of ours, "the middle" is inside such a callback, where neither may happen.
"""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final

_Handler = Callable[[int, FrameType | None], Any] | int | None

_SIGNALS: Final = tuple(
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGBREAK")
    if (number := getattr(signal, name, None)) is not None
)


class Uninterrupted:
    """A ``with`` block that no signal handler and no garbage collection enters.

    Signals that arrive inside are kept and delivered to their handlers when the
    block ends, so Ctrl-C raises `KeyboardInterrupt` at the end of the block.
    Only Python handlers are held back, and only in the main thread, where alone
    they run. Blocks may be nested. One object serves one block; entering and
    leaving takes about ten microseconds.
    """

    _active = False

    def __init__(self) -> None:
        self._held: list[tuple[int, _Handler]] = []
        self._arrived: list[int] = []
        self._outermost = False
        self._collected = False

    def __enter__(self) -> None:
        if not Uninterrupted._active and threading.current_thread() is threading.main_thread():
            Uninterrupted._active = self._outermost = True
            try:
                self._hold()
            except BaseException:
                # A signal came between two of the replacements; the block is not entered.
                self._leave()
                raise
        self._collected = gc.isenabled()
        gc.disable()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _hold(self) -> None:
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                # Noted before it is replaced, so that it is put back whatever happens.
                self._held.append((number, handler))
                signal.signal(number, self._keep)

    def _keep(self, number: int, frame: FrameType | None) -> None:
        self._arrived.append(number)

    def _leave(self) -> None:
        if self._collected:
            gc.enable()
        if not self._outermost:
            return
        # A handler that is back in its place may raise while the others are not yet: each step is
        # done again, and each may be done twice.
        try:
            self._restore()
        finally:
            try:
                self._restore()
            finally:
                Uninterrupted._active = False
                self._deliver()

    def _restore(self) -> None:
        while self._held:
            signal.signal(*self._held[-1])
            self._held.pop()

    def _deliver(self) -> None:
        if self._arrived:
            try:
                signal.raise_signal(self._arrived.pop(0))
            finally:
                self._deliver()
