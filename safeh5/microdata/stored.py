"""What stands in an HDF5 file, read exactly: types, spaces and values as they are."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import cache
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5a, h5g, h5i, h5o, h5r, h5s, h5t

from safeh5.operations.model import Layout
from safeh5.operations.values import is_plain

Identity = tuple[int, int]
"""Which object of which file: file number and address."""


@dataclass(frozen=True, slots=True)
class StoredNode:
    """Properties of an object that was read from a file.

    Attributes
    ----------
    identity : Identity
        The object, to find it again behind a reference.
    link_order, attr_order : int
        ``H5P_CRT_ORDER_*`` flags.
    type, space : bytes
        A dataset's (or datatype's) type and a dataset's space, encoded.
    layout : Layout or None
        A dataset's creation properties.
    committed : Identity or None
        The committed datatype that a dataset shares.
    comment : str
        The object's comment.
    """

    identity: Identity
    link_order: int = 0
    attr_order: int = 0
    type: bytes = b""
    space: bytes = b""
    layout: Layout | None = None
    committed: Identity | None = None
    comment: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class StoredAttribute:
    """An attribute with its exact type and space.

    Attributes
    ----------
    type, space : bytes
        As HDF5 encodes them.
    values : bytes or ndarray
        The raw bytes, or, for a type with pointers, an array of objects.
    owner : h5py identifier or None
        The object that holds the attribute; references are meant in its file.
    committed : Identity or None
        The committed datatype that the attribute shares.
    """

    type: bytes
    space: bytes
    values: bytes | npt.NDArray[Any]
    owner: Any = None
    committed: Identity | None = None


def identity_of(object_id: Any) -> Identity:
    """Which object an h5py identifier stands for."""
    info = h5o.get_info(object_id)
    return int(info.fileno), int(info.addr)


def name_of(object_id: Any) -> str | None:
    """A path of the object in its file, None when it has none any more.

    HDF5 remembers the path by which an identifier was opened, and does not
    always follow when a group above is renamed. So it is believed only where
    the object is found there; else the file is searched for the object.
    """
    name = h5i.get_name(object_id)
    if name is None or not _is_at(object_id, name):
        reference = h5r.create(object_id, b".", h5r.OBJECT) if h5o.get_info(object_id).rc else None
        name = None if reference is None else h5r.get_name(reference, object_id)
    return None if not name else name.decode("utf-8", "surrogateescape")


def _is_at(object_id: Any, name: bytes) -> bool:
    try:
        there = h5g.get_objinfo(object_id, name)
    except (KeyError, OSError, RuntimeError, ValueError):
        return False
    found = h5g.get_objinfo(object_id)
    return bool(there.fileno == found.fileno and there.objno == found.objno)


def encoded_type(tid: h5t.TypeID) -> tuple[bytes, Identity | None]:
    """The encoding of a type, and which committed datatype it is."""
    return tid.encode(), identity_of(tid) if tid.committed() else None


def read_attribute(attribute: h5a.AttrID, owner: Any = None) -> StoredAttribute:
    """The attribute behind an h5py identifier."""
    tid, space = attribute.get_type(), attribute.get_space()
    encoded, committed = encoded_type(tid)
    return StoredAttribute(encoded, space.encode(), _values(attribute, tid, space, encoded), owner, committed)


def _values(
    attribute: h5a.AttrID, tid: h5t.TypeID, space: h5s.SpaceID, encoded: bytes
) -> bytes | npt.NDArray[Any]:
    if space.get_simple_extent_type() == h5s.NULL:
        return b""
    if is_plain(encoded):
        raw = np.empty(attribute.shape, dtype=np.dtype((np.void, tid.get_size())))
        if raw.size:
            attribute.read(raw, mtype=tid)
        return raw.tobytes()
    memory_type, values = object_array(attribute.dtype, attribute.shape)
    if values.size:
        attribute.read(values, mtype=memory_type)
        relabel(values, tid)
    return values


def object_array(dtype: np.dtype[Any], shape: tuple[int, ...]) -> tuple[h5t.TypeID, npt.NDArray[Any]]:
    """A memory type and an array to read values with pointers into.

    NumPy has no arrays of an array type: its axes follow those of `shape`.
    """
    memory_type = h5t.py_create(dtype)
    if dtype.subdtype is not None:
        dtype, inner = dtype.subdtype
        shape = shape + inner
    return memory_type, np.zeros(shape, dtype)


# --- a mistake of h5py's -------------------------------------------------------------


def relabel(values: npt.NDArray[Any], tid: h5t.TypeID) -> None:
    """Name the byte order of variable-length sequences that h5py read from type `tid`.

    h5py gives their elements in the file's byte order and calls it the
    machine's (found with 3.16). Whether it does is asked once.
    """
    if tid.detect_class(h5t.VLEN) and _mislabels():
        _relabel(values, tid)


def _relabel(values: npt.NDArray[Any], tid: h5t.TypeID) -> None:
    kind = tid.get_class()
    if kind == h5t.ARRAY:
        _relabel(values, tid.get_super())
    elif kind == h5t.COMPOUND:
        for i, name in enumerate(values.dtype.names or ()):
            _relabel(values[name], tid.get_member_type(i))
    elif kind == h5t.VLEN:
        _relabel_rows(values, tid.get_super())


def _relabel_rows(values: npt.NDArray[Any], base: h5t.TypeID) -> None:
    wanted = base.dtype
    for index, row in np.ndenumerate(values):
        if not isinstance(row, np.ndarray):
            continue
        if row.dtype != wanted and row.dtype == wanted.newbyteorder("="):
            values[index] = row.view(wanted)
        elif wanted.hasobject:
            _relabel(row, base)


@cache
def _mislabels() -> bool:
    """Whether h5py reads the sequence [1] of the other byte order as something else."""
    other = np.dtype("i4").newbyteorder("S")
    name = f"safeh5-probe-{uuid.uuid4().hex}"
    with h5py.File(name, "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("a", (1,), h5py.vlen_dtype(other))
        dataset[0] = np.array([1], other)
        return int(dataset[0][0]) != 1
