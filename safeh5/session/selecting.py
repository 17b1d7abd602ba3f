"""A basic selection, integers and slices as NumPy takes them, as the box that it is in a dataset."""

from __future__ import annotations

import operator
from typing import Any

from safeh5.errors import InvalidTreeError, InvalidTypeError
from safeh5.operations.model import Box


def kept_axes(selection: Any, rank: int) -> tuple[bool, ...]:
    """Which axes of the selection are there in its result: an integer takes its axis away."""
    parts = selection if isinstance(selection, tuple) else (selection,)
    return tuple(i >= len(parts) or isinstance(parts[i], slice) for i in range(rank))


def box_of(selection: Any, shape: tuple[int, ...], path: str) -> Box:
    """A basic selection as start and count of each axis."""
    parts = selection if isinstance(selection, tuple) else (selection,)
    if len(parts) > len(shape):
        raise InvalidTreeError(f"the selection has {len(parts)} axes, the dataset {len(shape)}", dataset=path)
    starts, counts = [], []
    for part, size in zip((*parts, *[slice(None)] * (len(shape) - len(parts))), shape, strict=True):
        start, count = _span(part, size, path)
        starts.append(start)
        counts.append(count)
    return Box(tuple(starts), tuple(counts))


def _span(part: Any, size: int, path: str) -> tuple[int, int]:
    if isinstance(part, slice):
        start, stop, step = part.indices(size)
        if step != 1:
            raise InvalidTreeError("a selection with steps other than 1 cannot be streamed", dataset=path)
        return start, max(0, stop - start)
    try:
        index = operator.index(part)
    except TypeError:
        raise InvalidTypeError(f"{part!r} selects nothing: give integers or slices", dataset=path) from None
    if not -size <= index < size:
        raise InvalidTreeError(f"index {index} is outside the axis of {size}", dataset=path)
    return index % size, 1
