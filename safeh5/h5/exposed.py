"""Datasets whose HDF5 identifier was given away: what compiled code wrote past h5py is recorded late.

Whoever takes the number of an identifier can call ``H5Dwrite`` by itself, and
nothing of that passes here. So of such a dataset the values are kept in mind as
checksums, and at the next ``flush()`` or ``close()`` those blocks are recorded
whose values are others. A crash before that loses them, and a warning says so.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from h5py import h5d, h5s

from safeh5.events import logger
from safeh5.h5 import native
from safeh5.h5.paths import path_of

if TYPE_CHECKING:
    from safeh5.h5.door import Door

LARGEST: Final = 4 * 1024**3
"""Bytes of storage; a larger dataset is not read again, and what is written past h5py is not recorded."""

Checksums = dict[Any, int]


class Exposed:
    """The datasets of one file whose identifiers were given away.

    Parameters
    ----------
    target : str
        The file, for the warning.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._known: dict[str, Checksums] = {}

    def __bool__(self) -> bool:
        return bool(self._known)

    def note(self, dataset: Any) -> None:
        """The number of an identifier of `dataset` is being taken."""
        path = path_of(dataset, dataset.door)
        if path is None or path in self._known:
            return
        if not self._known:
            logger.warning(
                "%s: something took HDF5's own identifier of the dataset %s. What is written by it is in the "
                "journal at the next flush() or close() only: a crash before that loses it",
                self._target,
                path,
            )
        self._known[path] = _checksums(dataset, path, dataset.door)

    def record(self, door: Door) -> None:
        """Record what was written past h5py since the last time."""
        from safeh5.h5 import unlinked

        for path, known in self._known.items():
            dataset = _dataset_at(path, door)
            if dataset is None or not _is_read_again(dataset):
                continue
            for box, memory in unlinked.blocks(dataset, path, door):
                encoded, payload = memory.payload(memory.elements, door)
                checksum = zlib.crc32(payload)
                if known.get(box) != checksum:
                    door.record(unlinked.write_of(path, encoded, box, memory), payload)
                    known[box] = checksum


def _checksums(dataset: Any, path: str, door: Door) -> Checksums:
    from safeh5.h5 import unlinked

    if not _is_read_again(dataset):
        return {}
    found = unlinked.blocks(dataset, path, door)
    return {box: zlib.crc32(memory.payload(memory.elements, door)[1]) for box, memory in found}


def _dataset_at(path: str, door: Door) -> Any:
    try:
        found = native.open_object(door.file_id, path.encode())
    except (KeyError, OSError, RuntimeError, ValueError):
        return None
    return found if isinstance(found, h5d.DatasetID) else None


def _is_read_again(dataset: Any) -> bool:
    """Whether a dataset has values of its own, and not too many."""
    null = dataset.get_space().get_simple_extent_type() == h5s.NULL
    virtual = h5d.DatasetID.get_create_plist(dataset).get_layout() == h5d.VIRTUAL
    return not null and not virtual and 0 < dataset.get_storage_size() <= LARGEST
