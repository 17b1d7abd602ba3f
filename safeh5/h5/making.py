"""``create_dataset`` with small plain values: the dataset and what it holds are one record.

h5py makes the dataset and then writes to it. Here both are one operation, applied in
one go, with what h5py made of the same arguments before: see `remembered`.
Everything else (other values, large ones, what HDF5 would refuse) goes h5py's own way.
"""

from __future__ import annotations

from typing import Any

import h5py

from safeh5.applier.direct import NewDataset
from safeh5.h5 import native, remembered
from safeh5.h5.ids import adopt
from safeh5.h5.paths import has_link, path_of
from safeh5.h5.plain import Plain, plain
from safeh5.operations import model
from safeh5.session.rows import LARGEST_ITEM


def create_dataset(
    group: Any, name: Any, shape: Any = None, dtype: Any = None, data: Any = None, **kwds: Any
) -> Any:
    """`h5py.Group.create_dataset` for a group of a journaled file."""
    with native.phil:
        plainly = type(name) is str and shape is None and dtype is None
        value = plain(data, LARGEST_ITEM) if plainly else None
        if value is None:
            return native.create_in_group(group, name, shape, dtype, data, **kwds)
        key = remembered.key_of(value.array, kwds)
        made = remembered.recall(key)
        if made is not None and (found := _created(group, name, value, made)) is not None:
            return found
        with remembered.noting(key):
            return native.create_in_group(group, name, data=data, **kwds)


def _created(group: Any, name: str, value: Plain, made: remembered.Made) -> h5py.Dataset | None:
    """Make a dataset with its values; None if that is not to be done here."""
    if "/" in name.lstrip("/"):
        above, name = name.rsplit("/", 1)
        group = group.require_group(above or "/")
    if name in ("", ".") or "/" in name or "\0" in name:
        return None
    owner, leaf = group._id, name.encode()
    door = owner.door
    parent = path_of(owner, door)
    if parent is None or has_link(owner, leaf):
        return None
    path = f"/{name}" if parent == "/" else f"{parent}/{name}"
    kept = value.kept
    create = model.CreateDataset(path=path, type=kept.encoded, space=made.encoded, layout=made.layout)
    write = model.WriteData(path=path, type=kept.encoded, packed=value.packed)
    operation = model.Many(path=path, operations=(create, write), sizes=(0, len(value.payload)))
    at = NewDataset(owner, leaf, kept.stored, made.space, made.dcpl, value.array, kept.memory)
    door.record(operation, value.payload, at)
    found = adopt(native.open_dataset(owner, leaf) if at.made is None else at.made, door, owner.number)
    found.known, found.elsewhere = (door.recorder.epoch, path), False
    return h5py.Dataset(found)
