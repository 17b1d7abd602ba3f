"""Identifiers whose HDF5 file was closed under them, while the session goes on.

A full disk below the staging file, or a batch that is cancelled, ends in the
staging file being thrown away and made again. What was opened on the old one
is gone for HDF5, whose message is about an "identifier type". So when that
happens the identifiers of the file get another class, which says what became of
them; nothing is asked as long as nothing is lost. Once the session has ended,
all is as with any closed file of h5py.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from typing import Any, Final, NoReturn

from safeh5.applier import staging
from safeh5.errors import ObjectLostError, SafeH5Error
from safeh5.h5.door import Door, doors
from safeh5.h5.ids import Journaled

H5PY_ERRORS: Final = (ValueError, RuntimeError, KeyError, TypeError, OSError)
"""What h5py raises for an identifier that HDF5 does not know."""

# What is needed to close a file, to ask what a thing is, and to end its life.
_ANSWERED: Final = frozenset(
    {
        "door", "number", "known", "recorder", "valid", "is_lost", "id", "locked", "name",
        "close", "_close", "_close_open_objects", "__class__", "__dict__", "__copy__", "__reduce_ex__",
    }
)  # fmt: skip


class Lost:
    """Put before the class of an identifier: whatever it is asked, it raises `ObjectLostError`."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if name not in _ANSWERED and _is_in_use(self):
            if name == "get_intent":  # which a file's `repr` asks for
                return lambda: object.__getattribute__(self, "door").intent
            explain(self)
        return object.__getattribute__(self, name)


def _is_in_use(oid: Any) -> bool:
    """Whether the session goes on; of a closed file h5py speaks itself."""
    try:
        door: Door = object.__getattribute__(oid, "door")
    except AttributeError:
        return False  # It is just being collected.
    return not door.recorder.ended


_CLASSES: dict[type, type] = {}


def _class_for(kind: type) -> type:
    if kind not in _CLASSES:
        _CLASSES[kind] = type(kind.__name__, (Lost, kind), {"__slots__": (), "__doc__": Lost.__doc__})
    return _CLASSES[kind]


def mark() -> None:
    """Mark the identifiers of every journaled file that HDF5 has closed; called when a file was dropped."""
    for door in doors():
        if door.is_lost:
            for found in gc.get_referrers(door):
                if isinstance(found, Journaled) and not isinstance(found, Lost):
                    found.__class__ = _class_for(type(found))


def explain(oid: Any) -> NoReturn:
    """Raise for the use of an identifier that is lost."""
    door: Door = oid.door
    raise ObjectLostError(
        "the HDF5 file under this object was made again, after a full disk or a batch that was cancelled",
        path=door.recorder.target,
        safe="What was done before is kept",
        hint="Open it again, which joins the session: safeh5.File(path, 'a'). Take the object from there",
    )


def explain_any(error: Exception, values: Iterable[Any]) -> None:
    """Raise if h5py has just failed because one of these identifiers is lost; ours speak for themselves."""
    if isinstance(error, SafeH5Error):
        return
    for value in values:
        if isinstance(value, Lost) and _is_in_use(value):
            explain(value)


staging.when_dropped.append(mark)
