"""The sessions of this process, found by the path of their target."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from h5py import h5f, h5fd, h5p

from safeh5.errors import TargetIsOpenError
from safeh5.h5 import lowlevel, native
from safeh5.h5.arguments import Wanted
from safeh5.h5.door import doors
from safeh5.h5.recorder import SessionRecorder
from safeh5.session import Session, signals
from safeh5.storage import Names

opener: Callable[[Wanted], Any] | None = None
"""What opens files for `h5py.h5f.open` and ``create``; None while `safeh5.install` does not hold."""


def session_at(path: str) -> Session | None:
    """The open session whose target `path` leads to, by whatever name; None if there is none."""
    sessions = [found for found in signals.watched() if isinstance(found, Session) and found.is_ours]
    if not sessions:
        return None
    target = Names.of(path).target
    return next((session for session in sessions if session.target == target), None)


def recorder_of(session: Session) -> SessionRecorder:
    """What records the changes of a session that is open; joined, it is ended by whoever opened it."""
    for door in doors():
        if isinstance(door.recorder, SessionRecorder) and door.recorder.session is session:
            return door.recorder
    return SessionRecorder(session, commits=False)


def require_not_open(path: str) -> None:
    """Refuse a session on a file that this process has open for writing without one.

    What is written there would be changes of the target behind the session's
    back, and the commit would be refused.

    Raises
    ------
    TargetIsOpenError
        It was opened by h5py itself, before `safeh5.install` for one.
    """
    if not os.path.exists(path):
        return
    for oid in native.get_obj_ids(h5f.OBJ_ALL, h5f.OBJ_FILE):
        if oid.get_intent() & h5f.ACC_RDWR and _is_file(oid, path):
            raise TargetIsOpenError(
                "the file is open for writing in this process, by h5py itself and without a journal",
                path=path,
                safe="Nothing was changed",
                hint="Close it first, or open it with safeh5.File in the first place",
            )


def _is_file(oid: Any, path: str) -> bool:
    """Whether an open HDF5 file, not one in memory, is the file at `path`."""
    if oid.get_access_plist().get_driver() not in (h5fd.SEC2, h5fd.STDIO):
        return False
    try:
        return os.path.samefile(native.get_file_name(oid), path)
    except OSError:
        return False


def open_file(name: bytes | str, flags: int = h5f.ACC_RDWR, fapl: Any = None) -> Any:
    """`h5py.h5f.open`, which opens no target of a session for writing; journaled while installed."""
    if flags & h5f.ACC_RDWR:
        wanted = opener and lowlevel.wanted_to_open(name, flags, fapl)
        if opener and wanted:
            return opener(wanted)
        _refuse_beside(name, fapl)
    return native.open_file(name, flags, fapl)


def create_file(
    name: bytes | str, flags: int = h5f.ACC_TRUNC, fcpl: h5p.PropFCID | None = None, fapl: Any = None
) -> Any:
    """`h5py.h5f.create`, which replaces no target of a session; journaled while installed."""
    wanted = opener and lowlevel.wanted_to_create(name, flags, fcpl, fapl)
    if opener and wanted:
        return opener(wanted)
    _refuse_beside(name, fapl)
    return native.create_file(name, flags, fcpl, fapl)


def _refuse_beside(name: bytes | str, fapl: Any) -> None:
    """Refuse to write a file beside the session that is going to replace it."""
    if fapl is not None and fapl.get_driver() == h5fd.fileobj_driver:
        return  # The staging file is opened so, under the target's name.
    path = name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")
    session = session_at(path)
    if session is not None:
        raise TargetIsOpenError(
            "the file has a session in this process, and what is written beside it would be lost",
            path=session.target,
            safe="Nothing was changed",
            hint="Open it with safeh5.File, which joins the session; or close it first",
        )
