"""Filters that a dataset needs and this process may not have."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from h5py import h5z

from safeh5.operations.model import CreateDataset, Filter, Operation

_PLUGINS = "hdf5plugin"


def load_filters(pipeline: Iterable[Filter]) -> None:
    """Register the filters of ``hdf5plugin`` when `pipeline` needs one that is not here.

    Recovery runs in another process than the acquisition, perhaps in one that
    never imported the plugin that the acquisition had imported.
    """
    if any(not h5z.filter_avail(step.id) for step in pipeline):
        try:
            importlib.import_module(_PLUGINS)
        except ImportError:
            return


def missing_filters(operation: Operation) -> tuple[int, ...]:
    """Ids of the filters that `operation` needs and HDF5 does not find."""
    if not isinstance(operation, CreateDataset):
        return ()
    return tuple(step.id for step in operation.layout.filters if not h5z.filter_avail(step.id))


def missing_filters_hint(ids: tuple[int, ...]) -> str | None:
    """What to do about missing filters, or None when there are none."""
    if not ids:
        return None
    names = ", ".join(str(i) for i in ids)
    install = f"install it (pip install {_PLUGINS}) and run the command again"
    return f"HDF5 filter {names} is not available here: {install}"
