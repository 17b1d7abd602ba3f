"""The oracle's hand: the same changes, made with h5py's documented interface and nothing else.

What safeh5 writes is compared with what these functions make of the same tree
or the same operations. They share no code with the applier: an error would
have to be made twice, in two ways.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np

from safeh5.microdata import (
    ExternalLink,
    HardLink,
    MicroData,
    MicroDataGroup,
    MicroDataset,
    MicroDatatype,
    Reference,
    SoftLink,
)
from safeh5.operations import model as op
from safeh5.operations.values import decode_space, decode_type

# --- trees ----------------------------------------------------------------------------


def write_tree(file: h5py.File, root: MicroDataGroup) -> None:
    """Write a tree of `safeh5.testing.strategies` to an open file.

    Parameters
    ----------
    file : h5py.File
        Open for writing.
    root : MicroDataGroup
        ``/``, or a group that is not in the file yet.
    """
    places: dict[MicroData, h5py.Group | h5py.Dataset | h5py.Datatype] = {}
    later: list[tuple[h5py.Group, MicroData]] = []
    top = file["/"] if root.is_root else file.create_group(root.path, track_order=root.track_order)
    pending: list[tuple[MicroDataGroup, h5py.Group]] = [(root, top)]
    while pending:
        parent, group = pending.pop()
        places[parent] = group
        for child in parent.children:
            if isinstance(child, MicroDataGroup):
                pending.append((child, group.create_group(child.name, track_order=child.track_order)))
            elif isinstance(child, MicroDatatype):
                group[child.name] = child.dtype
                places[child] = group[child.name]
            else:
                later.append((group, child))
    _leaves(later, places)
    for node, place in places.items():
        _attributes(node, place, places)


def _leaves(later: list[tuple[h5py.Group, MicroData]], places: dict[MicroData, Any]) -> None:
    """Datasets, which may share committed types, then links, which need something to point to."""
    for group, child in later:
        if isinstance(child, MicroDataset):
            places[child] = _dataset(group, child, places)
        elif isinstance(child, SoftLink):
            group[child.name] = h5py.SoftLink(child.target)
        elif isinstance(child, ExternalLink):
            group[child.name] = h5py.ExternalLink(child.filename, child.target)
    for group, child in later:
        if isinstance(child, HardLink):
            group[child.name] = places[child.target]  # type: ignore[index]


def _dataset(group: h5py.Group, node: MicroDataset, places: dict[MicroData, Any]) -> h5py.Dataset:
    given: dict[str, Any] = {
        "chunks": node.chunking,
        "shuffle": node.shuffle,
        "fletcher32": node.fletcher32,
        "compression": node.compression,
        "fillvalue": node.fillvalue,
        "maxshape": (None,) * node.data.ndim if node.resizable else None,
        "dtype": places.get(node.dtype),
    }
    given = {key: value for key, value in given.items() if value is not None}
    return group.create_dataset(node.name, data=node.data, **given)


def _attributes(node: MicroData, place: Any, places: dict[MicroData, Any]) -> None:
    for name, value in node.attrs.items():
        if name == "labels":
            _labels(place, value)
        elif isinstance(value, Reference):
            target = places[value.target]
            place.attrs[name] = target.ref if value.region is None else target.regionref[value.region]
        else:
            place.attrs[name] = value


def _labels(dataset: h5py.Dataset, names: list[str]) -> None:
    """A region reference for each row, or each column when there are not that many rows."""
    by_row = dataset.shape[0] == len(names)
    for i, name in enumerate(names):
        region = (slice(i, i + 1), slice(None)) if by_row else (slice(None), slice(i, i + 1))
        dataset.attrs[name] = dataset.regionref[region]
    dataset.attrs["labels"] = np.array([name.encode() for name in names], "S")


# --- operations -----------------------------------------------------------------------


def apply_operations(file: h5py.File, steps: Iterable[tuple[op.Operation, Any]]) -> None:
    """Do what a sequence of operations, each with its payload, says."""
    for operation, payload in steps:
        apply_operation(file, operation, payload)


def apply_operation(file: h5py.File, operation: op.Operation, payload: Any = b"") -> None:
    """Do what an operation of `safeh5.testing.strategies.operations` says.

    Raises
    ------
    NotImplementedError
        For an operation, or a form of one, that the strategies do not make.
    """
    match operation:
        case op.CreateGroup(path=path):
            file.create_group(path)
        case op.CreateDataset():
            _create(file, operation)
        case op.CommitDatatype(path=path, type=encoded):
            file[path] = decode_type(encoded).dtype
        case op.CreateSoftLink(path=path, target=target):
            file[path] = h5py.SoftLink(target)
        case op.CreateExternalLink(path=path, filename=filename, target=target):
            file[path] = h5py.ExternalLink(filename, target)
        case op.CreateHardLink(path=path, target=target):
            file[path] = file[target]
        case op.Delete(path=path):
            del file[path]
        case op.Move(path=path, source=source):
            file.move(source, path)
        case op.Copy(path=path, source=source):
            file.copy(source, path)
        case op.Resize(path=path, shape=shape):
            file[path].resize(shape)
        case _:
            _values(file, operation, payload)


def _values(file: h5py.File, operation: op.Operation, payload: Any) -> None:
    match operation:
        case op.WriteData(path=path, type=encoded, selection=op.Box(start, count)):
            where = tuple(slice(s, s + n) for s, n in zip(start, count, strict=True))
            file[path][where] = _array(encoded, payload).reshape(count)
        case op.WriteData(path=path, type=encoded, selection=None):
            file[path][()] = _array(encoded, payload).reshape(file[path].shape)
        case op.AppendData(path=path, type=encoded, start=begin, count=n):
            dataset = file[path]
            dataset.resize(begin + n, axis=0)
            dataset[begin : begin + n] = _array(encoded, payload).reshape((n, *dataset.shape[1:]))
        case op.SetAttribute(path=path, name=name, type=encoded, space=space):
            shape = decode_space(space).get_simple_extent_dims()
            file[path].attrs[name] = _array(encoded, payload).reshape(shape)
        case op.DeleteAttribute(path=path, name=name):
            del file[path].attrs[name]
        case op.RenameAttribute(path=path, name=name, new_name=new):
            _rename(file[path].attrs, name, new)
        case _:
            raise NotImplementedError(f"the oracle cannot do {operation}")


def _rename(attrs: h5py.AttributeManager, name: str, new: str) -> None:
    attrs[new] = attrs[name]
    del attrs[name]


def _create(file: h5py.File, operation: op.CreateDataset) -> None:
    space, layout = decode_space(operation.space), operation.layout
    if layout.filters or layout.fill or operation.committed_type:
        raise NotImplementedError(f"the oracle cannot make {operation}")
    # Not by `create_dataset`: that of h5py 3.11 chooses another fill time for what is in chunks.
    dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    dcpl.set_obj_track_times(False)
    if layout.chunks:
        dcpl.set_chunk(layout.chunks)
    above, _, leaf = operation.path.rpartition("/")
    kind = h5py.h5t.py_create(decode_type(operation.type).dtype, logical=True)
    h5py.h5d.create(file.require_group(above or "/").id, leaf.encode(), kind, space, dcpl)


def _array(encoded: bytes, payload: Any) -> np.ndarray[Any, np.dtype[Any]]:
    return np.frombuffer(bytes(payload), dtype=decode_type(encoded).dtype)
