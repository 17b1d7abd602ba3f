"""Virtual datasets: reading those whose sources lie in other files.

HDF5 opens a source by the driver of the file that the virtual dataset is in. In
a journaled file that is a Python object, the staging file, whatever the name of
the source; so nothing is found. Such a dataset is read through a stand-in: the
same virtual dataset, in an empty file that the system's own driver has open.

Whether a dataset is one of these takes longer to ask than a small read takes. But
HDF5 cannot have looked for a source without being refused by a staging file
(`StagingFile.refused`), be it for the values or for the shape. So it is only
asked once anything was refused, and what was read before that is read again.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

from h5py import h5d, h5f, h5p, h5s

from safeh5.h5 import native
from safeh5.operations.properties import make_dcpl, read_layout
from safeh5.storage.staging import StagingFile


def leads_elsewhere(dataset: Any) -> bool:
    """Whether a dataset is a virtual one with sources in other files; found out once."""
    known: bool | None = getattr(dataset, "elsewhere", None)
    if known is None:
        known = dataset.elsewhere = _sources_elsewhere(dataset)
    return known


def _sources_elsewhere(dataset: Any) -> bool:
    dcpl = h5d.DatasetID.get_create_plist(dataset)
    if dcpl.get_layout() != h5d.VIRTUAL:
        return False
    return any(dcpl.get_virtual_filename(i) != "." for i in range(dcpl.get_virtual_count()))


def stand_in(dataset: Any) -> h5d.DatasetID:
    """The same virtual dataset in a file of its own, for reading; both go with the identifier."""
    file = _empty_file()
    dcpl = h5d.DatasetID.get_create_plist(dataset)
    _bring_own_sources(dataset, dcpl, file)
    tid = h5d.DatasetID.get_type(dataset)
    tid = tid.copy() if tid.committed() else tid
    # The property list itself has the driver in it that sources were opened by.
    space = _stored_space(dataset, dcpl)
    dcpl = make_dcpl(read_layout(dcpl, tid))
    native.create_dataset(file, b"stand-in", tid, space, dcpl)
    return native.open_dataset(file, b"stand-in", _access(dataset))


def space(dataset: Any) -> h5s.SpaceID:
    """The extent of a dataset; of an unlimited virtual one, that which its sources give it now.

    HDF5 looks at the sources to find it, and so by the wrong driver.
    """
    try:
        found: h5s.SpaceID = native.get_space(dataset)
    except (OSError, RuntimeError):
        if dataset.valid and leads_elsewhere(dataset):
            return _space_of_stand_in(dataset)
        raise
    if _is_doubtful(found) and _is_unlimited(found) and leads_elsewhere(dataset):
        return _space_of_stand_in(dataset)
    return found


def _space_of_stand_in(dataset: Any) -> h5s.SpaceID:
    with native.phil:
        return stand_in(dataset).get_space()


def shape(dataset: Any) -> tuple[int, ...] | None:
    """The shape of a dataset, like `space`; None if it has no extent."""
    found: tuple[int, ...] | None = space(dataset).shape
    return found


def _is_doubtful(found: h5s.SpaceID) -> bool:
    """Whether HDF5 may have looked for sources in vain.

    In a file without a byte yet it does not even look for one, and finds none.
    """
    return StagingFile.refused_anywhere > 0 or found.get_simple_extent_npoints() == 0


def _is_unlimited(found: h5s.SpaceID) -> bool:
    return found.get_simple_extent_type() == h5s.SIMPLE and h5s.UNLIMITED in found.get_simple_extent_dims(
        True
    )


def _stored_space(dataset: Any, dcpl: h5p.PropDCID) -> h5s.SpaceID:
    """The extent as it stands in the file, with no look at the sources."""
    stored = dcpl.get_virtual_vspace(0)
    limits = list(stored.get_simple_extent_dims(True))
    if stored.get_select_type() == h5s.SEL_HYPERSLABS and stored.is_regular_hyperslab():
        # Of a dataset that was just made the mapping does not know yet that it has no limit.
        _, _, count, block = stored.get_regular_hyperslab()
        for axis, most in enumerate(zip(count, block, strict=True)):
            if h5s.UNLIMITED in most:
                limits[axis] = h5s.UNLIMITED
    return h5s.create_simple(stored.get_simple_extent_dims(), tuple(limits))


def _access(dataset: Any) -> h5p.PropDAID:
    dapl = dataset.get_access_plist()
    if not dapl.get_virtual_prefix():
        # Names are relative to the file that the virtual dataset is in.
        dapl.set_virtual_prefix(os.path.dirname(dataset.door.target))
    return dapl


def _bring_own_sources(dataset: Any, dcpl: h5p.PropDCID, file: h5f.FileID) -> None:
    """Copy those sources that are in the journaled file."""
    lcpl = h5p.create(h5p.LINK_CREATE)
    lcpl.set_create_intermediate_group(True)
    own = {dcpl.get_virtual_dsetname(i) for i in _mappings(dcpl) if dcpl.get_virtual_filename(i) == "."}
    for name in own:
        native.copy(dataset.door.file_id, name.encode(), file, name.encode(), lcpl=lcpl)


def _mappings(dcpl: h5p.PropDCID) -> range:
    return range(dcpl.get_virtual_count())


def _empty_file() -> h5f.FileID:
    """An empty file of the system's own driver; its name is gone at once."""
    with tempfile.TemporaryDirectory(prefix="safeh5-virtual-") as directory:
        return native.create_file(os.path.join(directory, "file.h5").encode(), h5f.ACC_EXCL)


def is_to_be_stood_in(dataset: Any) -> bool:
    """Whether HDF5 reads too little of a dataset; asked before, and again after it has read or failed."""
    return StagingFile.refused_anywhere > 0 and leads_elsewhere(dataset)
