"""The extents of datasets, as far as they are known without asking HDF5.

h5py asks for the shape of a dataset five times for each block of rows that a program appends, and
HDF5 makes a dataspace each time. A shape is the same as long as nothing was changed in the file
(`Door.changes`), and after a change that was made here it is known as well.
"""

from __future__ import annotations

from typing import Any

from safeh5.h5 import native, virtual


def shape(dataset: Any) -> tuple[int, ...] | None:
    """The shape of a dataset; None if it has no extent."""
    known = getattr(dataset, "extent", None)
    if known is not None:
        changes = dataset.door.changes
        # HDF5 has closed the identifiers of a file that was closed: that is for HDF5 to say.
        if changes is not None and known[0] == changes and native.is_valid(dataset):
            found: tuple[int, ...] = known[1]
            return found
    asked = virtual.shape(dataset)
    if asked is not None:
        note(dataset, asked)
    return asked


def note(dataset: Any, shape: tuple[int, ...]) -> None:
    """`shape` is what a dataset has now: it was asked for, or given to it, or another thing changed."""
    # That of a virtual one may change with its sources, which are in no journal.
    if getattr(dataset, "elsewhere", None) is False:
        dataset.extent = dataset.door.changes, shape
