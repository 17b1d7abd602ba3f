"""Changes of links: hard, soft, external, renamed, removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from h5py import h5g, h5t

from safeh5.h5 import native
from safeh5.h5.door import Door, refused
from safeh5.h5.paths import Place, object_path, path_of, place_of, text
from safeh5.operations import model

Native = Callable[..., None]


def free_place(
    group: Any, name: bytes, lcpl: Any, door: Door, what: str = "a link", hint: str | None = None
) -> Place | None:
    """Where a new link goes; None if HDF5 would refuse it, and do nothing else.

    Groups on the way are made only where the link creation properties say so.
    """
    place = place_of(group, name, door)
    if place is None:
        door.refuse(f"{what} in a group that is not in the file", hint=hint)
    if place.taken or (place.group is None and not makes_groups(lcpl)):
        return None
    if place.leaf == b".":
        # HDF5 says so too, but only when it has made the groups on the way.
        raise ValueError(f"Unable to make {what} ({place.path} ends with no name)")
    return place


def charset_of(path: str, lcpl: Any) -> int | None:
    """How the name of a new link is marked, if its path does not say it; HDF5's default is ASCII."""
    charset: int = h5t.CSET_ASCII if lcpl is None else lcpl.get_char_encoding()
    return None if charset == (h5t.CSET_ASCII if path.isascii() else h5t.CSET_UTF8) else charset


def makes_groups(lcpl: Any) -> bool:
    """Whether missing groups on the way are made."""
    return lcpl is not None and bool(lcpl.get_create_intermediate_group())


def create_hard(
    group: Any, new_name: bytes, source: Any, source_name: bytes, lcpl: Any, native_create: Native
) -> None:
    """Record a hard link to something that has a name."""
    door: Door = group.door
    place = free_place(group, new_name, lcpl, door)
    if place is None or not door.holds(source):
        refused(native_create, new_name, source, source_name, lcpl)
    target = object_path(source, source_name, door)
    if target is None:
        door.refuse("a second name for an object that is not in the file", place.path)
    charset = charset_of(place.path, lcpl)
    door.record(model.CreateHardLink(path=place.path, charset=charset, target=target))


def create_soft(group: Any, new_name: bytes, target: bytes, lcpl: Any, native_create: Native) -> None:
    """Record a soft link."""
    door: Door = group.door
    place = free_place(group, new_name, lcpl, door)
    if place is None:
        refused(native_create, new_name, target, lcpl)
    charset = charset_of(place.path, lcpl)
    door.record(model.CreateSoftLink(path=place.path, charset=charset, target=text(target, door)))


def create_external(
    group: Any, new_name: bytes, filename: bytes, target: bytes, lcpl: Any, native_create: Native
) -> None:
    """Record a link into another file."""
    door: Door = group.door
    place = free_place(group, new_name, lcpl, door)
    if place is None:
        refused(native_create, new_name, filename, target, lcpl)
    operation = model.CreateExternalLink(
        path=place.path,
        charset=charset_of(place.path, lcpl),
        filename=text(filename, door),
        target=text(target, door),
    )
    door.record(operation)


def move(
    group: Any, source: bytes, destination_group: Any, destination: bytes, lcpl: Any, native_move: Native
) -> None:
    """Record that a link is renamed."""
    door: Door = group.door
    found = place_of(group, source, door)
    if getattr(destination_group, "door", None) is not door or found is None:
        door.refuse("a move of a link between files")
    place = free_place(destination_group, destination, lcpl, door)
    if place is None or not _is_link(found):
        refused(native_move, source, destination_group, destination, lcpl)
    if place.path.startswith(found.path + "/"):
        raise ValueError(f"Unable to move link ({found.path} cannot be moved into itself)")
    door.record(model.Move(path=place.path, charset=charset_of(place.path, lcpl), source=found.path))


def _is_link(place: Place) -> bool:
    """Whether there is a link that could go: HDF5 itself is to refuse nothing that is recorded."""
    return isinstance(place.group, h5g.GroupID) and place.leaf != b"." and place.taken


def unlink(group: Any, name: bytes, native_unlink: Native) -> None:
    """Record that a link is removed."""
    door: Door = group.door
    place = place_of(group, name, door)
    if place is None:
        native_unlink(name)
        return
    if not _is_link(place):
        refused(native_unlink, name)
    door.record(model.Delete(path=place.path))


def link(obj: Any, loc: Any, name: bytes, lcpl: Any = None, lapl: Any = None) -> None:
    """`h5py.h5o.link`; an object without a path is recorded whole under its first one."""
    door: Door | None = getattr(loc, "door", None)
    if door is None or not door.holds(obj):
        # HDF5 has no hard links between files.
        refused(native.link, obj, loc, name, lcpl=lcpl, lapl=lapl)
    place = free_place(loc, name, lcpl, door)
    if place is None:
        refused(native.link, obj, loc, name, lcpl=lcpl, lapl=lapl)
    target, charset = path_of(obj, door), charset_of(place.path, lcpl)
    if target is not None:
        door.record(model.CreateHardLink(path=place.path, charset=charset, target=target))
        return
    from safeh5.h5 import unlinked

    unlinked.record(obj, place.path, door, charset)
