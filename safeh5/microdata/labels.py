"""``attrs['labels']`` of a dataset: names for regions, as pycroscopy writes them.

Each name becomes an attribute that holds a region reference, and the attribute
``labels`` the list of names, as fixed-length strings, in the order in which
their regions lie along the first axis that they divide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from safeh5.errors import InvalidTreeError
from safeh5.microdata.nodes import MicroData, Reference

LABELS = "labels"


def expand_labels(
    node: MicroData, attrs: Mapping[str, Any], path: str, shape: tuple[int, ...] | None
) -> dict[str, Any]:
    """`attrs` with the labels of the dataset `node` replaced by what is written.

    Parameters
    ----------
    node : MicroData
        The dataset.
    attrs : mapping
        Its attributes.
    path : str
        Where it is written, for messages.
    shape : tuple of int or None
        Its shape.

    Raises
    ------
    InvalidTreeError
        If names and regions do not fit the dataset.
    """
    labels = attrs.get(LABELS)
    if not isinstance(labels, (Mapping, list, tuple)) or not labels:
        return dict(attrs)
    if isinstance(labels, Mapping):
        regions = _by_slices(labels, path, shape)
    else:
        regions = _by_names(labels, path, shape)
    taken = set(regions) & (set(attrs) | {LABELS})
    if taken:
        raise InvalidTreeError(f"{path} has both a label and an attribute {sorted(taken)[0]!r}", dataset=path)
    out: dict[str, Any] = {name: value for name, value in attrs.items() if name != LABELS}
    out |= {name: Reference(node, region) for name, region in regions.items()}
    out[LABELS] = np.array([name.encode() for name in _ordered(regions)], dtype="S")
    return out


def _by_names(names: Any, path: str, shape: tuple[int, ...] | None) -> dict[str, Any]:
    """A region for each row or, if their number does not fit, for each column."""
    _check_names(names, path)
    if len(set(names)) < len(names):
        raise InvalidTreeError(f"{path} has a label twice: {list(names)}", dataset=path)
    if shape is not None and len(shape) == 2 and len(names) in shape:
        axis = shape.index(len(names))
        return {
            name: tuple(slice(i, i + 1) if a == axis else slice(None) for a in range(2))
            for i, name in enumerate(names)
        }
    raise InvalidTreeError(
        f"{path} has {len(names)} labels and shape {shape}:"
        " a list of labels needs two axes, one of that length",
        dataset=path,
        hint="Give a dict of names to slices instead",
    )


def _by_slices(labels: Mapping[Any, Any], path: str, shape: tuple[int, ...] | None) -> dict[str, Any]:
    _check_names(labels, path)
    regions = {}
    for name, region in labels.items():
        index = tuple(region) if isinstance(region, (tuple, list)) else (region,)
        whole = any(item is Ellipsis for item in index)
        if not whole and len(index) != len(shape or ()):
            raise InvalidTreeError(
                f"label {name!r} of {path} has {len(index)} slices for shape {shape}", dataset=path
            )
        regions[name] = index
    return regions


def _check_names(names: Any, path: str) -> None:
    for name in names:
        if not isinstance(name, str) or not name:
            raise InvalidTreeError(f"{path} has a label that is no name: {name!r}", dataset=path)


def _ordered(regions: Mapping[str, Any]) -> list[str]:
    """The names by where their regions start along the first axis that any of them divides."""
    starts = {name: [_start(item) for item in index] for name, index in regions.items()}
    rank = min(len(row) for row in starts.values())
    for axis in range(rank):
        if any(row[axis] is not None for row in starts.values()):
            return sorted(starts, key=lambda name: starts[name][axis] or 0)
    return list(regions)


def _start(item: Any) -> int | None:
    """Where an index starts, None when it takes the whole axis."""
    if isinstance(item, slice):
        return None if item.start is None else int(item.start)
    return int(item) if isinstance(item, (int, np.integer)) and not isinstance(item, bool) else None
