"""Facts about one HDF5 object, comparable with those about another."""

from __future__ import annotations

from typing import Any

from h5py import h5, h5a, h5d, h5g, h5l, h5o, h5s, h5t

Key = tuple[int, int]


def key(obj: Any) -> Key:
    """What tells an object from all others, whatever name it was opened by."""
    info = h5o.get_info(obj)
    return int(info.fileno), int(info.addr)


def kind(obj: Any) -> str:
    """Group, dataset or committed type, in words."""
    return {h5d.DatasetID: "dataset", h5g.GroupID: "group"}.get(type(obj), "committed type")


def link_names(group: h5g.GroupID, tracked: bool = False) -> list[bytes]:
    """The names of a group's links, sorted; in creation order when `tracked`."""
    names: list[bytes] = []
    group.links.iterate(names.append, idx_type=h5.INDEX_CRT_ORDER if tracked else h5.INDEX_NAME)
    return names


def link(group: h5g.GroupID, name: bytes) -> Any:
    """A link in comparable form: ``"hard"``, ``("soft", target)``, ...; None if not there."""
    if not group.links.exists(name):
        return None
    sort = group.links.get_info(name).type
    if sort == h5l.TYPE_HARD:
        return "hard"
    if sort == h5l.TYPE_SOFT:
        return "soft", group.links.get_val(name)
    return ("external", *group.links.get_val(name)) if sort == h5l.TYPE_EXTERNAL else ("user-defined", sort)


def attribute_names(obj: Any) -> list[bytes]:
    """In creation order where it is tracked, else by name."""
    names: list[bytes] = []
    index = h5.INDEX_CRT_ORDER if tracks_attributes(obj) else h5.INDEX_NAME
    h5a.iterate(obj, lambda name, *_: names.append(name), index_type=index)
    return names


def tracks_attributes(obj: Any) -> bool:
    """Whether the order in which attributes were made is kept."""
    if not isinstance(obj, h5d.DatasetID | h5g.GroupID):
        return False
    return bool(obj.get_create_plist().get_attr_creation_order())


def extent(obj: Any) -> tuple[str, Any, Any]:
    """Class, shape and maximum shape of a dataspace."""
    space = obj.get_space()
    sort = space.get_simple_extent_type()
    if sort == h5s.SIMPLE:
        return "simple", space.get_simple_extent_dims(), space.get_simple_extent_dims(True)
    return ("null" if sort == h5s.NULL else "scalar"), None, None


def type_text(tid: h5t.TypeID) -> str:
    """A type for people."""
    try:
        return f"{tid.dtype!r} ({tid.encode().hex()})"
    except TypeError:
        return str(tid.encode().hex())


def text(name: bytes) -> str:
    """A name as text."""
    return name.decode("utf-8", "surrogateescape")
