"""The three methods of h5py's high-level classes that go past its module functions.

``group[name] = dtype`` commits a datatype by a method of `h5py.h5t.TypeID`, an
immutable type; ``group[name] = value`` makes a nameless dataset and links it;
``attrs.create`` takes three steps for one change; ``with file`` commits even
when an exception leaves the block.
"""

from __future__ import annotations

import contextlib
from typing import Any

import h5py
import numpy as np
from h5py import h5t

from safeh5.errors import SafeH5Error
from safeh5.h5 import native, objects
from safeh5.h5.door import Door, refused
from safeh5.h5.links import free_place
from safeh5.h5.paths import NOT_THERE, Place, has_link, path_of
from safeh5.operations import model


def group_setitem(group: Any, name: Any, obj: Any) -> None:
    """`h5py.Group.__setitem__` for a group of a journaled file."""
    with native.phil:
        if isinstance(obj, np.dtype):
            raw, lcpl = group._e(name, lcpl=True)
            objects.commit_type(group.id, raw, h5t.py_create(obj, logical=True), lcpl)
        elif isinstance(obj, h5py.HLObject):
            _link(group, name, obj)
        elif isinstance(obj, (h5py.SoftLink, h5py.ExternalLink)):
            native.group_setitem(group, name, obj)
        else:
            _create(group, name, obj)


def _link(group: Any, name: Any, obj: Any) -> None:
    nameless = getattr(obj.id, "door", None) is group.id.door and path_of(obj.id, obj.id.door) is None
    native.group_setitem(group, name, obj)
    if nameless:
        # Its identifier was closed when it was recorded under its first name.
        obj._id = group[name].id
        if isinstance(obj, h5py.Dataset):
            obj._cache_props.clear()


def _create(group: Any, name: Any, value: Any) -> None:
    raw, lcpl = group._e(name, lcpl=True)
    place = free_place(group.id, raw, lcpl, group.id.door)
    if place is None:
        refused(native.link, group.id, group.id, raw, lcpl=lcpl, lapl=group.id.door.link_access())
    try:
        if place.group is not None and type(name) is str and name.isascii():
            group.create_dataset(name, data=value)
        else:
            with objects.naming(raw, lcpl):
                group.create_dataset(None, data=value)
    except Exception:
        _take_back(place, group.id.door)
        raise


def _take_back(place: Place, door: Door) -> None:
    """Remove what was made before the values were refused: h5py links the dataset when it has them."""
    # What the disk or the session says now is said of the first error already.
    with contextlib.suppress(SafeH5Error, *NOT_THERE):
        if has_link(door.file_id, place.first.encode()):
            door.record(model.Delete(path=place.first))


def file_exit(file: Any, kind: Any, error: BaseException | None, trace: Any) -> None:
    """`h5py.File.__exit__` for a journaled file: an exception does not commit."""
    if error is None or _is_orderly(error):
        native.file_exit(file, kind, error, trace)
    elif file.id:
        file.id.door.abandon(file.id, error)


def file_session(file: Any) -> Any:
    """The session of a journaled file."""
    session = getattr(getattr(file.id, "recorder", None), "session", None)
    if session is None:
        raise AttributeError("'File' object has no attribute 'session': it is not journaled")
    return session


def _is_orderly(error: BaseException) -> bool:
    """Whether what leaves a ``with`` block is no failure: a generator that is closed, ``sys.exit()``."""
    if isinstance(error, SystemExit):
        return error.code in (None, 0)
    return isinstance(error, GeneratorExit)
