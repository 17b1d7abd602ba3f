"""What h5py made of the arguments of ``create_dataset`` and ``create_group``, for the next call like it.

From its arguments h5py makes a property list, by a dozen calls of HDF5, and safeh5 reads it
again by as many. The outcome depends on nothing but the shape, the type and the
arguments, so it is noted the first time, as it came to ``h5d.create``. Likewise for groups.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import numpy as np
from h5py import h5, h5p, h5s

from safeh5.operations.model import CreateGroup, Layout
from safeh5.operations.properties import make_dcpl

_DETERMINED: Final = frozenset(
    {
        "chunks", "maxshape", "compression", "compression_opts", "shuffle", "fletcher32", "scaleoffset",
        "track_times", "track_order", "fill_time", "fillvalue",
    }
)  # fmt: skip
"""Arguments whose meaning is in their value; others are objects, or access properties."""
_MANY: Final = 1024


class Made(NamedTuple):
    """The creation properties and the extent of a dataset; shared, since HDF5 only reads them.

    Attributes
    ----------
    layout : Layout
        The properties as they are journaled.
    dcpl : PropDCID
        The same for HDF5.
    space : SpaceID
        The extent.
    encoded : bytes
        The same, encoded.
    """

    layout: Layout
    dcpl: h5p.PropDCID
    space: h5s.SpaceID
    encoded: bytes


_datasets: dict[Hashable, Made] = {}
_groups: dict[Hashable, CreateGroup] = {}
_wanted: Hashable = None


def key_of(dtype: np.dtype[Any], shape: tuple[int, ...], arguments: Mapping[str, Any]) -> Hashable:
    """What the outcome for a dataset depends on; None if it may depend on more."""
    given = _given(arguments)
    # By what the dtype says, since dtypes with another meaning may be equal.
    return None if given is None else (dtype.str, dtype.kind, shape, h5.get_config().track_order, given)


def key_of_group(arguments: Mapping[str, Any]) -> Hashable:
    """What the outcome for a group depends on; None if it may depend on more."""
    given = _given(arguments)
    return None if given is None else (h5.get_config().track_order, given)


def _given(arguments: Mapping[str, Any]) -> Hashable:
    given: list[Hashable] = []
    for name, value in arguments.items():
        if name not in _DETERMINED or not _is_simple(value):
            return None
        # Floats that are equal may differ (the zeros), and equal ones may not be (NaN).
        given.append((name, type(value), struct.pack("d", value) if type(value) is float else value))
    return tuple(given)


def _is_simple(value: Any) -> bool:
    """Whether equal values of the same type mean the same."""
    if type(value) is tuple:
        return all(item is None or type(item) is int for item in value)
    return value is None or type(value) in (bool, int, float, str)


def dataset(key: Hashable) -> Made | None:
    """What was noted of a dataset for `key`."""
    return _datasets.get(key)


def group(key: Hashable) -> CreateGroup | None:
    """What was noted of a group for `key`; its path is another's."""
    return _groups.get(key)


@contextmanager
def noting(key: Hashable) -> Iterator[None]:
    """Note what comes to ``h5d.create`` and ``h5g.create`` inside the block; h5py's lock is held."""
    global _wanted
    before, _wanted = _wanted, key
    try:
        yield
    finally:
        _wanted = before


def note_dataset(layout: Layout, space: h5s.SpaceID, encoded: bytes) -> None:
    """A dataset was made like this."""
    if _wanted is None or layout.external or layout.virtual or layout.virtual_empty:
        return
    if len(_datasets) >= _MANY:
        _datasets.clear()
    _datasets[_wanted] = Made(layout, make_dcpl(layout), space.copy(), encoded)


def note_group(operation: CreateGroup) -> None:
    """A group was made like this."""
    if _wanted is not None and len(_groups) < _MANY:
        _groups[_wanted] = operation
