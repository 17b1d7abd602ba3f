"""Writes to datasets: hyperslabs, appends, whole chunks, new extents."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5d, h5s, h5t

from safeh5._typing import Buffer
from safeh5.applier import scattered
from safeh5.applier.context import Context
from safeh5.errors import ApplyError
from safeh5.operations import model
from safeh5.operations.values import decode_space, decode_type, unpack


def write(context: Context, op: model.WriteData, payload: Buffer) -> None:
    """Write the payload to the selection."""
    dataset = context.dataset(op.path)
    if not op.packed and _is_all(op.selection, dataset.shape):
        values = raw_values(payload, op.type, math.prod(dataset.shape))
        dataset.write(h5s.ALL, h5s.ALL, values, decode_type(op.type))
        return
    file_space = _select(dataset, op.selection)
    _store(context, dataset, file_space, op.type, op.packed, payload)


def _is_all(selection: model.Selection | None, shape: tuple[int, ...] | None) -> bool:
    """Whether a box is all of a dataset: HDF5 then needs no spaces."""
    return isinstance(selection, model.Box) and selection.count == shape and 0 not in selection.count


def append(context: Context, op: model.AppendData, payload: Buffer) -> None:
    """Grow axis 0 and write there; growing is skipped when it was done before."""
    dataset = context.dataset(op.path)
    shape = dataset.shape
    stop = op.start + op.count
    if shape[0] < stop:
        dataset.set_extent((stop, *shape[1:]))
    rest = shape[1:]
    chunks = None if op.packed else context.chunks(op.path, dataset, op.type)
    whole = range(0) if chunks is None else chunks.within(op.start, stop, rest)
    if chunks is None or not whole:
        _store_items(context, dataset, op, op.start, stop, rest, payload)
        return
    view = raw_values(payload, op.type, op.count * math.prod(rest)).data
    size = len(view) // op.count

    def items(begin: int, end: int) -> memoryview:
        return view[(begin - op.start) * size : (end - op.start) * size]

    ends = whole[-1] + whole.step
    if op.start < whole[0]:
        _store_items(context, dataset, op, op.start, whole[0], rest, items(op.start, whole[0]))
    for first in whole:
        chunks.write(first, items(first, first + whole.step))
    if ends < stop:
        _store_items(context, dataset, op, ends, stop, rest, items(ends, stop))


def _store_items(
    context: Context,
    dataset: h5d.DatasetID,
    op: model.AppendData,
    start: int,
    stop: int,
    rest: tuple[int, ...],
    payload: Buffer,
) -> None:
    """Items of an append through HDF5's own ways."""
    box = model.Box((start,) + (0,) * len(rest), (stop - start, *rest))
    _store(context, dataset, _select(dataset, box), op.type, op.packed, payload)


def write_chunk(context: Context, op: model.WriteChunk, payload: Buffer) -> None:
    """Store a chunk as it is, already filtered."""
    context.dataset(op.path).write_direct_chunk(op.offset, payload, op.filter_mask)


def resize(context: Context, op: model.Resize, payload: Buffer) -> None:
    """Set the extent."""
    context.dataset(op.path).set_extent(op.shape)


def _select(dataset: h5d.DatasetID, selection: model.Selection | None) -> h5s.SpaceID:
    if isinstance(selection, model.Space):
        return decode_space(selection.encoded)
    space = dataset.get_space()
    if selection is not None and selection.count:
        space.select_hyperslab(selection.start, selection.count)
    return space


def _store(
    context: Context,
    dataset: h5d.DatasetID,
    space: h5s.SpaceID,
    encoded: bytes,
    packed: bool,
    payload: Buffer,
) -> None:
    count = space.get_select_npoints()
    if count == 0:
        return
    if packed:
        values = unpack(bytes(payload), encoded, (count,), context.reference)
        kind = memory_type(encoded)
    else:
        values = raw_values(payload, encoded, count)
        kind = decode_type(encoded)
        # To HDF5 it is bytes, whatever they mean.
        elements = values.view(np.dtype((np.void, kind.get_size())))
        if scattered.write(dataset, h5s.create_simple((count,)), space, elements, kind):
            return
    dataset.write(_memory_space(space, count), space, values, kind)


@lru_cache(maxsize=256)
def memory_type(encoded: bytes) -> h5t.TypeID:
    """The type that NumPy's objects have for HDF5 in place of values of an encoded type; shared."""
    return h5t.py_create(decode_type(encoded).dtype)


def raw_values(payload: Buffer, encoded: bytes, count: int) -> npt.NDArray[Any]:
    """The payload's bytes as an array, once their number is what HDF5 will read."""
    expected = count * decode_type(encoded).get_size()
    view = memoryview(payload)
    values = np.frombuffer(view.cast("B") if view.nbytes else b"", np.uint8)
    if values.nbytes != expected:
        # HDF5 reads as many bytes as type and selection say, whatever the
        # buffer holds: this check is what stands between it and a segfault.
        raise ApplyError(f"the payload has {values.nbytes} bytes where {expected} are needed")
    return values


def _memory_space(space: h5s.SpaceID, count: int) -> h5s.SpaceID:
    """A dataspace for `count` elements in a row, of the selection's shape where it is a box.

    Equal shapes let HDF5 move whole rows; with a flat one it would go element
    by element.
    """
    if space.get_simple_extent_type() == h5s.SCALAR:
        return h5s.create(h5s.SCALAR)
    kind = space.get_select_type()
    if kind == h5s.SEL_ALL:
        return h5s.create_simple(space.shape)
    if kind == h5s.SEL_HYPERSLABS and space.is_regular_hyperslab():
        _, _, counts, blocks = space.get_regular_hyperslab()
        return h5s.create_simple(tuple(c * b for c, b in zip(counts, blocks, strict=True)))
    return h5s.create_simple((count,))
