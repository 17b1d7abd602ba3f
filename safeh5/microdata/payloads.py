"""Blocks of data as the payloads of operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from h5py import h5t

from safeh5.errors import InvalidTypeError
from safeh5.microdata.values import Array, as_bytes, check_values, words
from safeh5.operations.values import Describe, decode_type, encode_type, is_plain, pack


@dataclass(frozen=True, slots=True)
class Payload:
    """A block as an operation carries it.

    Attributes
    ----------
    type : bytes
        What the bytes are, as HDF5 encodes it.
    data : buffer
        The bytes, or the packed form; a view on an array that it keeps alive.
    packed : bool
        Which of the two.
    """

    type: bytes
    data: bytes | memoryview
    packed: bool


def payload_of(block: Any, file_type: bytes, describe: Describe) -> Payload:
    """A block of values for a dataset of type `file_type`.

    Numbers keep their own type, HDF5 converts them; so an array that lies in
    one piece is not copied.

    Raises
    ------
    InvalidTypeError
        If the values cannot become that type.
    """
    if not is_plain(file_type):
        values = objects(block, file_type)
        check_values(values, decode_type(file_type), describe)
        return Payload(file_type, pack(values, file_type, describe), True)
    array, memory_type = _raw(np.asarray(block), file_type)
    return Payload(memory_type, as_buffer(array), False)


def as_buffer(array: Array) -> memoryview:
    """The bytes of an array; a copy only when it does not lie in one piece."""
    # As bytes, since the buffer protocol has no names for some types.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def check_dtype(dtype: np.dtype[Any], file_type: bytes) -> None:
    """Raise `InvalidTypeError` unless blocks of `dtype` can become `file_type`."""
    if is_plain(file_type):
        if not dtype.hasobject:
            _raw(np.empty(0, dtype), file_type)
    else:
        objects(np.empty(0, dtype), file_type)


def _raw(array: Array, file_type: bytes) -> tuple[Array, bytes]:
    """Plain values and their type, converted here only where HDF5 does not or not well."""
    target = decode_type(file_type)
    if array.dtype.hasobject or array.dtype.kind in "UT":
        array = _from_objects(array, target)
    if target.get_class() == h5t.FLOAT and target.get_size() == 2:
        array = np.asarray(array, dtype=target.dtype)  # see h5py issue 819
    memory_type = _string_type(array, target) or encode_type(array.dtype)
    if memory_type != file_type and not converts(decode_type(memory_type), target):
        if not _widens(array.dtype, target):
            raise InvalidTypeError(f"HDF5 converts no {array.dtype} into {words(target)}")
        array = np.asarray(array, dtype=target.dtype)
        memory_type = encode_type(array.dtype)
    return array, memory_type


def _from_objects(array: Array, target: h5t.TypeID) -> Array:
    if target.get_class() == h5t.STRING:
        return np.asarray([as_bytes(item) for item in array.flat], dtype="S").reshape(array.shape)
    return np.asarray(array, dtype=target.dtype)


def _string_type(array: Array, target: h5t.TypeID) -> bytes | None:
    """The type of fixed-length strings: HDF5 converts none between character sets."""
    if array.dtype.kind != "S" or target.get_class() != h5t.STRING:
        return None
    tid = h5t.C_S1.copy()
    tid.set_size(max(1, array.dtype.itemsize))
    tid.set_strpad(h5t.STR_NULLPAD)
    tid.set_cset(target.get_cset())
    return bytes(tid.encode())


def converts(source: h5t.TypeID, target: h5t.TypeID) -> bool:
    """Whether HDF5 converts values of one type into the other."""
    return bool(source == target) or h5t.find(source, target) is not None


def _widens(dtype: np.dtype[Any], target: h5t.TypeID) -> bool:
    """Whether NumPy converts without loss where HDF5 does not, as from real to complex."""
    try:
        return np.can_cast(dtype, target.dtype, "safe")
    except TypeError:
        return False


def objects(block: Any, file_type: bytes) -> Array:
    """`block` as an array of objects of a type with pointers, members of a compound included.

    A list of sequences is one row for each, also when all are of one length.
    """
    tid = decode_type(file_type)
    if isinstance(block, np.ndarray):
        array = block
    elif tid.get_class() == h5t.VLEN and isinstance(block, (list, tuple)):
        array = np.empty(len(block), dtype=object)
        for i, row in enumerate(block):
            array[i] = row
    else:
        array = np.asarray(block, dtype=_base(tid.dtype))
    if array.dtype.kind in "SUT" and tid.get_class() == h5t.STRING:
        return array.astype(object)
    if array.dtype.names != tid.dtype.names or not array.dtype.hasobject:
        raise InvalidTypeError(f"values of type {array.dtype} cannot become {words(tid)}")
    return array


def _base(dtype: np.dtype[Any]) -> np.dtype[Any]:
    base: np.dtype[Any] = dtype if dtype.subdtype is None else dtype.subdtype[0]
    return base
