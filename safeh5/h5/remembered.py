"""What h5py made of the arguments of ``create_dataset``, for the next call that has the same ones.

From its arguments h5py makes a property list, by a dozen calls of HDF5, and safeh5 reads it
again by as many. The outcome depends on nothing but the shape, the type and the
arguments, so it is noted the first time, as it came to ``h5d.create``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import numpy.typing as npt
from h5py import h5, h5p, h5s

from safeh5.operations.model import Layout
from safeh5.operations.properties import make_dcpl

_DETERMINED: Final = frozenset(
    {
        "chunks", "maxshape", "compression", "compression_opts", "shuffle", "fletcher32", "scaleoffset",
        "track_times", "track_order", "fill_time",
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


_known: dict[Hashable, Made] = {}
_wanted: Hashable = None


def key_of(array: npt.NDArray[Any], arguments: Mapping[str, Any]) -> Hashable:
    """What the outcome depends on; None if it may depend on more."""
    given: list[Hashable] = []
    for name, value in arguments.items():
        if name not in _DETERMINED or not _is_simple(value):
            return None
        given.append((name, type(value), value))
    # Names of types, since dtypes with another meaning may be equal.
    return array.dtype.str, array.dtype.kind, array.shape, h5.get_config().track_order, tuple(given)


def _is_simple(value: Any) -> bool:
    """Whether equal values of the same type mean the same."""
    if type(value) is tuple:
        return all(item is None or type(item) is int for item in value)
    return value is None or type(value) in (bool, int, str)


def recall(key: Hashable) -> Made | None:
    """What was noted for `key`."""
    return _known.get(key)


@contextmanager
def noting(key: Hashable) -> Iterator[None]:
    """Note what comes to ``h5d.create`` inside the block; h5py's lock is held."""
    global _wanted
    before, _wanted = _wanted, key
    try:
        yield
    finally:
        _wanted = before


def note(layout: Layout, space: h5s.SpaceID, encoded: bytes) -> None:
    """A dataset was made like this."""
    if _wanted is None or layout.external or layout.virtual or layout.virtual_empty:
        return
    if len(_known) >= _MANY:
        _known.clear()
    _known[_wanted] = Made(layout, make_dcpl(layout), space.copy(), encoded)
