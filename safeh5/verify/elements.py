"""Reading the elements of an HDF5 file block by block, with bounded memory.

Values without pointers are read as the bytes that lie in the file (memory type
equal to file type), so that no conversion can hide or change anything. Values
with pointers (variable-length, references) are read as h5py's objects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5a, h5d, h5f, h5p, h5s, h5t

Array = npt.NDArray[Any]

BLOCK_BYTES = 16 * 1024 * 1024
"""Blocks are about this large; HDF5 holds a few chunks of its own beside them."""

POINTER_BYTES = 1024
"""What an element with pointers is taken to weigh, since only reading it tells."""

HDF5_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, IndexError, MemoryError)
"""What h5py turns errors of libhdf5 into."""


@dataclass(frozen=True, slots=True)
class Box:
    """Elements ``start[i] : start[i] + count[i]`` of each axis."""

    start: tuple[int, ...]
    count: tuple[int, ...]

    def __str__(self) -> str:
        return "[" + ", ".join(f"{s}:{s + c}" for s, c in zip(self.start, self.count, strict=True)) + "]"


# --- blocks -----------------------------------------------------------------------


def open_dataset(file: h5f.FileID, path: bytes) -> h5d.DatasetID:
    """The dataset at `path`, with a chunk cache that holds at least one whole chunk.

    A chunk that does not fit the cache would pass its filters again for every
    block that touches it.
    """
    dataset = h5d.open(file, path)
    needed = math.prod(chunks_of(dataset) or (0,)) * dataset.get_type().get_size()
    if needed <= 1024 * 1024:
        return dataset
    access = h5p.create(h5p.DATASET_ACCESS)
    access.set_chunk_cache(521, needed, 1.0)
    return h5d.open(file, path, access)


def chunks_of(dataset: h5d.DatasetID) -> tuple[int, ...] | None:
    """The chunk shape, None for other layouts."""
    plist = dataset.get_create_plist()
    return tuple(plist.get_chunk()) if plist.get_layout() == h5d.CHUNKED else None


def stored_boxes(dataset: h5d.DatasetID, limit: int = BLOCK_BYTES) -> Iterator[Box]:
    """Boxes of at most about `limit` bytes that cover all elements that are stored.

    What was never written is left out: a sparse dataset may be larger than any
    disk, and its fill value is checked with the dataset's header.
    """
    shape = dataset.shape
    if dataset.get_space().get_simple_extent_type() == h5s.NULL or 0 in shape:
        return
    chunks, weight = chunks_of(dataset), element_weight(dataset.get_type())
    if chunks is None:
        if not _never_written(dataset):
            yield from boxes(shape, (1,) * len(shape), weight, limit)
        return
    stored = dataset.get_num_chunks()
    if stored < math.prod(-(-n // c) for n, c in zip(shape, chunks, strict=True)):
        for box in _stored_chunks(dataset, shape, chunks, stored):
            yield from within(box, weight, limit)
        return
    for box in boxes(shape, chunks, weight, max(limit, math.prod(chunks) * weight)):
        yield from within(box, weight, limit)


def _never_written(dataset: h5d.DatasetID) -> bool:
    """Whether a contiguous dataset has no storage yet (elsewhere 0 may mean unknown)."""
    plist = dataset.get_create_plist()
    own = plist.get_layout() == h5d.CONTIGUOUS and plist.get_external_count() == 0
    return bool(own and dataset.get_space_status() == h5d.SPACE_STATUS_NOT_ALLOCATED)


def _stored_chunks(
    dataset: h5d.DatasetID, shape: tuple[int, ...], chunks: tuple[int, ...], stored: int
) -> Iterator[Box]:
    offsets = np.empty((stored, len(shape)), np.uint64)
    row = iter(range(stored))

    def remember(info: Any) -> None:
        offsets[next(row)] = info.chunk_offset

    dataset.chunk_iter(remember)
    for offset in offsets.tolist():
        # A chunk may lie wholly past the extent after the dataset was made smaller.
        if all(o < n for o, n in zip(offset, shape, strict=True)):
            count = tuple(min(c, n - o) for c, n, o in zip(chunks, shape, offset, strict=True))
            yield Box(tuple(offset), count)


def boxes(shape: tuple[int, ...], unit: tuple[int, ...], weight: int, limit: int) -> Iterator[Box]:
    """Boxes in C order that cover `shape`, cut at multiples of `unit` where `limit` allows."""
    step = _step(shape, unit, weight, limit)
    for start in product(*(range(0, n, s) for n, s in zip(shape, step, strict=True))):
        yield Box(start, tuple(min(s, n - o) for s, n, o in zip(step, shape, start, strict=True)))


def within(box: Box, weight: int, limit: int) -> Iterator[Box]:
    """`box` itself, or boxes inside it when it is larger than `limit`."""
    for inner in boxes(box.count, box.count, weight, limit):
        yield Box(tuple(o + i for o, i in zip(box.start, inner.start, strict=True)), inner.count)


def split(box: Box, unit: tuple[int, ...]) -> Iterator[Box]:
    """The parts of `box` between multiples of `unit`."""
    axes = []
    for start, count, u in zip(box.start, box.count, unit, strict=True):
        cuts = [start, *range(start - start % u + u, start + count, u), start + count]
        axes.append(list(pairwise(cuts)))
    for part in product(*axes):
        yield Box(tuple(a for a, _ in part), tuple(b - a for a, b in part))


def _step(shape: tuple[int, ...], unit: tuple[int, ...], weight: int, limit: int) -> tuple[int, ...]:
    step = [min(u, n) for u, n in zip(unit, shape, strict=True)]
    for axis in reversed(range(len(step))):
        room = limit // (math.prod(step) * weight)
        step[axis] = min(shape[axis], step[axis] * max(1, room))
        if step[axis] < shape[axis]:
            break
    for axis in range(len(step)):
        size = math.prod(step) * weight
        if size > limit:
            step[axis] = max(1, step[axis] * limit // size)
    return tuple(step)


# --- values -----------------------------------------------------------------------


def has_pointers(tid: h5t.TypeID) -> bool:
    """Whether values of `tid` point outside themselves: variable length, references."""
    kind = tid.get_class()
    if kind in (h5t.VLEN, h5t.REFERENCE):
        return True
    if kind == h5t.STRING:
        return bool(tid.is_variable_str())
    if kind == h5t.ARRAY:
        return has_pointers(tid.get_super())
    if kind == h5t.COMPOUND:
        return any(has_pointers(tid.get_member_type(i)) for i in range(tid.get_nmembers()))
    return False


def element_weight(tid: h5t.TypeID) -> int:
    """Bytes that one element takes in memory, about."""
    size = int(tid.get_size())
    return max(size, POINTER_BYTES) if has_pointers(tid) else size


def read_box(dataset: h5d.DatasetID, box: Box) -> Array:
    """The elements of `box`: opaque bytes as stored, or objects for types with pointers.

    Returns
    -------
    ndarray of shape ``box.count`` (plus the axes of an array type with pointers)
    """
    tid, space = dataset.get_type(), dataset.get_space()
    memory = h5s.create_simple(box.count) if box.count else h5s.create(h5s.SCALAR)
    if box.count:
        space.select_hyperslab(box.start, box.count)
    if not has_pointers(tid):
        raw = np.empty(box.count, dtype=f"V{tid.get_size()}")
        dataset.read(memory, space, raw, mtype=tid)
        return raw
    mtype, out = _objects(dataset.dtype, box.count)
    dataset.read(memory, space, out, mtype=mtype)
    return out


def read_attribute(attribute: h5a.AttrID) -> Array | None:
    """The value of an attribute, as `read_box` gives values; None for a null space."""
    tid, space = attribute.get_type(), attribute.get_space()
    if space.get_simple_extent_type() == h5s.NULL:
        return None
    if not has_pointers(tid):
        raw = np.empty(attribute.shape, dtype=f"V{tid.get_size()}")
        if raw.size:
            attribute.read(raw, mtype=tid)
        return raw
    mtype, out = _objects(attribute.dtype, attribute.shape)
    if out.size:
        attribute.read(out, mtype=mtype)
    return out


def _objects(dtype: np.dtype[Any], shape: tuple[int, ...]) -> tuple[h5t.TypeID, Array]:
    """The memory type and an array for it; NumPy has no arrays of array type."""
    mtype = h5t.py_create(dtype)
    if dtype.subdtype is not None:
        dtype, inner = dtype.subdtype
        shape = shape + inner
    return mtype, np.zeros(shape, dtype)


def references(values: Array, tid: h5t.TypeID) -> Iterator[Any]:
    """Every reference that is not null among `values`, which `read_box` gave for `tid`."""
    kind = tid.get_class()
    if kind == h5t.REFERENCE:
        yield from (value for value in values.flat if value)
    elif kind == h5t.ARRAY:
        yield from references(values, tid.get_super())
    elif kind == h5t.VLEN and has_pointers(tid.get_super()):
        for row in values.flat:
            if isinstance(row, np.ndarray):
                yield from references(row, tid.get_super())
    elif kind == h5t.COMPOUND:
        names = values.dtype.names or ()
        for i in range(tid.get_nmembers()):
            member = tid.get_member_type(i)
            if has_pointers(member):
                yield from references(values[names[i]], member)
