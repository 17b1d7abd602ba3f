"""Copies of objects: within the file an operation, from elsewhere an image of what was copied.

Journaled is what can be repeated: a copy within the file is done again by
HDF5 (`safeh5.h5.within`). A copy from another file is made into a file in
memory, and the image of that file is journaled.
"""

from __future__ import annotations

from typing import Any, Final

import h5py
from h5py import h5g, h5l, h5o, h5p

from safeh5.h5 import native, within
from safeh5.h5.door import Door, refused
from safeh5.h5.ids import Journaled
from safeh5.h5.links import charset_of, free_place
from safeh5.h5.paths import object_path
from safeh5.operations import model

_COPIED: Final = b"copied"  # as `safeh5.applier.images` looks for it
_EXPAND_EXTERNAL: Final = h5o.COPY_EXPAND_EXT_LINK_FLAG
_NOT_THERE = (KeyError, OSError, RuntimeError, ValueError)


def copy(
    src_loc: Any, src_name: bytes, dst_loc: Any, dst_name: bytes, copypl: Any = None, lcpl: Any = None
) -> None:
    """`h5py.h5o.copy`: journaled into the file, plain out of it."""
    if isinstance(src_loc, Journaled):
        src_loc, src_name = _followed(src_loc, src_name)
    if not isinstance(dst_loc, Journaled):
        native.copy(src_loc, src_name, dst_loc, dst_name, copypl, lcpl)
        return
    door: Door = dst_loc.door
    place = free_place(dst_loc, dst_name, lcpl, door)
    if place is None or not _is_there(src_loc, src_name):
        refused(native.copy, src_loc, src_name, dst_loc, dst_name, copypl, lcpl)
    flags = 0 if copypl is None else copypl.get_copy_object()
    charset = charset_of(place.path, lcpl)
    source = object_path(src_loc, src_name, door) if door.holds(src_loc) else None
    if source is None:
        door.record(model.CopyIn(path=place.path, charset=charset), _image(src_loc, src_name, flags))
        return
    door.record(model.Copy(path=place.path, charset=charset, source=source, flags=flags & ~within.EXPANDED))
    within.expand(source, place.path, flags, door, lambda found: _image(found, b".", flags))


def _followed(loc: Any, name: bytes) -> tuple[Any, bytes]:
    """`loc` and `name`; the object itself where external links lead to another file.

    HDF5 would open that by the driver of this one, whose Python object is the
    staging file.
    """
    try:
        found = native.open_object(loc, name, loc.door.link_access())
    except _NOT_THERE:
        return loc, name
    return (loc, name) if loc.door.holds(found) else (found, b".")


def _is_there(loc: Any, name: bytes) -> bool:
    try:
        native.open_object(loc, name)
    except _NOT_THERE:
        return False
    return True


def _image(loc: Any, name: bytes, flags: int) -> memoryview:
    """An HDF5 file, in memory, with a copy of the object; what references lead to beside it."""
    with h5py.File("safeh5-copy", "w", driver="core", backing_store=False) as file:
        through = isinstance(loc, Journaled) and flags & _EXPAND_EXTERNAL
        plist = h5p.create(h5p.OBJECT_COPY)
        plist.set_copy_object(flags & ~_EXPAND_EXTERNAL if through else flags)
        native.copy(loc, name, file.id, _COPIED, plist)
        if through:
            plist.set_copy_object(flags)
            _expand_external(native.open_object(loc, name), native.open_object(file.id, _COPIED), loc, plist)
        native.flush(file.id)
        return memoryview(file.id.get_file_image())


def _expand_external(source: Any, made: Any, loc: Journaled, plist: Any) -> None:
    """Put copies in the place of external links, where they lead to something."""
    if not isinstance(made, h5g.GroupID):
        return
    for name in list(made):
        kind = made.links.get_info(name).type
        if kind == h5l.TYPE_HARD:
            _expand_external(native.open_object(source, name), native.open_object(made, name), loc, plist)
        elif kind == h5l.TYPE_EXTERNAL:
            try:
                found = native.open_object(source, name, loc.door.link_access())
            except _NOT_THERE:
                continue  # as HDF5 does: it stays a link
            made.unlink(name)
            native.copy(found, b".", made, name, plist)
