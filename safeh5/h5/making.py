"""``create_dataset`` and ``create_group`` with plain arguments: one record each, and nothing is asked twice.

h5py makes a dataset and then writes to it. Here both are one operation, applied in
one go, with what h5py made of the same arguments before: see `remembered`.
Everything else (other values, large ones, what HDF5 would refuse) goes h5py's own way.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import h5py
import msgspec
import numpy as np
from h5py import h5t

from safeh5.applier.direct import NewDataset, NewObject
from safeh5.h5 import native, remembered
from safeh5.h5.door import Door
from safeh5.h5.ids import Journaled, adopt
from safeh5.h5.paths import has_link, path_of
from safeh5.h5.plain import Kept, Plain, kept, plain, plain_dtype
from safeh5.operations import model
from safeh5.session.rows import LARGEST_ITEM


class Asked(NamedTuple):
    """A dataset of plain values that is to be made.

    Attributes
    ----------
    dtype : dtype
        What it is to hold.
    kept : Kept
        Its type.
    shape : tuple of int
        Its extent.
    value : Plain or None
        What is written to it.
    """

    dtype: np.dtype[Any]
    kept: Kept
    shape: tuple[int, ...]
    value: Plain | None


class Spot(NamedTuple):
    """A name that is free, in a group of the file."""

    group: Any
    leaf: bytes
    path: str
    door: Door


def create_dataset(
    group: Any, name: Any, shape: Any = None, dtype: Any = None, data: Any = None, **kwds: Any
) -> Any:
    """`h5py.Group.create_dataset` for a group of a journaled file."""
    with native.phil:
        asked = _asked(shape, dtype, data) if type(name) is str else None
        if asked is None:
            return native.create_in_group(group, name, shape, dtype, data, **kwds)
        key = remembered.key_of(asked.dtype, asked.shape, kwds)
        made = remembered.dataset(key)
        if made is not None and (spot := _dataset_spot(group, name)) is not None:
            return h5py.Dataset(_created(spot, asked, made))
        with remembered.noting(key):
            return native.create_in_group(group, name, shape, dtype, data, **kwds)


def _asked(shape: Any, dtype: Any, data: Any) -> Asked | None:
    """What is asked for; None if that is more than plain values."""
    if dtype is not None and ((dtype := plain_dtype(dtype)) is None or dtype.type is np.float16):
        return None
    if type(shape) is int:
        shape = (shape,)
    if data is None:
        simple = type(shape) is tuple and all(type(n) is int for n in shape)
        return Asked(dtype, kept(dtype), shape, None) if simple and dtype is not None else None
    # h5py leaves it to HDF5 to convert an array, and makes an array of anything else.
    value = plain(data, LARGEST_ITEM, None if type(data) is np.ndarray else dtype)
    if value is None or (shape is not None and shape != value.array.shape):
        return None
    if dtype is None:
        return Asked(value.array.dtype, value.kept, value.array.shape, value)
    if (dtype.kind == "b") != (value.array.dtype.kind == "b"):
        return None
    return Asked(dtype, kept(dtype), value.array.shape, value)


def _dataset_spot(group: Any, name: str) -> Spot | None:
    if "/" in name.lstrip("/"):
        above, name = name.rsplit("/", 1)
        group = group.require_group(above.encode() or b"/")  # as h5py, which marks the names
    return _spot(group, name)


def _spot(group: Any, name: str) -> Spot | None:
    """Where something of a simple name goes; None if that is not to be done here."""
    if name in ("", ".") or "/" in name or "\0" in name:
        return None
    owner = group._id
    if not isinstance(owner, Journaled):
        return None  # of another file, behind an external link
    leaf = name.encode()
    door: Door = owner.door
    parent = path_of(owner, door)
    if parent is None or has_link(owner, leaf):
        return None
    return Spot(owner, leaf, f"/{name}" if parent == "/" else f"{parent}/{name}", door)


def _created(spot: Spot, asked: Asked, made: remembered.Made) -> Any:
    """Record a dataset, with its values if there are any; its identifier."""
    group, leaf, path, door = spot
    stored, value = asked.kept, asked.value
    # h5py gives `h5d.create` no properties of the link.
    charset = None if path.isascii() else h5t.CSET_ASCII
    create = model.CreateDataset(
        path=path, charset=charset, type=stored.encoded, space=made.encoded, layout=made.layout
    )
    if value is None:
        at = NewDataset(group, leaf, stored.stored, made.space, made.dcpl)
        door.record(create, b"", at)
    else:
        write = model.WriteData(path=path, type=value.kept.encoded, packed=value.packed)
        both = model.Many(path=path, operations=(create, write), sizes=(0, len(value.payload)))
        at = NewDataset(group, leaf, stored.stored, made.space, made.dcpl, value.array, value.kept.memory)
        door.record(both, value.payload, at)
    found = adopt(native.open_dataset(group, leaf) if at.made is None else at.made, door, group.number)
    found.known, found.elsewhere = (door.recorder.epoch, path), False
    return found


def create_group(group: Any, name: Any, *args: Any, **kwds: Any) -> Any:
    """`h5py.Group.create_group` for a group of a journaled file."""
    with native.phil:
        if type(name) is not str or args:
            return native.group_in_group(group, name, *args, **kwds)
        key = remembered.key_of_group(kwds)
        made = remembered.group(key)
        if made is not None and (spot := _spot(group, name)) is not None:
            return h5py.Group(_created_group(spot, made))
        with remembered.noting(key):
            return native.group_in_group(group, name, **kwds)


def _created_group(spot: Spot, made: model.CreateGroup) -> Any:
    group, leaf, path, door = spot
    at = NewObject(group, leaf)
    charset = h5t.CSET_ASCII if leaf.isascii() and not path.isascii() else None
    door.record(msgspec.structs.replace(made, path=path, charset=charset), b"", at)
    found = adopt(native.open_group(group, leaf) if at.made is None else at.made, door, group.number)
    found.known = door.recorder.epoch, path
    return found
