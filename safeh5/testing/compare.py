"""Comparing two HDF5 files, object by object, with h5py only.

This is the oracle of the tests: it shares nothing with the code that writes.
Two files are the same when an unbiased reader cannot tell them apart: the same
links, the same objects behind them (hard links by identity), exactly the same
datatypes, dataspaces, storage and filters, bit by bit the same values, and
references to the same object and elements. Where the bytes lie in the file,
and when it was written, does not count.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeAlias

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5i, h5o, h5r, h5t

from safeh5.testing import _facts as facts
from safeh5.testing._canonical import canonical, layout, padding_mask, same_type, selected
from safeh5.verify.elements import (
    HDF5_ERRORS,
    Array,
    Box,
    open_dataset,
    read_attribute,
    read_box,
    stored_boxes,
)

Place: TypeAlias = str | os.PathLike[str] | h5py.Group
"""A path of a file, or an open file or group."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two files differ.

    Attributes
    ----------
    path : str
        The object, by its path in the left file (below the compared group).
    what : str
        Which of its properties: ``"shape"``, ``"attribute x"``, ``"element (3, 4)"``...
    left, right : object
        What is there on either side; None where there is nothing.
    """

    path: str
    what: str
    left: Any
    right: Any

    def __str__(self) -> str:
        return f"{self.path}: {self.what}: {_short(self.left)} != {_short(self.right)}"


def differences(
    left: Place,
    right: Place,
    *,
    ignore_attrs: Collection[str] = (),
    ignore_paths: Collection[str] = (),
    ignore: Collection[str] = (),
    limit: int | None = 100,
) -> list[Difference]:
    """Everything in which two files, or two groups, differ.

    Parameters
    ----------
    left, right : path-like or h5py.Group
        Files by path (opened for reading), or open files or groups.
    ignore_attrs : collection of str
        Names of attributes that need not agree, on any object.
    ignore_paths : collection of str
        Paths (below the compared groups) of links that are left out.
    ignore : collection of str
        Properties that need not agree, by the word in `Difference.what`:
        ``"chunks"``, ``"filters"``, ``"allocation time"``, ``"link order"``...
    limit : int or None
        Stop after so many differences.

    Returns
    -------
    list of Difference
        Empty when the two are the same.
    """
    with ExitStack() as stack:
        sides = _Side(_group(left, stack)), _Side(_group(right, stack))
        found = _Comparison(*sides, ignore_attrs, ignore_paths).run()
        return list(islice((d for d in found if d.what not in ignore), limit))


def assert_same(left: Place, right: Place, **options: Any) -> None:
    """Raise AssertionError with a list of the differences, if there are any.

    The options are those of `differences`.
    """
    found = differences(left, right, **options)
    if found:
        lines = "\n".join(f"  {difference}" for difference in found)
        raise AssertionError(f"{left} and {right} differ:\n{lines}")


def _group(place: Place, stack: ExitStack) -> h5py.Group:
    if isinstance(place, h5py.Group):
        return place
    return stack.enter_context(h5py.File(place, "r"))


class _Side:
    """One of the two groups, and the name by which each object was first met."""

    def __init__(self, group: h5py.Group) -> None:
        self.root: h5g.GroupID = h5o.open(group.id, b".")  # the id of a File is no plain GroupID
        self.file: h5f.FileID = h5i.get_file_id(group.id)
        self.names: dict[facts.Key, str] = {}

    def resolve(self, reference: Any) -> Any:
        """What a reference refers to: a path, and the elements of a region."""
        try:
            obj = h5r.dereference(reference, self.file)
            path = self.name(obj)
            if isinstance(reference, h5r.RegionReference):
                return path, selected(h5r.get_region(reference, self.file))
        except HDF5_ERRORS as error:
            return f"dangling: {error}"
        return path

    def comment(self, obj: Any) -> bytes:
        # h5py's h5o.get_comment returns what happens to lie in memory; this one is well.
        return bytes(self.file.get_comment(h5i.get_name(obj)))

    def name(self, obj: Any) -> str:
        """The first name of an object; outside of the group, its absolute one."""
        known = self.names.get(facts.key(obj))
        return known if known is not None else "outside:" + facts.text(h5i.get_name(obj) or b"(no name)")


@dataclass(frozen=True, slots=True)
class _Pair:
    path: str
    left: Any
    right: Any


class _Comparison:
    """Walks both sides at once; all names first, since references need them."""

    def __init__(
        self, left: _Side, right: _Side, ignore_attrs: Collection[str], ignore_paths: Collection[str]
    ) -> None:
        self.left, self.right = left, right
        self.ignore_attrs = frozenset(name.encode() for name in ignore_attrs)
        self.ignore_paths = frozenset(ignore_paths)

    def run(self) -> Iterator[Difference]:
        pairs: list[_Pair] = []
        yield from self._links(pairs)
        for pair in pairs:
            yield from self._object(pair)

    # --- links ----------------------------------------------------------------------

    def _links(self, pairs: list[_Pair]) -> Iterator[Difference]:
        stack: list[tuple[str, Any, Any]] = [("/", self.left.root, self.right.root)]
        while stack:
            path, a, b = stack.pop()
            first = (
                self.left.names.setdefault(facts.key(a), path),
                self.right.names.setdefault(facts.key(b), path),
            )
            if first != (path, path):
                if first[0] != first[1]:
                    yield Difference(path, "hard link", *first)
                continue
            pairs.append(_Pair(path, a, b))
            if facts.kind(a) != facts.kind(b):
                yield Difference(path, "kind", facts.kind(a), facts.kind(b))
            elif isinstance(a, h5g.GroupID):
                yield from self._children(path, a, b, stack)

    def _children(self, path: str, a: Any, b: Any, stack: list[tuple[str, Any, Any]]) -> Iterator[Difference]:
        for name in sorted({*facts.link_names(a), *facts.link_names(b)}, reverse=True):
            child = path.rstrip("/") + "/" + facts.text(name)
            if child in self.ignore_paths:
                continue
            links = facts.link(a, name), facts.link(b, name)
            if links[0] != links[1]:
                yield Difference(child, "link", *links)
            elif links[0] == "hard":
                stack.append((child, h5o.open(a, name), h5o.open(b, name)))

    # --- objects --------------------------------------------------------------------

    def _object(self, pair: _Pair) -> Iterator[Difference]:
        path, a, b = pair.path, pair.left, pair.right
        if facts.kind(a) == facts.kind(b):
            if isinstance(a, h5d.DatasetID):
                yield from self._dataset(path, a, b)
            elif isinstance(a, h5g.GroupID):
                yield from self._group_properties(path, a, b)
            elif not same_type(a, b):
                yield Difference(path, "type", facts.type_text(a), facts.type_text(b))
        yield from _differ(path, "comment", self.left.comment(a), self.right.comment(b))
        yield from self._attributes(path, a, b)

    def _group_properties(self, path: str, a: Any, b: Any) -> Iterator[Difference]:
        plists = a.get_create_plist(), b.get_create_plist()
        orders = [p.get_link_creation_order() for p in plists]
        yield from _differ(path, "link order", *orders)
        yield from _differ(path, "attribute order", *(p.get_attr_creation_order() for p in plists))
        if all(orders):
            kept = [[n for n in facts.link_names(x, tracked=True) if self._kept(path, n)] for x in (a, b)]
            if set(kept[0]) == set(kept[1]):
                yield from _differ(path, "order of links", *kept)

    def _kept(self, path: str, name: bytes) -> bool:
        return path.rstrip("/") + "/" + facts.text(name) not in self.ignore_paths

    def _dataset(self, path: str, a: h5d.DatasetID, b: h5d.DatasetID) -> Iterator[Difference]:
        extents = facts.extent(a), facts.extent(b)
        yield from _differ(path, "space", extents[0][0], extents[1][0])
        yield from _differ(path, "shape", extents[0][1], extents[1][1])
        yield from _differ(path, "maxshape", extents[0][2], extents[1][2])
        types = a.get_type(), b.get_type()
        alike = same_type(*types)
        if not alike:
            yield Difference(path, "type", *map(facts.type_text, types))
        yield from self._committed(path, "committed type", *types)
        properties = layout(a), layout(b)
        for what in properties[0]:
            yield from _differ(path, what, properties[0][what], properties[1][what])
        if alike and extents[0][:2] == extents[1][:2]:
            yield from self._elements(path, h5i.get_name(a), h5i.get_name(b))

    def _committed(self, path: str, what: str, a: h5t.TypeID, b: h5t.TypeID) -> Iterator[Difference]:
        names = [side.name(t) if t.committed() else None for side, t in ((self.left, a), (self.right, b))]
        yield from _differ(path, what, *names)

    def _elements(self, path: str, name_a: bytes, name_b: bytes) -> Iterator[Difference]:
        """The first element that differs, if one does; block by block."""
        a, b = open_dataset(self.left.file, name_a), open_dataset(self.right.file, name_b)
        for box in _stored_in_either(a, b):
            left, right = _read(a, box), _read(b, box)
            if isinstance(left, str) or isinstance(right, str):
                # Raw data kept in other files may be missing: on both sides that is the same.
                if not (isinstance(left, str) and isinstance(right, str)):
                    yield Difference(path, f"elements {box}", *map(_readable, (left, right)))
                continue
            found = self._first_unequal(left, right, a.get_type(), b.get_type())
            if found is not None:
                index, *values = found
                where = tuple(map(int, np.unravel_index(index, box.count))) if box.count else ()
                element = tuple(s + i for s, i in zip(box.start, where, strict=True))
                yield Difference(path, f"element {element}", *values)
                return

    def _first_unequal(
        self, a: Array, b: Array, ta: h5t.TypeID, tb: h5t.TypeID
    ) -> tuple[int, Any, Any] | None:
        if a.dtype.kind == "V" and a.dtype.names is None and _same_bytes(a, b, ta):
            return None
        left, right = canonical(a, ta, self.left.resolve), canonical(b, tb, self.right.resolve)
        return next(((i, x, y) for i, (x, y) in enumerate(zip(left, right, strict=True)) if x != y), None)

    # --- attributes -----------------------------------------------------------------

    def _attributes(self, path: str, a: Any, b: Any) -> Iterator[Difference]:
        names = [n for n in facts.attribute_names(a) if n not in self.ignore_attrs]
        others = [n for n in facts.attribute_names(b) if n not in self.ignore_attrs]
        for name in sorted(set(names) | set(others)):
            what = f"attribute {facts.text(name)}"
            if name not in names or name not in others:
                yield Difference(path, what, *("present" if name in has else None for has in (names, others)))
            else:
                yield from self._attribute(path, what, h5a.open(a, name), h5a.open(b, name))
        if set(names) == set(others) and facts.tracks_attributes(a) and facts.tracks_attributes(b):
            yield from _differ(path, "order of attributes", names, others)

    def _attribute(self, path: str, what: str, a: h5a.AttrID, b: h5a.AttrID) -> Iterator[Difference]:
        types, extents = (a.get_type(), b.get_type()), (facts.extent(a), facts.extent(b))
        yield from self._committed(path, f"committed type of {what}", *types)
        if not same_type(*types):
            yield Difference(path, f"type of {what}", *map(facts.type_text, types))
        elif extents[0] != extents[1]:
            yield Difference(path, f"space of {what}", *extents)
        else:
            values = read_attribute(a), read_attribute(b)
            if values[0] is not None and values[1] is not None:
                found = self._first_unequal(values[0], values[1], *types)
                if found is not None:
                    yield Difference(path, f"value of {what}", found[1], found[2])


# --- values and words ---------------------------------------------------------------


def _stored_in_either(a: h5d.DatasetID, b: h5d.DatasetID) -> Iterator[Box]:
    """Boxes that cover what is stored on either side.

    Both are asked, because what one side never wrote may hold values other
    than the fill value on the other.
    """
    read = set()
    for box in chain(stored_boxes(a), stored_boxes(b)):
        if box not in read:
            read.add(box)
            yield box


def _read(dataset: h5d.DatasetID, box: Box) -> Array | str:
    """The elements, or what HDF5 says when they cannot be read."""
    try:
        return read_box(dataset, box)
    except HDF5_ERRORS as error:
        return str(error)


def _readable(values: Array | str) -> str:
    return f"unreadable: {values}" if isinstance(values, str) else "readable"


def _same_bytes(a: Array, b: Array, tid: h5t.TypeID) -> bool:
    if a.tobytes() == b.tobytes():
        return True
    used = padding_mask(tid)
    if used is None:
        return False
    x, y = (np.ascontiguousarray(v).reshape(-1).view(np.uint8).reshape(-1, used.size) for v in (a, b))
    return bool(np.array_equal(x & used, y & used))


def _differ(path: str, what: str, left: Any, right: Any) -> Iterator[Difference]:
    if left != right:
        yield Difference(path, what, left, right)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:197] + "..."
