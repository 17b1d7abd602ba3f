"""Selections in many pieces of a dataset that lies in one piece: the rows around them at once.

HDF5 transfers each run of neighbouring elements by a call of its own, and the file is a Python object:
a column of a thousand rows is a thousand calls. Where that costs more, the rows that hold the whole
selection are read in one go, and written back in one with the new values in them.

Invariants
----------
1. What is between the values keeps every bit: it is read and written as it is stored.
2. Of a selection that cannot be expressed as an index nothing is done here; HDF5 is asked.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any, Final, NamedTuple

import numpy as np
from h5py import h5d, h5s, h5t

from safeh5.operations.values import is_plain

Index = tuple[Any, ...]

FEW: Final = 16
"""So many runs are left to HDF5."""
_PER_RUN: Final = 16 * 1024
_MOST: Final = 64 * 1024 * 1024
"""Bytes that are transferred in the time of one run; and bytes that are held at once at most."""
_BLOCKS: Final = 1024
_NUMBERS: Final = {h5t.INTEGER, h5t.FLOAT}

_read, _write = h5d.DatasetID.read, h5d.DatasetID.write


class Rows(NamedTuple):
    """Whole rows of a dataset, and what is selected of them.

    Attributes
    ----------
    space : SpaceID
        The rows, in the file.
    shape : tuple of int
        Theirs.
    chosen : tuple
        The selection, as NumPy's index of them.
    """

    space: h5s.SpaceID
    shape: tuple[int, ...]
    chosen: Index


def is_contiguous(dataset: Any) -> bool:
    """Whether a dataset lies in one piece in its own file; asked for once, where that can be kept."""
    try:
        known: bool = dataset.contiguous
    except AttributeError:
        plist = h5d.DatasetID.get_create_plist(dataset)
        known = plist.get_layout() == h5d.CONTIGUOUS and not plist.get_external_count()
        with contextlib.suppress(AttributeError):  # of a plain identifier
            dataset.contiguous = known
    return known


def is_one_run(args: Index) -> bool:
    """Whether it is seen at once that elements follow each other: numbers, then at most one plain slice."""
    for arg in args[:-1]:
        if type(arg) is not int:
            return False
    last = args[-1] if args else ...
    return type(last) is int or last is Ellipsis or (type(last) is slice and last.step is None)


def are_scattered(args: Index, shape: tuple[int, ...]) -> bool:
    """Whether what an index selects may be in many pieces; it need not be one that is allowed."""
    if Ellipsis in [arg for arg in args if not isinstance(arg, np.ndarray)]:
        at = next(i for i, arg in enumerate(args) if arg is Ellipsis)
        args = (*args[:at], *(slice(None),) * (len(shape) - len(args) + 1), *args[at + 1 :])
    total, run, whole = 1, 1, True
    for i in reversed(range(len(shape))):
        count, together = _counted(args[i], shape[i]) if i < len(args) else (shape[i], True)
        total *= count
        run *= count if whole and together else 1
        whole = whole and together and count == shape[i]
    return total >= FEW * max(run, 1)


def _counted(arg: Any, length: int) -> tuple[int, bool]:
    """How many positions of an axis are selected, and whether they follow each other."""
    if isinstance(arg, slice):
        try:
            chosen = range(*arg.indices(length))
        except (TypeError, ValueError):
            return 1, True
        return len(chosen), chosen.step == 1
    if isinstance(arg, (list, np.ndarray)):
        return len(arg) if np.ndim(arg) == 1 else 1, False
    return 1, True


def rows_around(space: Any, shape: tuple[int, ...], itemsize: int) -> Rows | None:
    """The rows around a selection; None where HDF5 is as fast or has to be asked."""
    kind = space.get_select_type() if space.id != h5s.ALL.id else h5s.SEL_ALL
    if kind not in (h5s.SEL_POINTS, h5s.SEL_HYPERSLABS) or space.get_select_npoints() < FEW:
        return None
    first, last = space.get_select_bounds()
    if len(first) != len(shape) or any(a >= n for a, n in zip(last, shape, strict=True)):
        return None
    axis = next((i for i, (a, b) in enumerate(zip(first, last, strict=True)) if a != b), 0)
    start = (*first[: axis + 1], *(0 for _ in shape[axis + 1 :]))
    counts = (*(1 for _ in range(axis)), last[axis] - first[axis] + 1, *shape[axis + 1 :])
    size = math.prod(counts) * itemsize
    if kind == h5s.SEL_POINTS:
        found: tuple[int, Index] | None = _of_points(space, start)
    elif space.is_regular_hyperslab():
        found = _of_slab(space, start, shape)
    else:
        found = _of_blocks(space, start, counts) if size <= _MOST else None
    if found is None or found[0] < FEW or size > min(found[0] * _PER_RUN, _MOST):
        return None
    rows = h5s.create_simple(shape)
    rows.select_hyperslab(start, counts)
    return Rows(rows, counts, found[1])


def _of_points(space: Any, start: tuple[int, ...]) -> tuple[int, Index]:
    points = space.get_select_elem_pointlist().astype(np.int64)
    # An offset of the selection is in its bounds, and not in its list.
    points += (
        np.array(space.get_select_bounds()[0], np.int64) - points.min(axis=0) - np.array(start, np.int64)
    )
    return len(points), tuple(points.T)


def _of_slab(space: Any, start: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, Index] | None:
    _, strides, counts, blocks = space.get_regular_hyperslab()
    first = space.get_select_bounds()[0]
    index: list[slice] = []
    for a, origin, stride, count, block in zip(first, start, strides, counts, blocks, strict=True):
        begin = a - origin
        if count == 1 or stride == block:
            index.append(slice(begin, begin + count * block))
        elif block == 1:
            index.append(slice(begin, begin + stride * (count - 1) + 1, stride))
        else:
            return None
    run = 1
    for part, length in zip(reversed(index), reversed(shape), strict=True):
        if part.step is None:
            run *= part.stop - part.start
        if part.step is not None or part.stop - part.start != length:
            break
    return int(space.get_select_npoints()) // run, tuple(index)


def _of_blocks(space: Any, start: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, Index] | None:
    if space.get_select_hyper_nblocks() > _BLOCKS:
        return None
    blocks = space.get_select_hyper_blocklist().astype(np.int64)
    blocks += np.array(space.get_select_bounds()[0], np.int64) - blocks[:, 0].min(axis=0) - np.array(start)
    chosen = np.zeros(shape, bool)
    for first, last in blocks.tolist():
        chosen[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))] = True
    # HDF5 goes through them in the order of the elements, as NumPy does.
    longest = int((blocks[:, 1, -1] - blocks[:, 0, -1]).max()) + 1
    return int(space.get_select_npoints()) // longest, (chosen,)


def _is_all(space: Any, count: int) -> bool:
    """Whether memory is given as so many elements in a row."""
    if space.id == h5s.ALL.id:
        return False
    return bool(space.get_select_type() == h5s.SEL_ALL and space.get_select_npoints() == count)


def read(dataset: Any, mspace: Any, fspace: Any, array: Any, memory: h5t.TypeID | None) -> bool:
    """Read what `fspace` selects of a contiguous dataset into `array`; whether that was done."""
    if array.size < FEW or array.dtype.hasobject or array.dtype.kind == "T" or not array.flags.c_contiguous:
        return False
    if not is_contiguous(dataset) or not _is_all(mspace, array.size):
        return False
    rows = rows_around(fspace, dataset.shape, array.dtype.itemsize)
    if rows is None:
        return False
    found = np.empty(rows.shape, array.dtype)
    _read(dataset, h5s.create_simple(rows.shape), rows.space, found, memory)
    array.reshape(-1)[...] = found[rows.chosen].reshape(-1)
    return True


def write(dataset: Any, mspace: Any, fspace: Any, values: Any, memory: h5t.TypeID | None) -> bool:
    """Write `values` to what `fspace` selects of a contiguous dataset; whether that was done."""
    count = values.size
    if count < FEW or values.dtype.hasobject or values.dtype.kind == "T" or not values.flags.c_contiguous:
        return False
    if (
        not is_contiguous(dataset)
        or not _is_all(mspace, count)
        or fspace.id == h5s.ALL.id
        or fspace.get_select_npoints() != count
    ):
        return False
    stored = h5d.DatasetID.get_type(dataset)
    rows = rows_around(fspace, dataset.shape, stored.get_size())
    elements = None if rows is None else _as_stored(values, memory, stored)
    if rows is None or elements is None:
        return False
    space, around = h5s.create_simple(rows.shape), np.empty(rows.shape, elements.dtype)
    _read(dataset, space, rows.space, around, stored)
    around[rows.chosen] = elements.reshape(around[rows.chosen].shape)
    _write(dataset, space, rows.space, around, stored)
    return True


def _as_stored(values: Any, memory: h5t.TypeID | None, stored: h5t.TypeID) -> Any:
    """Bytes of values as they are stored, one void for each; None where HDF5 is to convert them."""
    given, size = memory or h5t.py_create(values.dtype), stored.get_size()
    if values.dtype.itemsize != given.get_size() or not is_plain(stored.encode()):
        return None
    if given == stored:
        return values.reshape(-1).view(np.dtype((np.void, size)))
    if not {given.get_class(), stored.get_class()} <= _NUMBERS:
        return None
    # In place, as HDF5 does it on its way to the file.
    room = np.zeros(values.size * max(size, values.dtype.itemsize), np.uint8)
    room[: values.nbytes] = values.reshape(-1).view(np.uint8)
    h5t.convert(given, stored, values.size, room)
    return room[: values.size * size].view(np.dtype((np.void, size)))
