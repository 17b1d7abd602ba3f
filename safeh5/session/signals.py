"""SIGTERM and the end of the interpreter: seal what is open, quickly.

A job scheduler gives a process a few seconds. Sealing needs one sync of the
journal; nothing is applied, nothing is copied. The session can then be resumed
or replayed, and its report says "suspended" instead of "interrupted".

The handler is only installed where SIGTERM would otherwise end the process
(its default), and only from the main thread, which is the only one that may.
A program with a handler of its own decides for itself. Ctrl-C needs nothing
here: it raises `KeyboardInterrupt`, and the ``with`` block suspends.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import weakref
from types import FrameType
from typing import Protocol

from safeh5.events import logger


class Sealable(Protocol):
    """What can be sealed: a session."""

    def seal_now(self, reason: str) -> None:
        """Seal the journal and let go."""

    def close_file(self) -> None:
        """Close the HDF5 file under construction."""


_open: weakref.WeakSet[Sealable] = weakref.WeakSet()
_registered_by: int | None = None


def watch(session: Sealable) -> None:
    """Seal `session` when the process is asked to end, or ends."""
    global _registered_by
    _open.add(session)
    if _registered_by != os.getpid():
        _registered_by = os.getpid()
        atexit.register(_at_exit, os.getpid())
    if _in_main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_term)


def watched() -> list[Sealable]:
    """The sessions of this process that have not ended."""
    return list(_open)


def forget(session: Sealable) -> None:
    """`session` has ended by itself; the last one takes the handler away again."""
    _open.discard(session)
    if not _open and _in_main_thread() and signal.getsignal(signal.SIGTERM) is _on_term:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _in_main_thread() -> bool:
    """Whether this is the thread that may install handlers."""
    return threading.current_thread() is threading.main_thread()


def _on_term(number: int, frame: FrameType | None) -> None:
    """Seal, then die of the same signal, so that whoever sent it sees that."""
    _seal_all("SIGTERM")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _at_exit(pid: int) -> None:
    # A forked child runs this too, and has no session.
    sessions = _seal_all("the end of the program") if pid == os.getpid() else list(_open)
    for session in sessions:
        # libhdf5 closes what is open when the process ends, also in a fork, and
        # must not find a file object whose interpreter is gone.
        session.close_file()


def _seal_all(reason: str) -> list[Sealable]:
    sessions = list(_open)
    for session in sessions:
        try:
            session.seal_now(reason)
        except Exception:
            # The others are to be sealed all the same, and the process ends anyway.
            logger.exception("a session could not be sealed; it is left interrupted")
    return sessions
