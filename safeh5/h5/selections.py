"""Dataspace selections: which elements of memory, into which of the dataset.

HDF5 pairs the selected elements of memory with those of the file in the order
in which it walks them: row by row for hyperslabs, as listed for points. The
journal holds the memory's elements in that order, without gaps.

A selection may be shifted by an offset, which h5py uses for broadcasting. HDF5
does not encode it and h5py cannot ask for it; it is the difference between the
bounds, which heed it, and the selection's description, which does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5s

from safeh5.operations.model import Box, Selection, Space

Index = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slab:
    """A regular hyperslab, its offset added."""

    start: Index
    stride: Index
    count: Index
    block: Index

    @property
    def is_box(self) -> bool:
        """Whether the blocks of each axis touch."""
        return all(c == 1 or s == b for s, c, b in zip(self.stride, self.count, self.block, strict=True))

    @property
    def shape(self) -> Index:
        """Number of elements along each axis."""
        return tuple(c * b for c, b in zip(self.count, self.block, strict=True))

    def slices(self) -> tuple[slice, ...] | None:
        """The slab as NumPy slices, None if it has blocks and gaps on one axis."""
        if self.is_box:
            return tuple(slice(a, a + n) for a, n in zip(self.start, self.shape, strict=True))
        if any(b != 1 for b in self.block):
            return None
        return tuple(
            slice(a, a + s * (c - 1) + 1, s)
            for a, s, c in zip(self.start, self.stride, self.count, strict=True)
        )

    def axes(self) -> list[npt.NDArray[np.int64]]:
        """The selected positions of each axis."""
        return [
            (a + s * np.arange(c)[:, None] + np.arange(b)).reshape(-1)
            for a, s, c, b in zip(self.start, self.stride, self.count, self.block, strict=True)
        ]


def slab_of(space: h5s.SpaceID) -> Slab | None:
    """The hyperslab of `space`, None if it is not a regular one."""
    if not space.is_regular_hyperslab():
        return None
    _, stride, count, block = space.get_regular_hyperslab()
    first, _ = space.get_select_bounds()
    return Slab(tuple(first), stride, count, block)


def is_everything(space: h5s.SpaceID) -> bool:
    """Whether `space` is the constant ``h5s.ALL``, which has no extent of its own."""
    return bool(space.id == h5s.ALL.id)


# --- in the file ----------------------------------------------------------------


def file_selection(space: h5s.SpaceID, shape: Index | None) -> tuple[Selection | None, int]:
    """The selection of a write to a dataset of shape `shape`, and its number of elements.

    None stands for the whole dataset.
    """
    count = space.get_select_npoints()
    if not shape or count == 0:
        return None, count
    kind = space.get_select_type()
    if kind == h5s.SEL_ALL:
        extent = space.shape
        return (None if extent == shape else Box((0,) * len(extent), extent)), count
    if kind == h5s.SEL_HYPERSLABS:
        slab = slab_of(space)
        if slab is not None and slab.is_box:
            return Box(slab.start, slab.shape), count
    return Space(_settled(space).encode()), count


def box_within(space: h5s.SpaceID, shape: Index) -> Box | None:
    """A selection that is one box inside an extent; None for any other, and for none."""
    if space.get_select_type() != h5s.SEL_HYPERSLABS:
        return None
    slab = slab_of(space)
    if slab is None or not slab.is_box or len(slab.start) != len(shape):
        return None
    count = slab.shape
    inside = all(a + n <= most for a, n, most in zip(slab.start, count, shape, strict=True))
    return Box(slab.start, count) if inside else None


def _settled(space: h5s.SpaceID) -> h5s.SpaceID:
    """`space` with its offset made part of the selection."""
    if space.get_select_type() == h5s.SEL_POINTS:
        points = space.get_select_elem_pointlist().astype(np.int64)
        shift = _shift(space, points.min(axis=0))
        if any(shift):
            space = space.copy()
            space.offset_simple(None)
            space.select_elements(points + shift)
        return space
    slab = slab_of(space)
    if slab is not None:
        space = space.copy()
        space.offset_simple(None)
        space.select_hyperslab(slab.start, slab.count, slab.stride, slab.block)
        return space
    blocks = space.get_select_hyper_blocklist().astype(np.int64)
    shift = _shift(space, blocks[:, 0].min(axis=0))
    if not any(shift):
        return space
    space = space.copy()
    space.offset_simple(None)
    space.select_none()
    for first, last in blocks + shift:
        size = tuple(int(n) for n in last - first + 1)
        space.select_hyperslab(tuple(int(n) for n in first), (1,) * len(size), None, size, h5s.SELECT_OR)
    return space


def _shift(space: h5s.SpaceID, first: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    bounds, _ = space.get_select_bounds()
    return np.array([int(b) - int(f) for b, f in zip(bounds, first, strict=True)], dtype=np.int64)


# --- in memory ------------------------------------------------------------------


def gather(elements: npt.NDArray[Any], space: h5s.SpaceID) -> npt.NDArray[Any]:
    """The elements that `space` selects, in order; a view where they lie in a row.

    Parameters
    ----------
    elements : ndarray, shape (n, ...)
        What the memory holds, one element of the memory type per row.
    space : SpaceID
        Extent and selection.
    """
    if space.get_simple_extent_type() != h5s.SIMPLE:
        return elements[: space.get_select_npoints()]
    kind = space.get_select_type()
    shape = space.shape
    total = int(np.prod(shape, dtype=np.int64))
    if len(elements) < total:
        raise ValueError(f"the memory space has {total} elements, the array {len(elements)}")
    if kind == h5s.SEL_ALL:
        return elements[:total]
    if kind == h5s.SEL_NONE:
        return elements[:0]
    grid = elements[:total].reshape(shape + elements.shape[1:])
    if kind == h5s.SEL_POINTS:
        points = space.get_select_elem_pointlist().astype(np.int64)
        chosen = grid[tuple((points + _shift(space, points.min(axis=0))).T)]
    else:
        chosen = _gather_slab(grid, space, shape)
    return np.ascontiguousarray(chosen).reshape((-1, *elements.shape[1:]))


def _gather_slab(grid: npt.NDArray[Any], space: h5s.SpaceID, shape: Index) -> npt.NDArray[Any]:
    slab = slab_of(space)
    if slab is None:
        mask = np.zeros(shape, dtype=bool)
        blocks = space.get_select_hyper_blocklist().astype(np.int64)
        for first, last in blocks + _shift(space, blocks[:, 0].min(axis=0)):
            mask[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))] = True
        return grid[mask]
    slices = slab.slices()
    return grid[slices] if slices is not None else grid[np.ix_(*slab.axes())]
