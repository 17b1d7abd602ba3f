"""NumPy and Python values as what an operation carries: a type, a space, bytes.

Most values are left to h5py to understand (see `scratch`). Here is what h5py
does not take or does not check: references to nodes, NumPy's own strings, and
objects that HDF5 would refuse only after they were journaled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5r, h5t

from safeh5.errors import InvalidTypeError
from safeh5.microdata.nodes import MicroData, Reference
from safeh5.microdata.scratch import Scratch
from safeh5.microdata.stored import StoredAttribute
from safeh5.operations.values import Describe, decode_type, encode_shape, encode_type

Array = npt.NDArray[Any]

_HEADER_LIMIT = 60_000
"""An attribute above this size may not fit an object header; HDF5 is asked."""


# --- attributes -------------------------------------------------------------------


def make_attribute(scratch: Scratch, value: Any) -> StoredAttribute:
    """The attribute that `value` makes; references in it are not looked at yet.

    Raises
    ------
    TypeError, ValueError, OSError, InvalidTypeError
        If HDF5 cannot hold the value.
    """
    if isinstance(value, StoredAttribute):
        if _size(value) > _HEADER_LIMIT:
            scratch.try_attribute(value)
        return value
    references = reference_array(value, _REFERRING)
    if references is not None:
        return StoredAttribute(encode_type(references.dtype), encode_shape(references.shape), references)
    return scratch.attribute(_with_strings(value))


def _size(attribute: StoredAttribute) -> int:
    """Bytes that the value takes in the object's header."""
    if isinstance(attribute.values, bytes):
        return len(attribute.values)
    return int(attribute.values.size) * int(decode_type(attribute.type).get_size())


def _with_strings(value: Any) -> Any:
    """`value`, NumPy strings turned into the ones that h5py takes."""
    if isinstance(value, np.str_):
        return str(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "UT":
        return value.astype(object).astype(h5py.string_dtype())
    return value


def reference_array(value: Any, kinds: tuple[type, ...]) -> Array | None:
    """`value` as an array of references, None when it holds none; `kinds` are what refers."""
    if isinstance(value, np.ndarray):
        if _refers(value.dtype):
            return value
        if value.dtype != object:
            return None
        items, shape = list(value.flat), value.shape
    elif isinstance(value, (list, tuple)):
        items, shape = list(value), (len(value),)
    else:
        items, shape = [value], ()
    if not any(isinstance(item, kinds) for item in items):
        return None
    out = np.empty(len(items), dtype=_reference_dtype(items))
    for i, item in enumerate(items):
        out[i] = item
    return out.reshape(shape)


def _refers(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype of h5py's holds references."""
    if not dtype.hasobject:
        return False
    try:
        return bool(h5t.py_create(dtype, logical=True).detect_class(h5t.REFERENCE))
    except TypeError:
        return False


REFERENCES: tuple[type, ...] = (MicroData, Reference, h5r.Reference)
"""What is a reference and nothing else."""

_REFERRING = (*REFERENCES, h5py.Group, h5py.Dataset, h5py.Datatype)
"""What an attribute takes for a reference: an h5py dataset among data stands for its values."""


def _is_region(value: Any) -> bool:
    return isinstance(value, h5r.RegionReference) or (
        isinstance(value, Reference) and value.region is not None
    )


def _reference_dtype(items: list[Any]) -> np.dtype[Any]:
    present = [item for item in items if item is not None]
    odd = next((item for item in present if not isinstance(item, _REFERRING)), None)
    if odd is not None:
        raise InvalidTypeError(f"a {type(odd).__name__} stands among references")
    regions = [_is_region(item) for item in present]
    if any(regions) and not all(regions):
        raise InvalidTypeError("object references and region references stand in one array")
    dtype: np.dtype[Any] = h5py.regionref_dtype if regions[0] else h5py.ref_dtype
    return dtype


# --- what HDF5 would refuse too late -----------------------------------------------


def as_bytes(value: Any) -> bytes:
    """The bytes of a string value; None and 0 are the empty string, as in h5py.

    Raises
    ------
    InvalidTypeError
        If it is no string, or one that HDF5 would cut short.
    """
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    elif value is None or (isinstance(value, int) and value == 0):
        value = b""
    if not isinstance(value, bytes):
        raise InvalidTypeError(f"a {type(value).__name__} stands where a string is wanted")
    if b"\0" in value:
        raise InvalidTypeError("a variable-length string holds a NUL, where HDF5 would end it")
    return bytes(value)


def check_values(values: Array, tid: h5t.TypeID, describe: Describe) -> None:
    """Raise `InvalidTypeError` or `InvalidTreeError` for objects that are none of type `tid`."""
    for leaf, kind in leaves(values, tid):
        if kind == h5t.STRING:
            for value in leaf.flat:
                as_bytes(value)
        else:
            for value in leaf.flat:
                describe(value)


def leaves(values: Array, tid: h5t.TypeID) -> Iterator[tuple[Array, int]]:
    """The arrays of strings and of references inside values of type `tid`."""
    kind = tid.get_class()
    if kind == h5t.STRING and tid.is_variable_str():
        yield values, h5t.STRING
    elif kind == h5t.REFERENCE:
        yield values, h5t.REFERENCE
    elif kind == h5t.ARRAY:
        yield from leaves(values, tid.get_super())
    elif kind == h5t.VLEN:
        base = tid.get_super()
        for row in values.flat:
            yield from leaves(_row(row, base), base)
    elif kind == h5t.COMPOUND:
        for i, name in enumerate(values.dtype.names or ()):
            yield from leaves(values[name], tid.get_member_type(i))


def words(tid: h5t.TypeID) -> str:
    """An HDF5 type in words."""
    try:
        return str(tid.dtype)
    except TypeError:
        return f"HDF5 type of class {tid.get_class()}"


def _row(row: Any, base: h5t.TypeID) -> Array:
    try:
        return np.asarray([] if row is None else row, dtype=base.dtype).reshape(-1)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(f"{row!r} is no sequence of {words(base)}: {error}") from error
