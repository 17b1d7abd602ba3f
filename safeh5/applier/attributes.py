"""Attributes: create or replace, write, delete, rename."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5a, h5s, h5t

from safeh5._typing import Buffer
from safeh5.applier.context import Context
from safeh5.applier.data import memory_type, raw_values
from safeh5.operations import model
from safeh5.operations.values import decode_space, decode_type, unpack


def set_attribute(context: Context, op: model.SetAttribute, payload: Buffer) -> None:
    """Create an attribute with its value, in the place of one of that name."""
    owner, name = context.open(op.path), op.name.encode()
    space = decode_space(op.space)
    stored_type = (
        decode_type(op.type)
        if op.committed_type is None
        else h5t.open(context.root, op.committed_type.encode())
    )
    if h5a.exists(owner, name):
        h5a.delete(owner, name)
    attribute = h5a.create(owner, name, stored_type, space)
    if space.get_simple_extent_type() != h5s.NULL:
        _write(context, attribute, op.type, op.packed, payload)


def write_attribute(context: Context, op: model.WriteAttribute, payload: Buffer) -> None:
    """Give an existing attribute a new value."""
    attribute = h5a.open(context.open(op.path), op.name.encode())
    _write(context, attribute, op.type, op.packed, payload)


def delete_attribute(context: Context, op: model.DeleteAttribute, payload: Buffer) -> None:
    """Remove an attribute."""
    h5a.delete(context.open(op.path), op.name.encode())


def rename_attribute(context: Context, op: model.RenameAttribute, payload: Buffer) -> None:
    """Rename an attribute."""
    h5a.rename(context.open(op.path), op.name.encode(), op.new_name.encode())


def _write(context: Context, attribute: h5a.AttrID, encoded: bytes, packed: bool, payload: Buffer) -> None:
    shape = attribute.shape
    if packed:
        values = unpack(bytes(payload), encoded, shape, context.reference)
        attribute.write(values, memory_type(encoded))
    elif 0 not in shape:
        attribute.write(_shaped(payload, encoded, shape), decode_type(encoded))


def _shaped(payload: Buffer, encoded: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The payload as an array of `shape`: h5py compares it with the attribute's."""
    count = math.prod(shape)
    raw = raw_values(payload, encoded, count)
    return raw.view(_void(raw.nbytes // count)).reshape(shape)


@lru_cache(maxsize=64)
def _void(size: int) -> np.dtype[Any]:
    return np.dtype((np.void, size))
