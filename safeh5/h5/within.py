"""Copies within one file, with what HDF5 would do to references and external links done by itself.

HDF5 copies references that a dataset holds as they are, as long as they stay in
their file, and those of attributes as null; with ``expand_refs`` it follows the latter, to the
copy where what they lead to was copied, else to a copy that it makes in the root
group, under a name after an address. The names would be others when the journal
is replayed, so here each is a copy of its own, recorded under the name that it
got. What external links lead to cannot be looked up again, and is journaled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from h5py import h5l, h5o, h5r, h5t

from safeh5._typing import Buffer
from safeh5.h5 import attributes, native
from safeh5.h5.door import Door
from safeh5.h5.ids import adopt
from safeh5.h5.paths import has_link, path_of, text
from safeh5.operations import model

EXPANDED: Final = h5o.COPY_EXPAND_EXT_LINK_FLAG | h5o.COPY_EXPAND_REFERENCE_FLAG
_NOT_THERE = (KeyError, OSError, RuntimeError, ValueError)


def expand(source: str, made: str, flags: int, door: Door, image: Callable[[Any], Buffer]) -> None:
    """What `EXPANDED` flags ask for, of a copy that was recorded without them.

    Parameters
    ----------
    source, made : str
        Paths of what was copied, and of the copy.
    flags : int
        ``H5O_COPY_*``.
    image : callable
        Gives the image of an object of another file.
    """
    if flags & h5o.COPY_EXPAND_EXT_LINK_FLAG:
        _expand_external(made, door, image)
    if flags & h5o.COPY_EXPAND_REFERENCE_FLAG and not flags & h5o.COPY_WITHOUT_ATTR_FLAG:
        _Followed(flags & ~EXPANDED, door).follow(source, made)


def _open(path: str, door: Door) -> Any:
    return native.open_object(door.file_id, path.encode(), door.link_access())


def _names(path: str, door: Door) -> list[bytes]:
    """What is in a tree, itself included, by one name for each object."""
    found: list[bytes] = [b"."]
    h5o.visit(_open(path, door), found.append)
    return list(dict.fromkeys(found))


def _below(path: str, name: bytes, door: Door) -> str:
    return path if name == b"." else f"{path.rstrip('/')}/{text(name, door)}"


def _expand_external(made: str, door: Door, image: Callable[[Any], Buffer]) -> None:
    """Put copies in the place of external links, where they lead to something."""
    links: list[bytes] = []

    def note(name: bytes, info: Any) -> None:
        if info.type == h5l.TYPE_EXTERNAL:
            links.append(name)

    tree = _open(made, door)
    if not hasattr(tree, "links"):
        return
    tree.links.visit(note, info=True)
    for name in links:
        try:
            found = native.open_object(tree, name, door.link_access())
        except _NOT_THERE:
            continue  # as HDF5 does: it stays a link
        path, payload = _below(made, name, door), image(found)
        door.record(model.Delete(path=path))
        door.record(model.CopyIn(path=path), payload)


class _Followed:
    """References in attributes of copies, made to lead to copies.

    Parameters
    ----------
    flags : int
        How the objects are copied that references lead to.
    """

    def __init__(self, flags: int, door: Door) -> None:
        self._flags = flags
        self._door = door
        self._copies: dict[Any, str] = {}

    def follow(self, source: str, made: str) -> None:
        """Of the tree at `made`, which was copied from `source`."""
        waiting = [(source, made)]
        while waiting:
            pairs = self._pairs(*waiting.pop())
            for original, path in pairs:
                self._copies.setdefault(native.get_objinfo(original).objno, path)
            for original, path in pairs:
                waiting += self._follow_one(original, adopt(_open(path, self._door), self._door))

    def _pairs(self, source: str, made: str) -> list[tuple[Any, str]]:
        """Every object of a tree that was copied, with the path of its copy."""
        tree, pairs = _open(source, self._door), []
        for name in _names(made, self._door):
            try:
                original = native.open_object(tree, name, self._door.link_access())
            except _NOT_THERE:
                continue
            if self._door.holds(original):
                pairs.append((original, _below(made, name, self._door)))
        return pairs

    def _follow_one(self, original: Any, made: Any) -> list[tuple[str, str]]:
        """Write an object's references; gives the copies that were made for that."""
        copied: list[tuple[str, str]] = []
        for name in attributes.names_of(made):
            attribute = native.open_attribute(original, name)
            if attribute.get_type().get_class() != h5t.REFERENCE or attribute.shape is None:
                continue
            values = np.empty(attribute.shape, attribute.dtype)
            attribute.read(values)
            flat = values.reshape(-1)
            for i, reference in enumerate(flat):
                copied += self._copied(reference)
                flat[i] = self._led(reference)
            attributes.open(made, name).write(values)
        return copied

    def _target(self, reference: Any) -> Any:
        """What a reference leads to; None if to nothing."""
        try:
            return native.dereference(reference, self._door.file_id) if reference else None
        except _NOT_THERE:
            return None

    def _copied(self, reference: Any) -> list[tuple[str, str]]:
        """Copy what a reference leads to, unless there is a copy."""
        target = self._target(reference)
        source = None if target is None else path_of(adopt(target, self._door), self._door)
        if source is None:
            return []
        number = native.get_objinfo(self._door.file_id, source.encode()).objno
        if number in self._copies:
            return []
        made = self._free_name(number)
        self._door.record(model.Copy(path=made, source=source, flags=self._flags))
        self._copies[number] = made
        return [(source, made)]

    def _free_name(self, number: Any) -> str:
        """As HDF5 calls it: after an address."""
        address = number[0] if isinstance(number, tuple) else number
        while has_link(self._door.file_id, f"~obj_pointed_by_{address}".encode()):
            address += 1
        return f"/~obj_pointed_by_{address}"

    def _led(self, reference: Any) -> Any:
        """The reference that leads to the copy instead."""
        target = self._target(reference)
        made = None if target is None else self._copies.get(native.get_objinfo(target).objno)
        if made is None:
            return reference
        if isinstance(reference, h5r.RegionReference):
            region = native.region_of_reference(reference, self._door.file_id)
            return native.create_reference(self._door.file_id, made.encode(), h5r.DATASET_REGION, region)
        return native.create_reference(self._door.file_id, made.encode(), h5r.OBJECT)
