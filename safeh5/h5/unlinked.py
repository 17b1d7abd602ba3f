"""Objects that get their first name after they were made: recorded whole under it.

HDF5 can make an object without a name and link it later. Until then it is not
a part of the file, and nothing of it is journaled. When it is linked, a new
object with the same content is recorded at that path, and the identifier that
stood for the nameless one is closed: it would go on to show an object that is
not the one in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from h5py import h5d, h5g, h5s

from safeh5.h5 import attributes, native
from safeh5.h5.door import Door
from safeh5.h5.lowering import shared_type
from safeh5.h5.memory import Memory, read_memory
from safeh5.h5.objects import group_of
from safeh5.operations import model
from safeh5.operations.properties import read_layout

_BLOCK_BYTES = 8 * 1024 * 1024


def record(obj: Any, path: str, door: Door, charset: int | None = None) -> None:
    """Record the nameless `obj` at `path`, and close its identifier; `charset` is that of its name."""
    if isinstance(obj, h5d.DatasetID):
        _dataset(obj, path, door, charset)
    elif isinstance(obj, h5g.GroupID) and len(obj) == 0:
        door.record(group_of(path, obj.get_create_plist(), charset))
    else:
        hint = "Link it under the new name before it is unlinked under the old one"
        door.refuse("a new name for an unlinked object that holds others", path, hint)
    _attributes(obj, path, door)
    obj._close()


def _dataset(dataset: Any, path: str, door: Door, charset: int | None) -> None:
    tid, space = dataset.get_type(), dataset.get_space()
    encoded, committed = shared_type(tid, door)
    layout = read_layout(dataset.get_create_plist(), tid)
    operation = model.CreateDataset(
        path=path,
        charset=charset,
        type=encoded,
        space=space.encode(),
        layout=layout,
        committed_type=committed,
    )
    door.record(operation)
    if layout.virtual or layout.external or space.get_simple_extent_type() == h5s.NULL:
        return
    if dataset.get_space_status() == h5d.SPACE_STATUS_NOT_ALLOCATED:
        return
    _values(dataset, path, door)


def _values(dataset: Any, path: str, door: Door) -> None:
    for box, memory in blocks(dataset, path, door):
        encoded, payload = memory.payload(memory.elements, door)
        door.record(write_of(path, encoded, box, memory), payload)


def write_of(path: str, encoded: bytes, box: model.Box, memory: Memory) -> model.WriteData:
    """The operation that writes a block of the values of a dataset."""
    return model.WriteData(
        path=path, type=encoded, selection=box if box.count else None, packed=memory.packed
    )


def blocks(dataset: Any, path: str, door: Door) -> Iterator[tuple[model.Box, Memory]]:
    """The values of a dataset, some MiB at a time."""
    shape, tid, dtype = dataset.shape, dataset.get_type(), dataset.dtype
    for box in _boxes(shape, tid.get_size()):
        mspace, fspace = h5s.create_simple(box.count or (1,)), dataset.get_space()
        if box.count:
            fspace.select_hyperslab(box.start, box.count)
        base, inner = dtype.subdtype or (dtype, ())
        values = np.zeros((box.count or (1,)) + inner, dtype=base)
        dataset.read(mspace, fspace, values, mtype=attributes.memory_type_of(dtype))
        memory = read_memory(values, attributes.memory_type_of(dtype), tid)
        if memory is None:
            door.refuse(f"a dataset of type {dtype} without a name", path)
        yield box, memory


def _boxes(shape: tuple[int, ...], item_bytes: int) -> Iterator[model.Box]:
    """Boxes of about `_BLOCK_BYTES` along axis 0 that cover `shape`."""
    if 0 in shape:
        return
    if not shape:
        yield model.Box((), ())
        return
    rest = int(np.prod(shape[1:], dtype=np.int64)) * item_bytes
    rows = max(1, _BLOCK_BYTES // max(1, rest))
    for first in range(0, shape[0], rows):
        yield model.Box((first,) + (0,) * (len(shape) - 1), (min(rows, shape[0] - first), *shape[1:]))


def _attributes(obj: Any, path: str, door: Door) -> None:
    made = native.open_object(obj, path.encode())
    for name in attributes.names_of(obj):
        attribute = native.open_attribute(obj, name)
        pending = attributes.PendingAttribute(name, attribute.get_type(), attribute.get_space())
        if attribute.shape is not None:
            dtype = attribute.dtype
            base, inner = dtype.subdtype or (dtype, ())
            values = np.zeros(attribute.shape + inner, dtype=base)
            attribute.read(values, mtype=attributes.memory_type_of(dtype))
            pending.write(values, attributes.memory_type_of(dtype))
        attributes.set_attribute(made, path, pending, door)
