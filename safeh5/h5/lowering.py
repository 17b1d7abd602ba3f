"""What several operations need: shared types, a trial of what HDF5 will say."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import h5py
from h5py import h5d, h5p, h5s, h5t

from safeh5.h5 import native
from safeh5.h5.paths import path_of
from safeh5.operations.model import Layout
from safeh5.operations.properties import read_layout

if TYPE_CHECKING:
    from safeh5.h5.door import Door


def shared_type(tid: h5t.TypeID, door: Door) -> tuple[bytes, str | None]:
    """The encoding of a type, and the path of the committed datatype that it is.

    A datatype committed in another file is taken as a plain type, as HDF5 does.
    """
    if not tid.committed():
        return tid.encode(), None
    return tid.copy().encode(), path_of(tid, door) if door.holds(tid) else None


def try_dataset(encoded: bytes, tid: h5t.TypeID, space: h5s.SpaceID, dcpl: h5p.PropDCID) -> Layout:
    """The layout of a dataset that is to be made; or raise what HDF5 would raise for it.

    Each type, extent and layout is tried once.

    It is made without a name in a file in memory. One whose space HDF5 would
    allocate at once is left out: it may be larger than memory.
    """
    if dcpl.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED:
        # One that does not fit the type cannot even be read.
        _try(encoded, space, dcpl)
        return read_layout(dcpl, tid)
    layout = read_layout(dcpl, tid)
    key = (encoded, space.encode(), layout)
    if key not in _tried:
        _try(encoded, space, dcpl)
        if len(_tried) >= _MANY:
            _tried.clear()
        _tried.add(key)
    return layout


def _try(encoded: bytes, space: h5s.SpaceID, dcpl: h5p.PropDCID) -> None:
    if dcpl.get_alloc_time() != h5d.ALLOC_TIME_EARLY or dcpl.get_layout() == h5d.COMPACT:
        native.create_dataset(_scratch().id, None, h5t.decode(encoded), space, dcpl=dcpl)


_MANY: Final = 4096
_tried: set[tuple[bytes, bytes, Layout]] = set()


@lru_cache(maxsize=1)
def _scratch() -> Any:
    return h5py.File("safeh5-scratch-of-the-id-layer", "w", driver="core", backing_store=False)
