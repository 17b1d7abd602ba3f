"""Values of two files in a form in which equal means: the same bits, the same referents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5d, h5s, h5t

Array = npt.NDArray[Any]
Resolve = Callable[[Any], Any]
"""Turns a reference into something comparable: the path and elements it refers to."""

LARGEST_MASK = 1 << 24
"""Selections in extents up to this many elements are compared element by element."""


def same_type(left: h5t.TypeID, right: h5t.TypeID) -> bool:
    """Whether two types are exactly the same.

    The same type has different encodings when the files were written for
    different library versions, and HDF5's own equality overlooks the character
    set of variable-length strings: so what differs in encoding is taken apart.
    """
    return bool(left.encode() == right.encode() or describe_type(left) == describe_type(right))


def describe_type(tid: h5t.TypeID) -> tuple[Any, ...]:
    """All that HDF5 knows about a type, comparable."""
    kind, size = tid.get_class(), tid.get_size()
    if kind in (h5t.COMPOUND, h5t.ENUM):
        members = range(tid.get_nmembers())
        if kind == h5t.ENUM:
            named = tuple((tid.get_member_name(i), tid.get_member_value(i)) for i in members)
            return ("enum", named, describe_type(tid.get_super()))
        return (
            "compound",
            size,
            *(
                (tid.get_member_name(i), tid.get_member_offset(i), describe_type(tid.get_member_type(i)))
                for i in members
            ),
        )
    if kind == h5t.ARRAY:
        return ("array", tid.get_array_dims(), describe_type(tid.get_super()))
    if kind == h5t.VLEN:
        return ("sequence", describe_type(tid.get_super()))
    if kind == h5t.STRING:
        return ("string", None if tid.is_variable_str() else size, tid.get_cset(), tid.get_strpad())
    if kind == h5t.OPAQUE:
        return ("opaque", size, tid.get_tag())
    return (kind, size, *_atomic(tid, kind))


def _atomic(tid: h5t.TypeID, kind: int) -> tuple[Any, ...]:
    if kind not in (h5t.INTEGER, h5t.FLOAT, h5t.BITFIELD):
        return (tid.encode(),)
    facts = (tid.get_order(), tid.get_precision(), tid.get_offset(), tid.get_pad())
    if kind == h5t.INTEGER:
        return (*facts, tid.get_sign())
    if kind == h5t.FLOAT:
        return (*facts, tid.get_fields(), tid.get_ebias(), tid.get_norm(), tid.get_inpad())
    return facts


def canonical(values: Array, tid: h5t.TypeID, resolve: Resolve) -> list[Any]:
    """One comparable Python value per element.

    Parameters
    ----------
    values : ndarray
        As `safeh5.verify.elements.read_box` gives them.
    tid : h5t.TypeID
        Their type.
    resolve : callable
        Applied to each reference that is not null.
    """
    kind = tid.get_class()
    if values.dtype.kind == "V" and values.dtype.names is None:
        return _opaque(values, tid)
    if kind == h5t.REFERENCE:
        return [resolve(value) if value else None for value in values.flat]
    if kind == h5t.STRING:
        return [_bytes(value) for value in values.flat]
    if kind == h5t.ARRAY:
        size = int(np.prod(tid.get_array_dims()))
        flat = canonical(values, tid.get_super(), resolve)
        return [tuple(flat[i : i + size]) for i in range(0, len(flat), size)]
    if kind == h5t.VLEN:
        return [_sequence(value, tid.get_super(), resolve) for value in values.flat]
    if kind == h5t.COMPOUND:
        names = values.dtype.names or ()
        columns = [canonical(values[n], tid.get_member_type(i), resolve) for i, n in enumerate(names)]
        return list(zip(*columns, strict=True))
    flat_values = np.ascontiguousarray(values).reshape(-1)
    return [value.tobytes() for value in flat_values]


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return b"" if value is None or (isinstance(value, int) and value == 0) else bytes(value)


def _sequence(value: Any, base: h5t.TypeID, resolve: Resolve) -> tuple[Any, ...]:
    return tuple(canonical(value, base, resolve)) if isinstance(value, np.ndarray) else ()


def _opaque(values: Array, tid: h5t.TypeID) -> list[Any]:
    """Bytes of each element, padding between compound members set to zero."""
    width = values.dtype.itemsize
    used = np.zeros(width, np.uint8)
    _mark(tid, used, 0)
    flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8).reshape(-1, width)
    data = (flat & used).tobytes()
    return [data[i : i + width] for i in range(0, len(data), width)]


def padding_mask(tid: h5t.TypeID) -> npt.NDArray[np.uint8] | None:
    """255 for every byte of an element that means something; None when all do."""
    used = np.zeros(tid.get_size(), np.uint8)
    _mark(tid, used, 0)
    return None if used.all() else used


def _mark(tid: h5t.TypeID, used: npt.NDArray[np.uint8], offset: int) -> None:
    kind = tid.get_class()
    if kind == h5t.COMPOUND:
        for i in range(tid.get_nmembers()):
            _mark(tid.get_member_type(i), used, offset + tid.get_member_offset(i))
    elif kind == h5t.ARRAY:
        base = tid.get_super()
        for i in range(int(np.prod(tid.get_array_dims()))):
            _mark(base, used, offset + i * base.get_size())
    else:
        used[offset : offset + tid.get_size()] = 255


# --- selections ---------------------------------------------------------------------


def selected(space: h5s.SpaceID) -> tuple[Any, ...]:
    """The selected elements of a dataspace, comparable; how they were selected does not count."""
    shape = tuple(space.shape)
    if space.get_select_type() == h5s.SEL_POINTS:
        points = space.get_select_elem_pointlist()
        return (shape, "points", tuple(map(tuple, points.tolist())))
    if space.get_select_type() == h5s.SEL_NONE:
        return (shape, "elements", b"")
    if space.get_select_type() == h5s.SEL_ALL or space.get_select_npoints() == np.prod(shape, dtype=object):
        return (shape, "all")
    # With NumPy 1 unsigned numbers and Python's make floats.
    blocks = space.get_select_hyper_blocklist().astype(np.int64)
    if np.prod(shape, dtype=object) > LARGEST_MASK:
        return (shape, "blocks", tuple(sorted(tuple(map(tuple, block)) for block in blocks.tolist())))
    mask = np.zeros(shape, bool)
    for first, last in blocks:
        mask[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))] = True
    return (shape, "elements", np.packbits(mask).tobytes())


# --- properties of datasets -----------------------------------------------------------


def fill_value(dataset: h5d.DatasetID) -> Any:
    """The fill value of a dataset, comparable; None when none is defined."""
    plist = dataset.get_create_plist()
    defined = plist.fill_value_defined()
    if defined == h5d.FILL_VALUE_UNDEFINED:
        return "undefined"
    if dataset.get_type().detect_class(h5t.REFERENCE):
        return "null"  # HDF5 has no other fill value for references
    out = np.zeros((1,), dataset.dtype)
    try:
        plist.get_fill_value(out)
    except (TypeError, ValueError, OSError, RuntimeError):
        return "unreadable"
    return out.tobytes() if not out.dtype.hasobject else repr(out.tolist())


def layout(dataset: h5d.DatasetID) -> dict[str, Any]:
    """The creation properties of a dataset, each comparable, by name."""
    plist = dataset.get_create_plist()
    kind = plist.get_layout()
    return {
        "layout": {h5d.COMPACT: "compact", h5d.CONTIGUOUS: "contiguous", h5d.CHUNKED: "chunked"}.get(
            kind, "virtual"
        ),
        "chunks": tuple(plist.get_chunk()) if kind == h5d.CHUNKED else None,
        "filters": tuple(plist.get_filter(i)[:3] for i in range(plist.get_nfilters())),
        "fill value": fill_value(dataset),
        "fill time": plist.get_fill_time(),
        "allocation time": plist.get_alloc_time(),
        "external storage": tuple(plist.get_external(i) for i in range(plist.get_external_count())),
        "virtual sources": _sources(plist) if kind == h5d.VIRTUAL else (),
        "attribute order": plist.get_attr_creation_order(),
    }


def _sources(plist: Any) -> tuple[Any, ...]:
    return tuple(
        (
            plist.get_virtual_filename(i),
            plist.get_virtual_dsetname(i),
            plist.get_virtual_vspace(i).encode(),
            plist.get_virtual_srcspace(i).encode(),
        )
        for i in range(plist.get_virtual_count())
    )
