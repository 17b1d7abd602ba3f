"""From h5py's identifiers to the absolute paths that operations are written with.

HDF5 remembers the path by which an identifier was opened, and follows renames
of that link, but not of a group above it: after ``move('a', 'b')`` an open
``/a/x`` still gives ``/a/x``. So a path is used only when the object found
there is the same one; else HDF5 is asked to look for the object by its address.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from h5py import h5g, h5l, h5r

from safeh5.h5 import native
from safeh5.operations.values import StoredReference

if TYPE_CHECKING:
    from safeh5.h5.door import Door

_MANY: Final = 4096
# h5py raises any of these for an object that is not there.
NOT_THERE = (KeyError, OSError, RuntimeError, ValueError)


def path_of(oid: Any, door: Door) -> str | None:
    """The absolute path of an object; None if no link leads to it (any more).

    A journaled identifier keeps it until something in the file is moved or removed.

    Raises
    ------
    UnjournaledOperationError
        If the object has links, but none that starts at the root group.
    """
    epoch, known = door.recorder.epoch, getattr(oid, "known", None)
    if known is not None and known[0] == epoch and oid.valid:
        path: str = known[1]
        return path
    found = door.paths.get(epoch, number := native.get_objinfo(oid).objno)
    if found is None and (found := _path_of(oid, door)) is not None:
        door.paths.keep(epoch, number, found)
    if found is not None:
        with contextlib.suppress(AttributeError):  # of a plain identifier
            oid.known = epoch, found
    return found


class Paths:
    """Where objects of a file stand, by their addresses in it; as long as nothing is moved or removed."""

    def __init__(self) -> None:
        self._epoch = -1
        self._paths: dict[Any, str] = {}

    def get(self, epoch: int, number: Any) -> str | None:
        """The path of the object at the address `number`; None if it is not known in this epoch."""
        return self._paths.get(number) if epoch == self._epoch else None

    def keep(self, epoch: int, number: Any, path: str) -> None:
        """Note where an object stands."""
        if epoch != self._epoch or len(self._paths) >= _MANY:
            self._epoch, self._paths = epoch, {}
        self._paths[number] = path


def _path_of(oid: Any, door: Door) -> str | None:
    name = native.get_name(oid)
    if name is not None and _is_at(oid, name, door):
        return text(name, door)
    if native.get_info(oid).rc == 0:
        return None
    return text(_searched(oid, door), door)


def _searched(oid: Any, door: Door) -> bytes:
    """The path of an object that is not where HDF5 remembers it; a search of the file, made once."""
    number = native.get_objinfo(oid).objno
    known = door.moved.get(number)
    if known is not None and _is_at(oid, known, door):
        return known
    found: bytes | None = native.name_of_reference(
        native.create_reference(oid, b".", h5r.OBJECT), door.file_id
    )
    if not found:
        door.refuse("a change of an object that no path from the root group leads to")
    door.moved[number] = found
    return found


def _is_at(oid: Any, name: bytes, door: Door) -> bool:
    try:
        there = native.get_objinfo(door.file_id, name)
    except NOT_THERE:
        return False
    return bool(there.fileno == door.fileno and there.objno == native.get_objinfo(oid).objno)


def text(name: bytes | str, door: Door) -> str:
    """A name as text; HDF5 allows any bytes up to a zero, the journal UTF-8 only."""
    if isinstance(name, str):
        return name
    try:
        return name.partition(b"\0")[0].decode("utf-8")
    except UnicodeDecodeError:
        door.refuse(f"the name {name!r}, which is not UTF-8,")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name leads to, the last link not followed.

    Attributes
    ----------
    path : str
        Absolute, through the real groups: soft links on the way are resolved.
    group : h5py identifier or None
        The object that holds, or would hold, the link; None when it is to be made.
    leaf : bytes
        The last part of the name; ``.`` where the name ends with no link.
    first : str
        The path of the first link on the way that is to be made.
    """

    path: str
    group: Any
    leaf: bytes
    first: str

    @property
    def taken(self) -> bool:
        """Whether there is a link, or there cannot be one."""
        if self.group is None:
            return False
        return self.leaf == b"." or not isinstance(self.group, h5g.GroupID) or has_link(self.group, self.leaf)


def place_of(loc: Any, name: bytes, door: Door) -> Place | None:
    """What `name`, seen from `loc`, means; None if `loc` itself has no path.

    Raises
    ------
    TypeError
        As h5py, if `name` is no bytes.
    UnjournaledOperationError
        If the way goes through an external link.
    """
    if not isinstance(name, bytes):
        raise TypeError(f"expected bytes, {type(name).__name__} found")
    raw, _, _ = name.partition(b"\0")  # where it ends for HDF5
    parts = [part for part in raw.split(b"/") if part]
    leaf = parts.pop() if parts else b"."
    on_the_way = [part for part in parts if part != b"."]
    group, missing = _descend(door.file_id if raw.startswith(b"/") else loc, on_the_way, door)
    parent = path_of(group, door)
    if parent is None:
        return None
    if leaf == b"." and not missing:
        return Place(parent, group, leaf, parent)
    above = parent.rstrip("/")
    names = [text(part, door) for part in (*missing, leaf)]
    return Place("/".join((above, *names)), None if missing else group, leaf, f"{above}/{names[0]}")


def _descend(group: Any, parts: list[bytes], door: Door) -> tuple[Any, list[bytes]]:
    """The last group that exists on the way, and the parts that are still to be made."""
    for i, part in enumerate(parts):
        if not isinstance(group, h5g.GroupID) or not has_link(group, part):
            return group, parts[i:]
        group = native.open_object(group, part, door.link_access())
        if not door.holds(group):
            door.refuse("a change in another file, reached through an external link,")
    return group, []


def has_link(group: Any, name: bytes) -> bool:
    """Whether a group has a link of that name, wherever it leads."""
    try:
        proxy = group.proxy
    except AttributeError:
        proxy = h5l.LinkProxy(group.id)
        with contextlib.suppress(AttributeError):  # of a plain identifier
            group.proxy = proxy
    return bool(proxy.exists(name))


def object_path(loc: Any, name: bytes | str, door: Door) -> str | None:
    """The path of the object that `name` leads to, links followed."""
    if name in (b".", "."):
        return path_of(loc, door)
    raw = name.encode() if isinstance(name, str) else name
    found = native.open_object(loc, raw, door.link_access())
    if not door.holds(found):
        door.refuse("a change in another file, reached through an external link,")
    return path_of(found, door)


def describe(reference: h5r.Reference, door: Door) -> StoredReference | None:
    """What a reference means: the path it leads to, and the region.

    Raises
    ------
    UnjournaledOperationError
        If it leads to nothing in this file.
    """
    if not reference:
        return None
    try:
        name = native.name_of_reference(reference, door.file_id)
    except NOT_THERE:
        name = None
    if not name:
        door.refuse("a reference to an object that is not in the file")
    region = None
    if isinstance(reference, h5r.RegionReference):
        region = native.region_of_reference(reference, door.file_id).encode()
    return StoredReference(text(name, door), region)
