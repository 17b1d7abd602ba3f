"""Cutting an extent into boxes of a bounded number of bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

from safeh5.operations.model import Box


def boxes(
    shape: tuple[int, ...], item_bytes: int, limit: int, chunks: tuple[int, ...] | None = None
) -> Iterator[Box]:
    """Boxes in C order that cover `shape`, each of about `limit` bytes at most.

    Parameters
    ----------
    shape : tuple of int
        The extent; one box without axes covers a scalar.
    item_bytes, limit : int
        Bytes of an element; bytes of a box.
    chunks : tuple of int, optional
        Boxes hold whole chunks as far as `limit` allows, so that none is
        filtered twice.
    """
    step = _step(shape, item_bytes, limit, chunks)
    for start in product(*(range(0, n, s) for n, s in zip(shape, step, strict=True))):
        yield Box(start, tuple(min(s, n - o) for s, n, o in zip(step, shape, start, strict=True)))


def _step(
    shape: tuple[int, ...], item_bytes: int, limit: int, chunks: tuple[int, ...] | None
) -> tuple[int, ...]:
    """Full rows of the last axes, then as many of the first axis that does not fit whole."""
    step = [max(1, n) for n in shape]
    for axis in range(len(step)):
        row = math.prod(step) // step[axis] * max(1, item_bytes)
        if row * step[axis] <= limit:
            break
        unit = chunks[axis] if chunks is not None else 1
        fitting = limit // row
        # A row of chunks stays whole; the axes after this one are cut instead.
        step[axis] = fitting - fitting % unit if fitting >= unit else min(unit, step[axis])
    return tuple(step)


def slices(box: Box) -> tuple[slice, ...]:
    """The box as an index of a NumPy array."""
    return tuple(slice(start, start + count) for start, count in zip(box.start, box.count, strict=True))


def shifted(box: Box, rows: int) -> Box:
    """The box moved by `rows` along axis 0."""
    return Box((box.start[0] + rows, *box.start[1:]), box.count)
