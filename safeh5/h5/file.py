"""`safeh5.File`: what a user of h5py puts in place of `h5py.File`.

Opening by path for writing begins a session, or joins the one that is open on
that path in this process; everything else is left to h5py. The object is
exactly an `h5py.File`, so that packages which look at the type take it.
"""

from __future__ import annotations

import os
import stat
import time
from typing import Any, cast

import h5py

from safeh5.errors import (
    InvalidOptionError,
    SafeH5Error,
    SessionLockedError,
    TargetExistsError,
    TargetIsOpenError,
    TargetReadOnlyError,
)
from safeh5.events import logger
from safeh5.h5 import arguments, ending, native, patches
from safeh5.h5.door import Door, Handle
from safeh5.h5.ids import adopt
from safeh5.h5.native import phil
from safeh5.h5.recorder import SessionRecorder
from safeh5.h5.sessions import recorder_of, require_not_open, session_at
from safeh5.options import Durability, Mode
from safeh5.session import Session, State, signals
from safeh5.session import open as open_session

_POLL = 0.05


class _Kind(type(h5py.File)):  # type: ignore[misc]
    """Makes `File(...)` an `h5py.File`, and every `h5py.File` an instance of `File`."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is not File:
            return super().__call__(*args, **kwargs)
        made = native.File.__new__(native.File)
        open_file(made, *args, **kwargs)
        return made

    def __instancecheck__(cls, instance: Any) -> bool:
        return cls.__subclasscheck__(type(instance))

    def __subclasscheck__(cls, subclass: type) -> bool:
        # Not by `issubclass`: it asks the subclasses of `h5py.File`, which `File` is one of.
        return (native.File if cls is File else cls) in subclass.__mro__


class File(native.File, metaclass=_Kind):  # type: ignore[misc]
    """An HDF5 file that survives its writer, as an `h5py.File`.

    Parameters
    ----------
    name : path-like, file-like or h5py identifier
        As for `h5py.File`.
    mode : {"r", "r+", "w", "w-", "x", "a"}
        As for `h5py.File`. ``"r"`` is plain h5py. The others begin a session:
        an existing file stays as it is, whole, until the new one takes its
        place when this is closed.
    *args, **kwargs
        Everything else that `h5py.File` takes, with its meaning; and, as
        keywords, these options of `safeh5.open`: `durability` (``"interval"``
        by default), `interval_ms`, `on_error`, `verify`, `resume`, `recover`,
        `lock_timeout`, `segment_bytes`, `journal_limit`, `checkpoint_bytes`,
        `checkpoint_seconds`, `warn_below`, `refuse_below`, `reserve`,
        `progress`. Files in memory, file-like objects and
        drivers that do not keep one file on a disk are left to h5py.

    Returns
    -------
    h5py.File
        Exactly that. ``flush()`` makes everything durable and checkpoints it;
        ``close()``, or leaving ``with`` cleanly, commits; an exception that
        leaves ``with`` suspends the session. ``.session`` is the session.

    Raises
    ------
    FileNotFoundError, FileExistsError, PermissionError, BlockingIOError, OSError, ValueError, TypeError
        As h5py does. Those of safeh5 are of its tree, too: `TargetNotFoundError`,
        `TargetExistsError`, `TargetReadOnlyError`, `SessionLockedError`,
        `NotHDF5Error`, `InvalidOptionError`.
    InterruptedSessionError
        An earlier session was interrupted, and neither `resume` nor `recover`
        was given.
    TargetIsOpenError
        The file is open in this process already, and the mode is ``"w"``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        open_file(self, *args, **kwargs)


def open_file(file: Any, *args: Any, **kwargs: Any) -> None:
    """What ``h5py.File.__init__`` does, journaled."""
    options = {**defaults, **{key: kwargs.pop(key) for key in arguments.OPTIONS & kwargs.keys()}}
    wanted = arguments.read(args, kwargs)
    if wanted is not None:
        native.file_init(file, journaled_id(wanted, options))
        return
    name, mode = arguments.first_two(args, kwargs)
    # A file object says itself what is to be read, a snapshot of that very session for one.
    by_name = mode == "r" and not kwargs.get("swmr") and kwargs.get("driver") != "fileobj"
    joined = _joined(name) if by_name else None
    if joined is not None:
        native.file_init(file, joined)
    else:
        native.file_init(file, *args, **kwargs)


defaults: dict[str, Any] = {}
"""Options that were given to `safeh5.install`."""


# --- joining ------------------------------------------------------------------------


def _joined(name: Any) -> Any:
    """An identifier of the journaled file at a path that is opened for reading; None if there is none."""
    if not signals.watched() or not arguments.is_path(name):
        return None
    ending.settle()
    with phil:
        session = session_at(arguments.path_text(name))
        return None if session is None else _join(session, arguments.path_text(name))


def _join(session: Session, name: str) -> Any:
    made = identifier(recorder_of(session), name)
    ending.watch_again(made.door, session)
    return made


def identifier(recorder: Any, name: str | None = None, driver: str | None = None) -> Any:
    """A new journaled identifier of a recorder's file.

    It is of a second opening of the file, by HDF5's own count: objects that
    are opened through it are closed with it, and no others.

    Raises
    ------
    InvalidOptionError
        If the session applies its operations in a process beside: what h5py's
        objects show would then not be what was written through them.
    """
    if not recorder.file_id.get_intent():
        raise InvalidOptionError(
            f"the file of this session is applied to by another process ({recorder.target})",
            hint="Open the session with applier='inline'",
        )
    patches.install()
    door = Door.of(recorder)
    made = adopt(recorder.file_id.reopen(), door)
    door.handles[made.id] = Handle(name or recorder.target, driver)
    return made


# --- opening -------------------------------------------------------------------------


def journaled_id(wanted: arguments.Wanted, options: dict[str, Any]) -> Any:
    """A journaled identifier of the file that is `wanted`: of a new session, or of the one that is open."""
    ending.settle()
    deadline = time.monotonic() + _seconds(options.get("lock_timeout"))
    while True:
        with phil:
            found = session_at(wanted.name)
            if found is not None:
                _require_joinable(wanted, found)
                return _join(found, wanted.name)
            try:
                return _begin(wanted, {**options, "lock_timeout": 0.0})
            except SessionLockedError:
                if time.monotonic() >= deadline:
                    raise
        # Not inside h5py's lock: other threads of this process go on.
        time.sleep(_POLL)


def _seconds(lock_timeout: Any) -> float:
    try:
        return float(lock_timeout or 0.0)
    except (TypeError, ValueError):
        raise InvalidOptionError(f"lock_timeout={lock_timeout!r} is not a number of seconds") from None


def _require_joinable(wanted: arguments.Wanted, session: Session) -> None:
    if wanted.mode == "w":
        raise TargetIsOpenError(
            "unable to truncate a file which is already open: it has a session in this process",
            path=session.target,
            safe="Nothing was changed",
            hint="Close it first, or open it with mode 'a' to join that session",
        )
    if wanted.mode in ("w-", "x"):
        raise TargetExistsError("the file exists: it has a session in this process", path=session.target)


def _begin(wanted: arguments.Wanted, options: dict[str, Any]) -> Any:
    _require_writable(wanted)
    require_not_open(wanted.name)
    options.setdefault("durability", Durability.INTERVAL)
    mode = "w" if wanted.mode in ("a", "r+") and _is_empty(wanted.name) else wanted.mode
    session = open_session(wanted.name, cast(Mode, mode), creation=wanted.creation, **options)
    if mode != wanted.mode and not _is_empty(wanted.name):
        _undo(session)  # Somebody has filled it before the lock was ours.
        return _begin(wanted, options)
    try:
        made = identifier(SessionRecorder(session), wanted.name, wanted.driver)
        _require_userblock(made, wanted)
    except BaseException:
        _undo(session)
        raise
    ending.watch(made.door, session)
    return made


def _is_empty(path: str) -> bool:
    """Whether a file is there without a byte in it: HDF5 takes it for one that is to be made."""
    try:
        facts = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(facts.st_mode) and facts.st_size == 0


def _undo(session: Session) -> None:
    """End a session that could not be used: nothing was written, or it was resumed and rests again."""
    try:
        if session.state is State.OPEN:
            session.suspend() if session.has_changes else session.rollback()
    except (SafeH5Error, OSError) as error:
        logger.error("%s", error)


def _require_writable(wanted: arguments.Wanted) -> None:
    """Refuse a read-only file as h5py does; to rename another over it would be allowed."""
    if os.path.exists(wanted.name) and not os.access(wanted.name, os.W_OK):
        raise TargetReadOnlyError("the file may not be written", path=wanted.name, safe="Nothing was changed")


def _require_userblock(made: Any, wanted: arguments.Wanted) -> None:
    size = made.get_create_plist().get_userblock()
    if wanted.userblock_size is not None and wanted.userblock_size != size:
        raise ValueError(
            f"Requested userblock size ({wanted.userblock_size}) "
            f"does not match that of existing file ({size})"
        )
