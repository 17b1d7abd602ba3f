"""Asking HDF5 again for the filters that a finished dataset has.

A filter may rewrite its parameters when a dataset is made: Bitshuffle puts its
version and the element's size before them, SZ3 the chunk shape. Given back to
HDF5 they would be rewritten once more, into something else, or be refused. So
what was asked for is looked for among what is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import msgspec

from safeh5.errors import InvalidTreeError
from safeh5.microdata.scratch import Scratch
from safeh5.operations.model import Filter, Layout

_OPTIONAL = 1
"""``H5Z_FLAG_OPTIONAL``."""


def repeatable(scratch: Scratch, kind: bytes, space: bytes, layout: Layout) -> Layout:
    """`layout` with filters that, when HDF5 makes a dataset, become those of `layout`.

    Parameters
    ----------
    scratch : Scratch
        Where it is tried.
    kind, space : bytes
        Type and space of the dataset, encoded.
    layout : Layout
        As read from a finished dataset.

    Raises
    ------
    InvalidTreeError
        If no such filters are found, or HDF5 refuses the dataset for another reason.
    """
    refusal: Exception | None = None
    for filters in _candidates(layout.filters):
        asked = msgspec.structs.replace(layout, filters=filters)
        try:
            if scratch.made_filters(kind, space, asked) == layout.filters:
                return asked
        except (ValueError, OSError, RuntimeError) as error:
            refusal = refusal or error
    reason = str(refusal) if refusal else "it makes other parameters of them every time"
    ids = ", ".join(str(step.id) for step in layout.filters) or "none"
    raise InvalidTreeError(f"HDF5 does not make it again as it is (filters: {ids}): {reason}")


def _candidates(filters: tuple[Filter, ...]) -> Iterator[tuple[Filter, ...]]:
    """The filters as stored, then with one of them asked for by a part of its parameters."""
    yield filters
    for place, step in enumerate(filters):
        for values in _parts(step.values):
            for flags in dict.fromkeys((step.flags, step.flags | _OPTIONAL)):
                other = Filter(step.id, flags, values)
                yield (*filters[:place], other, *filters[place + 1 :])


def _parts(values: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Pieces of `values`: first its ends, since filters put their own parameters in front."""
    yield from (values[start:] for start in range(1, len(values) + 1))
    for start, stop in combinations(range(len(values)), 2):
        yield values[start:stop]
