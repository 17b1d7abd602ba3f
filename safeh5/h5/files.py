"""Files: h5py's module functions about whole files, for journaled ones."""

from __future__ import annotations

import os
from typing import Any

from h5py import h5f

from safeh5.h5 import native
from safeh5.h5.door import door_of
from safeh5.h5.ids import FileID, Journaled, adopt


def get_file_id(obj: Any) -> Any:
    """`h5py.h5i.get_file_id`: how ``x.file`` and ``h5py.File(x.id)`` get their identifier.

    h5py asks with every dataset that it opens, so HDF5 is not asked for a number that is known.
    """
    number = obj.number
    if number and native.is_valid(obj):
        made = FileID(number)
        try:
            native.inc_ref(made)
        except (ValueError, RuntimeError):
            pass  # That opening was closed, and what was opened through it has kept the file open.
        else:
            made.door, made.number = obj.door, number
            return made
    found = adopt(native.get_file_id(obj), obj.door)
    obj.number = found.number
    return found


def get_name(obj: Any) -> bytes:
    """`h5py.h5f.get_name`: the path that the user's file was opened by."""
    if isinstance(obj, FileID):
        name: bytes = obj.name if obj.valid else native.get_file_name(obj)
        return name
    file = native.get_file_id(obj)
    return os.fsencode(obj.door.handle(file.id).name)


def flush(obj: Any, scope: int = h5f.SCOPE_LOCAL) -> None:
    """`h5py.h5f.flush`: everything recorded so far is durable when it returns."""
    if obj.valid:
        obj.door.flush()
    else:
        native.flush(obj, scope)


def get_obj_ids(where: Any = h5f.OBJ_ALL, types: int = h5f.OBJ_ALL) -> list[Any]:
    """`h5py.h5f.get_obj_ids`, with journaled identifiers for what is in journaled files."""
    return [_known(oid) for oid in native.get_obj_ids(where, types)]


def wrap_identifier(ident: int) -> Any:
    """`h5py.h5i.wrap_identifier`, with a journaled identifier for what is in a journaled file."""
    return _known(native.wrap_identifier(ident))


def _known(oid: Any) -> Any:
    try:
        door = door_of(oid)
    except (OSError, RuntimeError, ValueError):
        # Not something in a file: a property list, a transient type.
        return oid
    return oid if door is None else adopt(oid, door)


def refuse_mount(loc: Any, name: bytes, fid: Any = None) -> None:
    """`h5py.h5f.mount` and ``unmount``, refused: one file would stand in the other's tree."""
    journaled = loc if isinstance(loc, Journaled) else fid
    journaled.door.refuse("mounting a file in another", hint="Use an external link")
