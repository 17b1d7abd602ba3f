"""A tree from what stands in an HDF5 file, exact in types, layout, links and references.

Structure and attributes are read now, data when the tree is written. An object
with several names becomes a node at the first and a `HardLink` at the others;
so a group that holds itself ends in a link.
"""

from __future__ import annotations

import os
from typing import Any

import h5py
import msgspec
from h5py import h5a, h5d, h5g, h5i, h5l, h5o, h5p, h5s, h5t

from safeh5.errors import InvalidTreeError, InvalidTypeError
from safeh5.microdata.nodes import ExternalLink, HardLink, MicroData, MicroDatatype, SoftLink
from safeh5.microdata.stored import (
    Identity,
    StoredAttribute,
    StoredNode,
    encoded_type,
    identity_of,
    name_of,
    read_attribute,
)
from safeh5.microdata.tree import MicroDataGroup, MicroDataset
from safeh5.operations.model import Layout, VirtualSource
from safeh5.operations.properties import read_layout
from safeh5.operations.values import decode_space, encode_shape


def read_group(group: Any, *, name: str | None = None, parent: str = "/") -> MicroDataGroup:
    """See `MicroDataGroup.from_hdf5`."""
    if not isinstance(group, h5py.Group):
        raise InvalidTypeError(f"what was given is no h5py.Group but of type {type(group).__name__}")
    top = _group(group.id, _own_name(group, name), parent)
    known: dict[Identity, MicroData] = {identity_of(group.id): top}
    pending: list[tuple[MicroDataGroup, Any, bytes]] = [
        (top, group.id, raw) for raw in reversed(_names(group.id))
    ]
    # Depth first, as the tree will be written: of an object's names, the one
    # that is written first is then the node, and all others are links to it.
    while pending:
        holder, group_id, raw = pending.pop()
        child, child_id = _child(group_id, raw, known)
        child.parent = holder.path
        holder.children.append(child)
        if isinstance(child, MicroDataGroup):
            pending += [(child, child_id, inner) for inner in reversed(_names(child_id))]
    return top


def read_dataset(dataset: Any, *, name: str | None = None, parent: str = "/") -> MicroDataset:
    """See `MicroDataset.from_hdf5`."""
    if not isinstance(dataset, h5py.Dataset):
        raise InvalidTypeError(f"what was given is no h5py.Dataset but of type {type(dataset).__name__}")
    return _dataset(dataset.id, _own_name(dataset, name), parent)


def _own_name(item: Any, name: str | None) -> str:
    if name is not None:
        return name
    own: str | None = item.name
    if own is None:
        raise InvalidTreeError("the object has no name in its file", hint="Give a name")
    return own if own == "/" else own.rsplit("/", 1)[-1]


# --- links ------------------------------------------------------------------------


def _child(group_id: h5g.GroupID, raw: bytes, known: dict[Identity, MicroData]) -> tuple[MicroData, Any]:
    """The node for a link of a group; with the object's identifier if the node is that object's."""
    name, kind = os.fsdecode(raw), group_id.links.get_info(raw).type
    if kind == h5l.TYPE_HARD:
        return _object(h5o.open(group_id, raw), name, known)
    if kind == h5l.TYPE_SOFT:
        return SoftLink(name, os.fsdecode(group_id.links.get_val(raw))), None
    if kind == h5l.TYPE_EXTERNAL:
        filename, target = group_id.links.get_val(raw)
        return ExternalLink(name, os.fsdecode(filename), os.fsdecode(target)), None
    path = f"{name_of(group_id)}/{name}"
    raise InvalidTreeError(f"{path} is a user-defined link, of class {kind}", dataset=path)


def _names(group_id: h5g.GroupID) -> list[bytes]:
    """The names in the group, in the order they were made where the file keeps it."""
    return list(group_id)


def _object(found: Any, name: str, known: dict[Identity, MicroData]) -> tuple[MicroData, Any]:
    identity = identity_of(found)
    if identity in known:
        return HardLink(name, known[identity]), None
    node: MicroData
    if isinstance(found, h5g.GroupID):
        node = _group(found, name, "/")
    elif isinstance(found, h5d.DatasetID):
        node = _dataset(found, name, "/")
    else:
        node = _datatype(found, name)
    known[identity] = node
    return node, found


# --- objects ----------------------------------------------------------------------


def _group(group_id: h5g.GroupID, name: str, parent: str) -> MicroDataGroup:
    plist = group_id.get_create_plist()
    link_order = plist.get_link_creation_order()
    node = MicroDataGroup(name, parent, track_order=bool(link_order), indexed=False)
    node.attrs = _attributes(group_id, plist)
    node.stored = StoredNode(
        identity_of(group_id), link_order, plist.get_attr_creation_order(), comment=_comment(group_id)
    )
    return node


def _dataset(dataset_id: h5d.DatasetID, name: str, parent: str) -> MicroDataset:
    plist, tid = dataset_id.get_create_plist(), dataset_id.get_type()
    encoded, committed = encoded_type(tid)
    node = MicroDataset(name, h5py.Dataset(dataset_id), parent=parent)
    node.attrs = _attributes(dataset_id, plist)
    node.stored = StoredNode(
        identity_of(dataset_id),
        type=encoded,
        space=dataset_id.get_space().encode(),
        layout=_layout(plist, tid),
        committed=committed,
        comment=_comment(dataset_id),
    )
    return node


def _layout(plist: h5p.PropDCID, tid: h5t.TypeID) -> Layout:
    layout = read_layout(plist, tid)
    return msgspec.structs.replace(layout, virtual=tuple(_source(source) for source in layout.virtual))


def _source(source: VirtualSource) -> VirtualSource:
    """`source` with an extent: a file holds none for a source that is mapped whole.

    HDF5 takes the extent of such a source from the dataset itself when it is
    read; to make the mapping again it only wants as many elements.
    """
    wanted = decode_space(source.target).get_select_npoints()
    space = decode_space(source.source)
    if space.get_select_type() != h5s.SEL_ALL or space.get_select_npoints() == wanted:
        return source
    return VirtualSource(source.target, source.file, source.dataset, encode_shape((wanted,)))


def _datatype(tid: h5t.TypeID, name: str) -> MicroDatatype:
    node = MicroDatatype(name, h5py.Datatype(tid))
    node.attrs = _attributes(tid, None)
    node.stored = StoredNode(identity_of(tid), type=encoded_type(tid)[0], comment=_comment(tid))
    return node


def _comment(object_id: Any) -> str:
    # h5py's h5o.get_comment returns freed memory (3.16); the older call does not.
    name = h5i.get_name(object_id)
    if name is None:
        return ""
    return os.fsdecode(h5g.open(h5i.get_file_id(object_id), b"/").get_comment(name))


def _attributes(object_id: Any, plist: Any) -> dict[str, Any]:
    """The attributes, in the order they were made where the file keeps it."""
    tracked = plist is not None and plist.get_attr_creation_order() & h5p.CRT_ORDER_TRACKED
    names: list[bytes] = []
    h5a.iterate(
        object_id,
        lambda name, *rest: names.append(name),
        index_type=h5py.h5.INDEX_CRT_ORDER if tracked else h5py.h5.INDEX_NAME,
    )
    out: dict[str, StoredAttribute] = {}
    for name in names:
        out[os.fsdecode(name)] = read_attribute(h5a.open(object_id, name), object_id)
    return dict(out)
