"""Virtual datasets: reading those whose sources lie in other files.

HDF5 opens a source by the driver of the file that the virtual dataset is in. In
a journaled file that is a Python object, the staging file, whatever the name of
the source; so nothing is found. Such a dataset is read through a stand-in: the
same virtual dataset, in an empty file that the system's own driver has open.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

import h5py
from h5py import h5d, h5f, h5p, h5s

from safeh5.h5 import native
from safeh5.operations.properties import make_dcpl, read_layout


def leads_elsewhere(dataset: Any) -> bool:
    """Whether a dataset is a virtual one with sources in other files; found out once."""
    known: bool | None = dataset.elsewhere
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
        found = h5d.DatasetID.get_space(dataset)
    except (OSError, RuntimeError):
        if dataset.valid and leads_elsewhere(dataset):
            return stand_in(dataset).get_space()
        raise
    if _is_unlimited(found) and leads_elsewhere(dataset):
        return stand_in(dataset).get_space()
    return found


def _is_unlimited(found: h5s.SpaceID) -> bool:
    return found.get_simple_extent_type() == h5s.SIMPLE and h5s.UNLIMITED in found.get_simple_extent_dims(
        True
    )


def _stored_space(dataset: Any, dcpl: h5p.PropDCID) -> h5s.SpaceID:
    """The extent as it stands in the file, with no look at the sources."""
    stored = dcpl.get_virtual_vspace(0).copy()
    stored.select_all()
    return stored


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


# --- the two ways of reading ---------------------------------------------------------


class _Reader:
    """h5py's reader of a stand-in; that one does not keep the identifier alive itself."""

    def __init__(self, oid: Any) -> None:
        self._dataset = h5py.Dataset(stand_in(oid))

    def read(self, args: tuple[Any, ...]) -> Any:
        """What the selection `args` holds."""
        return native.fast_reader(self._dataset).read(args)


def fast_reader(dataset: Any) -> Any:
    """`h5py.Dataset._fast_reader`, which reads past the identifier's own methods."""
    oid = dataset._id
    # An identifier of h5py's own has no such attribute; None is not known yet.
    elsewhere = getattr(oid, "elsewhere", False)
    if elsewhere or (elsewhere is None and leads_elsewhere(oid)):
        return _Reader(oid)
    return native.fast_reader(dataset)
