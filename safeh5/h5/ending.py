"""Files that nobody closes: what becomes of them when their last object goes, or the program ends.

A program that never closes its file loses nothing with h5py: the file is closed
when the last object of it is collected, or when the interpreter ends. So:

- the last h5py object of the file is collected: commit;
- the interpreter ends, by itself or by ``sys.exit``: commit, with a warning;
- the interpreter ends because of an exception that nobody caught: what the
  program had in mind is half done. The session is sealed: the old file stays,
  and ``safeh5 recover`` brings all that was written.

SIGTERM seals (`safeh5.session.signals`); a fork has no session.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import sys
import threading
import weakref
from typing import Any

from safeh5.errors import SafeH5Error, recover_command
from safeh5.events import logger
from safeh5.h5.door import doors
from safeh5.h5.native import phil
from safeh5.session import Session
from safeh5.storage.interrupts import Uncollected

_files: weakref.WeakSet[Session] = weakref.WeakSet()
_pending: list[Session] = []
_collector: int | None = None
_registered = False


def watch(door: Any, session: Session) -> None:
    """Commit `session` when nothing of its file is left, at the end of the program at the latest.

    Parameters
    ----------
    door : Door
        Every identifier of the file holds it, and nothing else does.
    session : Session
        Opened for this file.
    """
    global _registered
    _files.add(session)
    weakref.finalize(door, _collected, session).atexit = False
    if not _registered:
        # Behind the handler of `signals`, which any session has registered
        # before, so that this one runs first.
        _registered = True
        atexit.register(_at_exit)
        gc.callbacks.append(_note_collector)


def watch_again(door: Any, session: Session) -> None:
    """`door` is another one of a session that is watched: after a full disk the file was opened anew."""
    if session in _files:
        weakref.finalize(door, _collected, session).atexit = False


def _collected(session: Session) -> None:
    """No object of the file is left, unless it has another door."""
    if not session.is_ours or any(getattr(door.recorder, "session", None) is session for door in doors()):
        return
    _pending.append(session)
    if phil._is_owned() or _collector == threading.get_ident():
        # In the middle of a call of h5py, or wherever the garbage collector came:
        # not the place to close a file.
        with Uncollected():  # it is waited for until it runs
            threading.Thread(target=settle, name="safeh5-commit").start()
    else:
        settle()


def settle() -> None:
    """Commit what nobody has closed and nobody has any more; before a path is opened again."""
    while _pending:
        with phil, contextlib.suppress(IndexError):
            _commit(_pending.pop())


def _note_collector(phase: str, info: Any) -> None:
    """Which thread collects garbage right now; called by `gc`."""
    global _collector
    _collector = threading.get_ident() if phase == "start" else None


def _commit(session: Session) -> None:
    if not session.is_ours:
        return
    try:
        session.commit()
    except (SafeH5Error, OSError) as error:
        logger.error("the file that nobody closed could not be committed: %s", error)


def _at_exit() -> None:
    for session in [session for session in _files if session.is_ours]:
        if not session.has_changes and session.is_copy:
            _commit(session)
        elif is_failing():
            _suspend(session)
        else:
            logger.warning("%s was open when the program ended: it is committed", session.target)
            _commit(session)
    # Whatever failed here is sealed by `safeh5.session.signals`.


def _suspend(session: Session) -> None:
    try:
        session.suspend()
    except (SafeH5Error, OSError) as error:
        logger.error("%s", error)
    else:
        logger.error(
            "%s was open when an exception ended the program: it is as it was before, and what was written "
            "is kept; commit it with: %s",
            session.target,
            recover_command(session.target),
        )


def is_failing() -> bool:
    """Whether the interpreter ends because of an exception that nobody caught.

    In an interactive one the last exception may have been long ago.
    """
    if hasattr(sys, "ps1") or sys.flags.interactive:
        return False
    return getattr(sys, "last_value", None) is not None
