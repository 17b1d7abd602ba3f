"""What the tree is written into: the names that stand in the file already."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Literal, Protocol

import h5py
from h5py import h5d, h5g, h5i, h5l, h5o, h5r, h5s, h5t

from safeh5.microdata.stored import identity_of, name_of
from safeh5.operations.values import StoredReference

Kind = Literal["group", "dataset", "datatype", "link"]
"""What a path leads to; ``"link"`` is one that leads to nothing, or out of the file."""


class Namespace(Protocol):
    """The file as far as a tree that is to be written needs to know it."""

    @property
    def libver(self) -> tuple[str, str]:
        """Bounds of the format versions that the file is written in."""

    def kind(self, path: str) -> Kind | None:
        """What stands at `path`, soft links followed; None when nothing does."""

    def children(self, path: str) -> Iterable[str]:
        """The names in the group at `path`."""

    def dataset(self, path: str) -> h5d.DatasetID:
        """The dataset at `path`."""

    def datatype(self, path: str) -> h5t.TypeID:
        """The committed datatype at `path`."""

    def link(self, path: str) -> tuple[str, ...]:
        """The last link of `path`: ``("hard",)``, ``("soft", target)``, ``("external", file, target)``."""

    def same(self, path: str, other: str) -> bool:
        """Whether two paths lead to one object."""

    def path_of(self, object_id: Any) -> str | None:
        """The path of an h5py identifier's object, None unless it is in this file."""

    def describe(self, reference: h5r.Reference) -> StoredReference | None:
        """What a reference taken from this file refers to; None if it is null or dangling."""


_KINDS: dict[int, Kind] = {h5i.GROUP: "group", h5i.DATASET: "dataset", h5i.DATATYPE: "datatype"}


class FileNamespace:
    """The namespace of an open HDF5 file.

    Parameters
    ----------
    file : h5py.File
        The file; only read.
    """

    def __init__(self, file: h5py.File) -> None:
        self._root = h5g.open(file.id, b"/")
        self._number = identity_of(self._root)[0]
        self.libver: tuple[str, str] = tuple(file.libver)

    def kind(self, path: str) -> Kind | None:
        """What stands at `path`, soft links followed; None when nothing does."""
        if path == "/":
            return "group"
        if not self._linked(path):
            return None
        try:
            found = h5o.open(self._root, path.encode())
        except (KeyError, OSError, RuntimeError):
            # The link is there and leads nowhere: h5py says so in any of these.
            return "link"
        return _KINDS[h5i.get_type(found)] if identity_of(found)[0] == self._number else "link"

    def _linked(self, path: str) -> bool:
        """Whether every link on the way to `path` is there, the last one included."""
        place = b""
        for part in path.encode().strip(b"/").split(b"/"):
            place += b"/" + part
            try:
                if not self._root.links.exists(place):
                    return False
            except (KeyError, OSError, RuntimeError):
                return False
        return True

    def children(self, path: str) -> Iterable[str]:
        """The names in the group at `path`."""
        return [name.decode("utf-8", "surrogateescape") for name in h5g.open(self._root, path.encode())]

    def dataset(self, path: str) -> h5d.DatasetID:
        """The dataset at `path`."""
        return h5d.open(self._root, path.encode())

    def datatype(self, path: str) -> h5t.TypeID:
        """The committed datatype at `path`."""
        return h5t.open(self._root, path.encode())

    def link(self, path: str) -> tuple[str, ...]:
        """The last link of `path`: ``("hard",)``, ``("soft", target)``, ``("external", file, target)``."""
        name = path.encode()
        kind = self._root.links.get_info(name).type
        if kind == h5l.TYPE_HARD:
            return ("hard",)
        value = self._root.links.get_val(name)
        parts = value if isinstance(value, tuple) else (value,)
        texts = [os.fsdecode(part) for part in parts]
        return ("soft" if kind == h5l.TYPE_SOFT else "external", *texts)

    def same(self, path: str, other: str) -> bool:
        """Whether two paths lead to one object."""
        first, second = (h5o.open(self._root, name.encode()) for name in (path, other))
        return identity_of(first) == identity_of(second)

    def path_of(self, object_id: Any) -> str | None:
        """The path of an h5py identifier's object, None unless it is in this file."""
        return name_of(object_id) if identity_of(object_id)[0] == self._number else None

    def describe(self, reference: h5r.Reference) -> StoredReference | None:
        """What a reference taken from this file refers to; None if it is null or dangling."""
        found = dereference(reference, self._root)
        if found is None:
            return None
        path = name_of(found[0])
        return None if path is None else StoredReference(path, found[1])


def dereference(reference: h5r.Reference, owner: Any) -> tuple[Any, bytes | None] | None:
    """The object that `reference` refers to in the file of `owner`, and its region encoded.

    Returns
    -------
    (h5py identifier, bytes or None), or None
        None when the reference is null, or its object is gone.
    """
    if not reference:
        return None
    try:
        found = h5r.dereference(reference, owner)
        if found is None:
            return None
        if not isinstance(reference, h5r.RegionReference):
            return found, None
        region: h5s.SpaceID = h5r.get_region(reference, owner)
        return found, region.encode()
    except (KeyError, OSError, RuntimeError, ValueError, TypeError):
        # A dangling reference; h5py has no exception of its own for it.
        return None
