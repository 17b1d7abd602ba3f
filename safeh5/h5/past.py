"""Values read past HDF5: numbers that lie in the file as they are in memory.

To read one number h5py makes a reader, by a dozen calls of HDF5, which then calls a Python file object; to
read a large chunk HDF5 has it read into its cache and copies it. Where the file holds the numbers just so
(the type is the machine's, no filters, a stretch of the file) one system call brings them.

Invariants
----------
1. Only while the file object has everything (`StagingFile.settled`): after a checkpoint, before the next
   change. Until then HDF5 may have something newer in its caches.
2. Only what HDF5 would give for the same arguments, bit for bit. For everything else, errors among it,
   None is returned here, and HDF5 is asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from h5py import h5d, h5t

from safeh5.h5 import extents, native
from safeh5.storage.staging import StagingFile

_LARGE: Final = 64 * 1024
"""Bytes of a chunk; smaller ones are left to HDF5's cache."""


class Box(NamedTuple):
    """A selection of integers and slices without steps.

    Attributes
    ----------
    start, counts : list of int
        For each axis.
    left : list of int
        The shape of what comes out: axes of an integer are gone.
    """

    start: list[int]
    counts: list[int]
    left: list[int]


class Stretch(NamedTuple):
    """A dataset that is one stretch of the file.

    Attributes
    ----------
    below : StagingFile
        The file.
    offset : int
        Where it begins there.
    shape : tuple of int
        Its extent.
    dtype : dtype
        Its numbers.
    """

    below: StagingFile
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Chunks(NamedTuple):
    """How a dataset is stored in chunks without filters: the shape of one, its bytes, its numbers."""

    chunk: tuple[int, ...]
    size: int
    dtype: np.dtype[Any]


def settled(dataset: Any) -> StagingFile | None:
    """The file of a dataset, if it has everything."""
    below: StagingFile | None = dataset.door.below
    return below if below is not None and below.settled and native.is_valid(dataset) else None


def stretch_of(dataset: Any) -> Stretch | None:
    """A dataset that lies in one stretch of a file that has everything; None for any other."""
    below = settled(dataset)
    # None of a dataset in chunks, of one without a byte yet, in other files, or in its own header.
    offset = None if below is None else dataset.get_offset()
    if below is None or offset is None:
        return None
    dtype, shape = _dtype_of(dataset), extents.shape(dataset)
    return None if dtype is None or not shape else Stretch(below, offset, shape, dtype)


def read_stretch(stretch: Stretch, args: tuple[Any, ...]) -> Any:
    """What `args` select of it; None if HDF5 is to be asked."""
    below, offset, shape, dtype = stretch
    box = _box(args, shape)
    run = None if box is None else _run(box, shape)
    if box is None or run is None or not below.settled:
        return None
    return _numbers(below, offset + run * dtype.itemsize, box.left, dtype)


def chunks_of(dataset: Any) -> Chunks | None:
    """How a dataset is stored in large chunks of plain numbers; None for any other."""
    dtype, dcpl = _dtype_of(dataset), h5d.DatasetID.get_create_plist(dataset)
    if dtype is None or dcpl.get_layout() != h5d.CHUNKED or dcpl.get_nfilters():
        return None
    chunk = dcpl.get_chunk()
    size = dtype.itemsize * math.prod(chunk)
    return Chunks(chunk, size, dtype) if size >= _LARGE else None


def read_chunk(dataset: Any, stored: Chunks, args: tuple[Any, ...]) -> Any:
    """The chunk that `args` select, whole; None if HDF5 is to be asked."""
    below, shape = settled(dataset), extents.shape(dataset)
    box = _box(args, shape) if below is not None and shape else None
    if below is None or box is None or tuple(box.counts) != stored.chunk:
        return None
    if any(a % n for a, n in zip(box.start, stored.chunk, strict=True)):
        return None
    place = dataset.get_chunk_info_by_coord(tuple(box.start))
    if place.byte_offset is None or place.size != stored.size:
        return None  # never written: fill values
    return _numbers(below, place.byte_offset, box.left, stored.dtype)


def _numbers(below: StagingFile, offset: int, shape: list[int], dtype: np.dtype[Any]) -> Any:
    found = np.empty(shape, dtype)
    try:
        below.read_values(np.frombuffer(found, np.uint8).data, offset)
    except OSError:
        return None  # HDF5 meets the same, and tells it in its way
    return found if shape else found[()]


def _dtype_of(dataset: Any) -> np.dtype[Any] | None:
    try:
        stored = dataset.stored
    except AttributeError:
        stored = dataset.stored = h5d.DatasetID.get_type(dataset)
    return _plain_dtype(stored.encode())


@lru_cache(maxsize=256)
def _plain_dtype(encoded: bytes) -> np.dtype[Any] | None:
    """What h5py reads numbers of a type as, if it is the same bytes."""
    stored = h5t.decode(encoded)
    if not isinstance(stored, (h5t.TypeIntegerID, h5t.TypeFloatID)):
        return None
    dtype = stored.dtype
    same = dtype.isnative and dtype.metadata is None and h5t.py_create(dtype) == stored
    return np.dtype(dtype.type) if same and dtype.kind in "iuf" else None


def _box(args: tuple[Any, ...], shape: tuple[int, ...]) -> Box | None:
    """What `args` select; None for selections of another kind, empty ones, and those that h5py refuses."""
    if len(args) == 1 and args[0] is Ellipsis:
        args = ()
    if len(args) > len(shape):
        return None
    start, count, left = [], [], []
    for given, length in zip(args, shape, strict=False):
        if type(given) is int:
            at = given + length if given < 0 else given
            if not 0 <= at < length:
                return None
            start.append(at)
            count.append(1)
        elif type(given) is slice:
            at, stop, step = given.indices(length)
            if step != 1 or stop <= at:
                return None
            start.append(at)
            count.append(stop - at)
            left.append(stop - at)
        else:
            return None
    rest = shape[len(args) :]
    if 0 in rest:
        return None
    return Box(start + [0] * len(rest), [*count, *rest], [*left, *rest])


def _run(box: Box, shape: Sequence[int]) -> int | None:
    """The first element of a box, all of whose elements follow it in the file; None for other boxes."""
    first, step, partial = 0, 1, False
    for at, count, length in zip(reversed(box.start), reversed(box.counts), reversed(shape), strict=True):
        if partial and count != 1:
            return None
        first += at * step
        partial = partial or count != length
        step *= length
    return first
