"""The walk: every object, link and attribute first, every element afterwards.

The headers come first because only then are all objects known: a reference to
an object that was deleted often still "resolves", to the stale bytes of its
header. It is whole only if it leads to an object that a link names too.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from typing import Any

from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5r, h5t, h5z

from safeh5.events import ProgressEvent
from safeh5.verify.elements import (
    HDF5_ERRORS,
    Array,
    Box,
    chunks_of,
    has_pointers,
    open_dataset,
    read_attribute,
    read_box,
    references,
    split,
    stored_boxes,
)
from safeh5.verify.findings import Findings, reason, shown
from safeh5.verify.report import ProblemKind as Kind

MOST_PER_DATASET = 20
"""A dataset with more unreadable blocks than this is given up."""


class Walk:
    """One pass over one open file.

    Parameters
    ----------
    file : h5f.FileID
        Open for reading.
    filename : str
        Its path, to find the files that virtual datasets are made of.
    findings : Findings
        Where all that is found goes.
    """

    def __init__(self, file: h5f.FileID, filename: str, findings: Findings) -> None:
        self.file = file
        self.filename = filename
        self.file_bytes = os.path.getsize(filename)
        self.found = findings
        self.seen: set[tuple[int, int]] = set()
        self.referred: dict[tuple[int, int], str] = {}
        self.datasets: list[bytes] = []
        self.stored_bytes = 0

    # --- headers ------------------------------------------------------------------

    def structure(self) -> None:
        """Visit every object once: its header, links, attributes and filters."""
        stack = [b"/"]
        while stack:
            path = stack.pop()
            stack.extend(reversed(list(self._visit(path))))

    def _visit(self, path: bytes) -> Iterator[bytes]:
        """Check the object at `path`; the paths of what hangs on it follow."""
        name = shown(path)
        self._step("reading headers", None, "objects", self.found.counts.objects, name)
        with self.found.guard(name, Kind.OBJECT, "its header cannot be read"):
            obj = h5o.open(self.file, path)
            key = identity(obj)
            if key in self.seen:
                return
            self.seen.add(key)
            self.found.counts.objects += 1
            self._attributes(obj, name)
            if isinstance(obj, h5d.DatasetID):
                self._dataset(obj, path)
            elif isinstance(obj, h5g.GroupID):
                yield from self._children(obj, path)

    def _children(self, group: h5g.GroupID, path: bytes) -> Iterator[bytes]:
        names: list[bytes] = []
        with self.found.guard(shown(path), Kind.GROUP, "its links cannot all be listed"):
            group.links.iterate(names.append)
        for name in names:
            child = path.rstrip(b"/") + b"/" + name
            with self.found.guard(shown(child), Kind.LINK, "the link cannot be read"):
                if group.links.get_info(name).type == h5l.TYPE_HARD:
                    yield child
                else:
                    self._pointing_link(group, name, shown(child))

    def _pointing_link(self, group: h5g.GroupID, name: bytes, path: str) -> None:
        """Warn of a soft or external link that leads nowhere: legal, but worth knowing."""
        value = group.links.get_val(name)
        where = ":".join(map(shown, value)) if isinstance(value, tuple) else shown(value)
        try:
            h5o.open(group, name)
        except HDF5_ERRORS as error:
            self.found.warn(path, Kind.LINK, f"leads to {where}, which does not open: {reason(error)}")

    def _dataset(self, dataset: h5d.DatasetID, path: bytes) -> None:
        self.found.counts.datasets += 1
        self.datasets.append(path)
        self.stored_bytes += dataset.get_storage_size()
        plist = dataset.get_create_plist()
        for i in range(plist.get_nfilters()):
            number, _, _, label = plist.get_filter(i)
            if not filter_available(number):
                self.found.missing_filter(number, shown(label) or "unnamed", shown(path))
        if plist.get_layout() == h5d.VIRTUAL:
            self._sources(plist, shown(path))

    def _sources(self, plist: Any, path: str) -> None:
        """Warn of missing source files: HDF5 reads fill values in their place."""
        beside = os.path.dirname(os.path.realpath(self.filename))
        sources = {plist.get_virtual_filename(i) for i in range(plist.get_virtual_count())}
        for source in sorted(sources - {"."}):
            if "%b" not in source and not any(os.path.exists(os.path.join(d, source)) for d in ("", beside)):
                self.found.warn(path, Kind.SOURCE, f"is made of {source}, which is not there")

    def _attributes(self, obj: Any, path: str) -> None:
        with self.found.guard(path, Kind.ATTRIBUTE, "its attributes cannot be listed"):
            for index in range(h5a.get_num_attrs(obj)):
                self.found.counts.attributes += 1
                with self.found.guard(path, Kind.ATTRIBUTE, f"attribute number {index} cannot be opened"):
                    attribute = h5a.open(obj, index=index)
                    label = f"attribute {shown(attribute.get_name())}"
                    with self.found.guard(path, Kind.ATTRIBUTE, f"{label} cannot be read"):
                        self._attribute(attribute, path, label)

    def _attribute(self, attribute: h5a.AttrID, path: str, label: str) -> None:
        tid = attribute.get_type()
        if not self._readable(tid, path, label):
            return
        claimed = attribute.get_space().get_simple_extent_npoints() * tid.get_size()
        if claimed > self.file_bytes:
            # A damaged extent; libhdf5 would believe it and fill as much memory.
            raise ValueError(f"it claims {claimed} bytes and the file has {self.file_bytes}")
        values = read_attribute(attribute)
        if values is not None:
            self._references(values, tid, path, label)

    def _readable(self, tid: h5t.TypeID, path: str, what: str) -> bool:
        """Whether h5py can read values of this type; the newest references it cannot."""
        try:
            return not has_pointers(tid) or h5t.py_create(tid.dtype) is not None
        except (TypeError, NotImplementedError) as error:
            self.found.warn(path, Kind.TYPE, f"{what} has a type that h5py cannot read: {reason(error)}")
            return False

    # --- elements -----------------------------------------------------------------

    def elements(self) -> None:
        """Read every stored element of every dataset, through its filters."""
        for path in self.datasets:
            name = shown(path)
            self._reading(name)
            with self.found.guard(name, Kind.DATA, "its elements cannot be found"):
                dataset = open_dataset(self.file, path)
                if self._readable(dataset.get_type(), name, "the dataset"):
                    self._read(dataset, name)

    def _read(self, dataset: h5d.DatasetID, path: str) -> None:
        failures = 0
        for box in stored_boxes(dataset):
            self._reading(path)
            for part, error in self._read_block(dataset, box, path):
                failures += 1
                if self._unreadable(path, part, error):
                    return
                if failures == MOST_PER_DATASET:
                    self.found.problem(path, Kind.DATA, "so much is unreadable that the rest was not read")
                    return

    def _read_block(self, dataset: h5d.DatasetID, box: Box, path: str) -> Iterator[tuple[Box, BaseException]]:
        """Read one block; after a failure chunk by chunk, to name the bad ones."""
        try:
            values = read_box(dataset, box)
        except HDF5_ERRORS as error:
            chunks = chunks_of(dataset)
            parts = [box] if chunks is None else list(split(box, chunks))
            if len(parts) == 1:
                yield box, error
                return
            for part in parts:
                yield from self._read_block(dataset, part, path)
            return
        self.found.counts.bytes += values.size * values.itemsize
        self._references(values, dataset.get_type(), path, f"element in {box}" if box.count else "value")

    def _unreadable(self, path: str, box: Box, error: BaseException) -> bool:
        """Report it; whether the reason holds for the whole dataset."""
        lacking = [f"{m.id} ({m.name})" for m in self.found.missing_filters() if path in m.datasets]
        if lacking:
            detail = f"cannot be read: filter {', '.join(lacking)} is not available here"
            self.found.problem(path, Kind.FILTER, detail)
        else:
            where = f"elements {box}" if box.count else "its value"
            self.found.problem(path, Kind.DATA, f"{where} cannot be read: {reason(error)}")
        return bool(lacking)

    # --- references ---------------------------------------------------------------

    def _references(self, values: Array, tid: h5t.TypeID, path: str, label: str) -> None:
        if not has_pointers(tid):
            return
        for reference in references(values, tid):
            with self.found.guard(path, Kind.REFERENCE, f"{label} is a reference that leads nowhere"):
                obj = h5r.dereference(reference, self.file)
                self.referred.setdefault(identity(obj), f"{path}\0{label}")
                if isinstance(reference, h5r.RegionReference):
                    self._region(reference, path, label)

    def _region(self, reference: h5r.RegionReference, path: str, label: str) -> None:
        if not h5r.get_region(reference, self.file).select_valid():
            detail = f"{label} is a region reference to elements outside of its dataset"
            self.found.problem(path, Kind.REFERENCE, detail)

    def dangling(self) -> None:
        """Report the references whose object no link names: it has been deleted."""
        for key, place in self.referred.items():
            if key not in self.seen:
                path, label = place.split("\0", 1)
                detail = f"{label} is a reference to an object that is not in the file any more"
                self.found.problem(path, Kind.REFERENCE, detail)

    # --- progress -----------------------------------------------------------------

    def _reading(self, path: str) -> None:
        total = max(self.stored_bytes, self.found.counts.bytes)
        self._step("reading elements", total, "bytes", self.found.counts.bytes, path)

    def _step(self, task: str, total: int | None, unit: str, done: int, path: str) -> None:
        self.found.tell(ProgressEvent(task, done, total, unit), path)


def identity(obj: Any) -> tuple[int, int]:
    """What tells an object from all others, whatever name it was opened by."""
    info = h5o.get_info(obj)
    return int(info.fileno), int(info.addr)


def filter_available(number: int) -> bool:
    """Whether HDF5 can undo the filter, with the filters of hdf5plugin where installed."""
    if h5z.filter_avail(number):
        return True
    try:
        importlib.import_module("hdf5plugin")
    except ImportError:
        return False
    return bool(h5z.filter_avail(number))
