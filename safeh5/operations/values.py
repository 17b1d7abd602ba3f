"""Values, datatypes and dataspaces as bytes, exactly as HDF5 means them.

Most values are *raw*: the bytes that HDF5 would read from memory, described
by an encoded datatype. Values that hold pointers (variable-length strings and
sequences, references) have no such bytes and are *packed*: MessagePack,
column by column, with references as path plus selection.

Packed form of ``n`` elements of a datatype
-------------------------------------------
==================  ======================================================
datatype            packed as
==================  ======================================================
no pointers inside  one bin: the NumPy array's bytes
vlen string         n times bin
vlen sequence       [[length, ...], packed form of all elements in a row]
compound            [packed form of each member, in order]
array               packed form of its elements in a row
object reference    n times (str: path | nil)
region reference    n times ([str: path, bin: encoded dataspace] | nil)
==================  ======================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from h5py import h5r, h5s, h5t

from safeh5.errors import InvalidTypeError, JournalError


@dataclass(frozen=True, slots=True)
class StoredReference:
    """An HDF5 reference as it is journaled: a path, and a region or None.

    Attributes
    ----------
    path : str
        Absolute path of the object referred to.
    selection : bytes or None
        Encoded dataspace with the selected elements, for a region reference.
    """

    path: str
    selection: bytes | None = None


Describe = Callable[[Any], StoredReference | None]
"""Turns what stands in an array for a reference into a `StoredReference`."""

MakeReference = Callable[[StoredReference], Any]
"""Turns a `StoredReference` into an h5py reference in the file at hand."""


def encode_type(dtype: npt.DTypeLike | h5t.TypeID) -> bytes:
    """The HDF5 encoding of a NumPy dtype or of an h5py type."""
    encoded: bytes = _type_of(dtype).encode()
    return encoded


def _type_of(dtype: npt.DTypeLike | h5t.TypeID) -> h5t.TypeID:
    if isinstance(dtype, h5t.TypeID):
        return dtype
    try:
        return h5t.py_create(np.dtype(dtype), logical=True)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(f"HDF5 cannot hold the data type {dtype!r}: {error}") from error


@lru_cache(maxsize=1024)
def decode_type(encoded: bytes) -> h5t.TypeID:
    """The h5py type of an encoding; shared, so treat it as read only."""
    return _mend(h5t.decode(encoded))


def _mend(tid: h5t.TypeID) -> h5t.TypeID:
    """`tid` with the references inside variable-length sequences made usable.

    HDF5 decodes a reference below a sequence into one that equals neither
    ``H5T_STD_REF_OBJ`` nor ``H5T_STD_REF_DSETREG`` (found with HDF5 2.0), and
    h5py then knows no NumPy type for it; the same reference decoded alone is well.
    """
    if not (tid.detect_class(h5t.VLEN) and tid.detect_class(h5t.REFERENCE)):
        return tid
    kind = tid.get_class()
    if kind == h5t.VLEN:
        return h5t.vlen_create(decode_type(tid.get_super().encode()))
    if kind == h5t.ARRAY:
        return h5t.array_create(_mend(tid.get_super()), tid.get_array_dims())
    mended = h5t.create(h5t.COMPOUND, tid.get_size())
    for i in range(tid.get_nmembers()):
        mended.insert(tid.get_member_name(i), tid.get_member_offset(i), _mend(tid.get_member_type(i)))
    return mended


@lru_cache(maxsize=1024)
def decode_space(encoded: bytes) -> h5s.SpaceID:
    """The h5py dataspace of an encoding; shared, so treat it as read only."""
    return h5s.decode(encoded)


def encode_shape(shape: tuple[int, ...] | None, maxshape: tuple[int | None, ...] | None = None) -> bytes:
    """The encoded dataspace of an extent; None is the null dataspace."""
    encoded: bytes = _space_of(shape, maxshape).encode()
    return encoded


def _space_of(shape: tuple[int, ...] | None, maxshape: tuple[int | None, ...] | None) -> h5s.SpaceID:
    if shape is None:
        return h5s.create(h5s.NULL)
    if shape == ():
        return h5s.create(h5s.SCALAR)
    limits = None if maxshape is None else tuple(h5s.UNLIMITED if m is None else m for m in maxshape)
    return h5s.create_simple(shape, limits)


@lru_cache(maxsize=1024)
def is_plain(encoded: bytes) -> bool:
    """Whether values of this type are raw bytes: no pointers anywhere inside."""
    return _plain(decode_type(encoded))


def _plain(tid: h5t.TypeID) -> bool:
    kind = tid.get_class()
    if kind in (h5t.VLEN, h5t.REFERENCE):
        return False
    if kind == h5t.STRING:
        return not tid.is_variable_str()
    if kind == h5t.ARRAY:
        return _plain(tid.get_super())
    if kind == h5t.COMPOUND:
        return all(_plain(tid.get_member_type(i)) for i in range(tid.get_nmembers()))
    return True


# --- packing --------------------------------------------------------------------


def pack(values: npt.NDArray[Any], encoded_type: bytes, describe: Describe) -> bytes:
    """The packed form of `values`.

    Parameters
    ----------
    values : ndarray, any shape
        As h5py would read them: objects for strings, sequences and references.
    encoded_type : bytes
        Their HDF5 type.
    describe : callable
        Says what each reference refers to.
    """
    return msgspec.msgpack.encode(_pack(values.reshape(-1), encoded_type, describe))


def packed_string(value: str) -> bytes:
    """The packed form of one variable-length string in UTF-8; `UnicodeEncodeError` if it has none."""
    return packed_strings([value.encode("utf-8")])


def packed_strings(values: list[bytes]) -> bytes:
    """The packed form of variable-length strings."""
    return msgspec.msgpack.encode(values)


def _pack(flat: npt.NDArray[Any], encoded: bytes, describe: Describe) -> Any:
    if is_plain(encoded):
        # The elements of an array type stand in `flat` one by one.
        return np.ascontiguousarray(flat, dtype=_dtype_of(encoded).base).tobytes()
    kind = decode_type(encoded).get_class()
    if kind == h5t.STRING:
        return [_as_bytes(value) for value in flat]
    if kind == h5t.VLEN:
        return _pack_sequences(flat, inner(encoded), describe)
    if kind == h5t.ARRAY:
        return _pack(flat.reshape(-1), inner(encoded), describe)
    if kind == h5t.COMPOUND:
        return [_pack(flat[name].reshape(-1), member, describe) for name, member in members(encoded)]
    return [_pack_reference(value, describe) for value in flat]


@lru_cache(maxsize=1024)
def _dtype_of(encoded: bytes) -> np.dtype[Any]:
    found: np.dtype[Any] = decode_type(encoded).dtype
    return found


@lru_cache(maxsize=1024)
def inner(encoded: bytes) -> bytes:
    """The type of the elements of an array or a sequence; both encoded."""
    made: bytes = decode_type(encoded).get_super().encode()
    return made


@lru_cache(maxsize=1024)
def members(encoded: bytes) -> tuple[tuple[str, bytes], ...]:
    """Name and encoded type of each member of a compound."""
    tid = decode_type(encoded)
    return tuple(
        (tid.get_member_name(i).decode(), tid.get_member_type(i).encode()) for i in range(tid.get_nmembers())
    )


def _pack_sequences(flat: npt.NDArray[Any], base: bytes, describe: Describe) -> Any:
    dtype = _dtype_of(base)
    rows = [np.asarray([] if row is None else row, dtype=dtype).reshape(-1) for row in flat]
    joined = np.concatenate(rows) if rows else np.empty(0, dtype)
    return [[len(row) for row in rows], _pack(joined, base, describe)]


def _as_bytes(value: Any) -> bytes:
    """A variable-length string's bytes; h5py writes None and 0 as the empty string."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return b"" if value is None or (isinstance(value, int) and value == 0) else bytes(value)


def _pack_reference(value: Any, describe: Describe) -> Any:
    stored = None if value is None or (isinstance(value, int) and value == 0) else describe(value)
    if stored is None:
        return None
    return stored.path if stored.selection is None else [stored.path, stored.selection]


def unpack(
    packed: bytes | memoryview, encoded_type: bytes, shape: tuple[int, ...], make: MakeReference
) -> npt.NDArray[Any]:
    """The array that `pack` was given, with references made by `make`."""
    try:
        content = msgspec.msgpack.decode(packed)
        count = math.prod(shape)
        return _unpack(content, decode_type(encoded_type), count, make).reshape(shape)
    except (msgspec.MsgspecError, TypeError, ValueError, IndexError) as error:
        raise JournalError(f"a packed value does not fit its datatype: {error}") from error


def _unpack(content: Any, tid: h5t.TypeID, count: int, make: MakeReference) -> npt.NDArray[Any]:
    kind = tid.get_class()
    if kind == h5t.ARRAY:
        dims = tid.get_array_dims()
        inner = _unpack(content, tid.get_super(), count * int(np.prod(dims)), make)
        return inner.reshape((count, *dims))
    if _plain(tid):
        return np.frombuffer(content, dtype=tid.dtype, count=count)
    if kind == h5t.COMPOUND:
        out = np.empty(count, dtype=tid.dtype)
        for i, column in enumerate(content):
            out[tid.get_member_name(i).decode()] = _unpack(column, tid.get_member_type(i), count, make)
        return out
    out = np.empty(count, dtype=tid.dtype)
    if kind == h5t.STRING:
        out[:] = content
    elif kind == h5t.VLEN:
        _fill_sequences(out, content, tid.get_super(), make)
    else:
        for i, item in enumerate(content):
            out[i] = _unpack_reference(item, tid, make)
    return out


def _fill_sequences(out: npt.NDArray[Any], content: Any, base: h5t.TypeID, make: MakeReference) -> None:
    lengths, joined = content
    elements = _unpack(joined, base, sum(lengths), make)
    start = 0
    for i, length in enumerate(lengths):
        out[i] = elements[start : start + length]
        start += length


def _unpack_reference(item: Any, tid: h5t.TypeID, make: MakeReference) -> Any:
    if item is None:
        return h5r.RegionReference() if tid == h5t.STD_REF_DSETREG else h5r.Reference()
    return make(StoredReference(item) if isinstance(item, str) else StoredReference(item[0], item[1]))
