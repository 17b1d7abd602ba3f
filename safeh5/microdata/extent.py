"""The shape of a dataset, as pycroscopy's `data`, `resizable` and `maxshape` say it.

================  ==========================  ==================  ==================
data              maxshape                    not resizable       resizable
================  ==========================  ==================  ==================
given             none                        shape of data       shape of data, no limits
given             given                       maxshape [1]_       shape of data, limits
``[]`` or None    given                       maxshape            see [2]_
an iterator       none                        rows appended [3]_  rows appended, no limits
an iterator       given                       maxshape [1]_       rows appended, limits
================  ==========================  ==================  ==================

.. [1] The data fill it from the origin; the fill value stands in the rest.
.. [2] The chunk shape if one is given, as in pycroscopy; else the limits, and
   0 along an axis without one.
.. [3] Axis 0 has no limit then. With `shape` the length is known and fixed.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from safeh5.errors import InvalidTreeError, InvalidTypeError
from safeh5.microdata.dataset import MicroDataset
from safeh5.microdata.sources import Blocks

Shape = tuple[int, ...]
Limits = tuple["int | None", ...]


@dataclass(frozen=True, slots=True)
class Extent:
    """How large a dataset is made and may become.

    Attributes
    ----------
    shape : tuple of int
        Its shape when it is made.
    limits : tuple of int or None, or None
        How far each axis may grow; None when it is fixed.
    data : tuple of int or None
        The shape of the values, at the origin; None when there are none.
    room : int or None
        Rows of an iterator that there is room for; None appends them.
    exact : bool
        Whether an iterator must fill all the room.
    """

    shape: Shape
    limits: Limits | None
    data: Shape | None
    room: int | None = None
    exact: bool = False


def extent_of(node: MicroDataset, data: Any) -> Extent:
    """The extent of a dataset node, whose data were made ready as `data`.

    Raises
    ------
    InvalidTreeError, InvalidTypeError
        If they do not fit; to be named by the caller.
    """
    limits = axes(node.maxshape, "maxshape", none_ok=node.resizable)
    shape = axes(node.shape, "shape")
    if isinstance(data, Blocks):
        return _of_blocks(node, data, shape, limits)
    given = _given(data, limits)
    if given is None:
        given_shape = shape if shape is not None else _allocated(node, limits)
        return _checked(Extent(given_shape, _growth(node, limits, len(given_shape)), None), limits)
    if shape is not None and shape != given:
        raise InvalidTreeError(f"shape is {shape}, that of the data {given}")
    if node.resizable and not given:
        raise InvalidTreeError("a scalar cannot be resizable")
    made = given if limits is None or node.resizable else _filled(limits)
    return _checked(Extent(made, _growth(node, limits, len(given)), given), limits)


def _given(data: Any, limits: Limits | None) -> Shape | None:
    """The shape of the values, None when there are none to write."""
    if data is None:
        return None
    shape = tuple(int(n) for n in data.shape)
    wanting = shape == (0,) and limits is not None and len(limits) != 1
    return None if wanting else shape


def _allocated(node: MicroDataset, limits: Limits | None) -> Shape:
    if limits is None:
        raise InvalidTreeError("there are no data, and no maxshape says how much to allocate")
    if not node.resizable:
        return _filled(limits)
    chunks = None if node.chunking in (None, True) else axes(node.chunking, "chunking")
    if chunks is not None and len(chunks) == len(limits):
        return tuple(c if n is None else min(c, n) for c, n in zip(chunks, limits, strict=True))
    return tuple(0 if n is None else n for n in limits)


def _filled(limits: Limits) -> Shape:
    """The limits as a shape: none of them is missing where the dataset is not resizable."""
    return tuple(0 if n is None else n for n in limits)


def _growth(node: MicroDataset, limits: Limits | None, rank: int) -> Limits | None:
    if not node.resizable:
        return None
    return (None,) * rank if limits is None else limits


def _of_blocks(node: MicroDataset, data: Blocks, shape: Shape | None, limits: Limits | None) -> Extent:
    first = data.peek()
    if first is not None and first.ndim == 0:
        raise InvalidTreeError("the iterator gives scalars; blocks have at least one axis")
    known = shape if shape is not None else limits
    if first is None and not known:
        raise InvalidTreeError("the iterator gives nothing, and no shape is known")
    row = first.shape[1:] if first is not None else tuple(n or 0 for n in (known or ())[1:])
    if shape is not None or (limits is not None and not node.resizable):
        made = shape if shape is not None else _filled(limits or ())
        if made[1:] != row:
            raise InvalidTreeError(f"the iterator gives blocks of rows of shape {row}, not {made[1:]}")
        growth = _growth(node, limits, len(made))
        return _checked(Extent(made, growth, made, made[0], shape is not None), limits)
    growth = limits or (None, *((None,) * len(row) if node.resizable else row))
    return _checked(Extent((0, *row), growth, (0, *row)), limits)


def _checked(extent: Extent, limits: Limits | None) -> Extent:
    """`extent`, once data and shape are within the limits."""
    for shape in (extent.shape, extent.data):
        if shape is not None and limits is not None and not _within(shape, limits):
            raise InvalidTreeError(f"shape {shape} does not fit maxshape {limits}")
    return extent


def _within(shape: Shape, limits: Limits) -> bool:
    return len(shape) == len(limits) and all(m is None or n <= m for n, m in zip(shape, limits, strict=True))


def axes(value: Any, what: str, *, none_ok: bool = False) -> Any:
    """A shape as a tuple; one number stands for one axis.

    Raises
    ------
    InvalidTreeError, InvalidTypeError
        If it is none.
    """
    if value is None:
        return None
    items = value if isinstance(value, Sequence) or hasattr(value, "__iter__") else (value,)
    out: list[int | None] = []
    for item in items:
        if item is None:
            if not none_ok:
                raise InvalidTreeError(f"{what} has no length along an axis: only a resizable dataset may")
            out.append(None)
            continue
        try:
            size = operator.index(item)
        except TypeError:
            raise InvalidTypeError(f"{what} is {value!r}, not a tuple of integers") from None
        if size < 0 or isinstance(item, bool):
            raise InvalidTreeError(f"{what} is {value!r}, not a tuple of sizes")
        out.append(size)
    return tuple(out)
