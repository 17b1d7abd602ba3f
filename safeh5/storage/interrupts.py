"""Keep Python's interruptions out of libhdf5.

Two things run in the middle of whatever the main thread is doing: signal
handlers (Ctrl-C raises `KeyboardInterrupt`) and the garbage collector (which
may drop the last reference to an h5py object, and so call libhdf5 in the
middle of a call of libhdf5). While libhdf5 works on a file through callbacks
of ours, "the middle" is inside such a callback, where neither may happen.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, MethodType, TracebackType
from typing import Any, Final

# CPython's `signal` turns every number and handler into an enumeration and back, which takes
# longer than all the rest of a block; the module below it does not.
_raw: Final[Any] = sys.modules.get("_signal", signal)
_handler_of, _set_handler = _raw.getsignal, _raw.signal
_thread_here, _main_thread = threading.current_thread, threading.main_thread

_Handler = Callable[[int, FrameType | None], Any]

_SIGNALS: Final = tuple(
    int(number)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGBREAK")
    if (number := getattr(signal, name, None)) is not None
)


class Uncollected:
    """A ``with`` block in which no thread collects garbage.

    Collecting may drop the last reference to an h5py object, and for that
    h5py takes its global lock. So a thread that holds a lock of ours and
    collects waits for whoever holds h5py's, who may be waiting for ours: for a
    lock that is taken by somebody who holds h5py's, no garbage is collected.
    """

    # No lock here, for the same reason. Each line below is one step to other threads: CPython lets
    # them in after calls, and between a condition and the call that it guards there is none.
    _inside: Final[list[None]] = []
    _was_enabled = False

    @staticmethod
    def begin() -> None:
        """Enter such a block; `end` must follow."""
        Uncollected._inside.append(None)
        if gc.isenabled():
            Uncollected._was_enabled = True
        gc.disable()

    @staticmethod
    def end() -> None:
        """Leave the block."""
        if Uncollected._inside:  # or it was entered before a fork
            Uncollected._inside.pop()
        if not Uncollected._inside and Uncollected._was_enabled:
            Uncollected._was_enabled = False
            gc.enable()

    def __enter__(self) -> None:
        self.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


def _in_fork() -> None:
    """The blocks of other threads do not end in a child."""
    Uncollected._inside.clear()
    if Uncollected._was_enabled:
        Uncollected._was_enabled = False
        gc.enable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_fork)


class Uninterrupted:
    """A ``with`` block that no signal handler and no garbage collection enters.

    Signals that arrive inside are kept and delivered to their handlers when the
    block ends, so Ctrl-C raises `KeyboardInterrupt` at the end of the block.
    Only Python handlers are held back, and only in the main thread, where alone
    they run. Blocks may be nested. One object serves one block; entering and
    leaving takes about two microseconds, and inside another block half of one.
    """

    __slots__ = ("_arrived", "_handlers", "_outermost")

    # Whether handlers are being held back. All that matters is in the order of the lines that set
    # it: a handler may raise at any bytecode while it is False, and at none while it is True.
    _active = False

    _handlers: dict[int, _Handler]
    _arrived: list[int]

    def __init__(self) -> None:
        self._outermost = False

    def __enter__(self) -> None:
        if not Uninterrupted._active and _thread_here() is _main_thread():
            self._handlers, self._arrived = {}, []
            try:
                self._replace()
            except BaseException:
                # A signal came before all were replaced; the block is not entered.
                self._restore()
                raise
            Uninterrupted._active = self._outermost = True
        Uncollected.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        Uncollected.end()
        if self._outermost:
            Uninterrupted._active = self._outermost = False
            try:
                if self._arrived:
                    self._deliver()
            finally:
                self._restore()

    def _replace(self) -> None:
        ours, handlers = self._handle, self._handlers
        for number in _SIGNALS:
            handler = _handler_of(number)
            if callable(handler):
                if type(handler) is MethodType and type(handler.__self__) is Uninterrupted:
                    # A block that was interrupted twice while it restored has left its own handler.
                    handler = handler.__self__._handlers[number]
                handlers[number] = handler
                _set_handler(number, ours)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Keep a signal inside the block; just before and after it, do what the handler replaced does."""
        if Uninterrupted._active:
            self._arrived.append(number)
        else:
            self._handlers[number](number, frame)

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            if getattr(_handler_of(number), "__self__", None) is self:
                _set_handler(number, handler)

    def _deliver(self) -> None:
        if self._arrived:
            try:
                signal.raise_signal(self._arrived.pop(0))
            finally:
                self._deliver()
