"""Values whose type and extent need not be made anew each time: numbers, arrays of numbers, strings.

For every attribute and dataset h5py has HDF5 make a datatype and a dataspace, and the
journal has them encoded. For plain values both depend on nothing but the dtype and
the shape; they are made once, as h5py makes them, and shared, since HDF5 only
reads them. Whatever is not plain goes h5py's own way.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from h5py import h5s, h5t, string_dtype

from safeh5.operations.values import packed_string

LONGEST_STRING: Final = 32 * 1024
_STRING: Final = string_dtype()
_LARGEST_INT: Final = 2**63
_NUMBERS: Final = frozenset(
    {
        np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64,
        np.float16, np.float32, np.float64,
    }
)  # fmt: skip


class Kept(NamedTuple):
    """A datatype as h5py makes it of a dtype.

    Attributes
    ----------
    stored : TypeID
        What values are stored as.
    memory : TypeID
        What HDF5 is told that they are in memory.
    encoded : bytes
        `stored`, encoded.
    """

    stored: h5t.TypeID
    memory: h5t.TypeID
    encoded: bytes


class Plain(NamedTuple):
    """A plain value.

    Attributes
    ----------
    array : ndarray
        C-contiguous; of the shape and with the dtype that h5py would give it.
    kept : Kept
        Its type.
    payload : bytes
        What the journal holds of it.
    packed : bool
        Whether that is packed, as strings are.
    """

    array: npt.NDArray[Any]
    kept: Kept
    payload: bytes
    packed: bool


def plain(value: Any, largest: int) -> Plain | None:
    """`value`, if it is a plain one of at most `largest` bytes; else None."""
    kind = type(value)
    if kind is str:
        return _string(value)
    if kind is int:
        if not -_LARGEST_INT <= value < _LARGEST_INT:
            return None
    elif kind is np.ndarray:
        if not is_plain_array(value):
            return None
    elif kind is not float and kind not in _NUMBERS:
        return None
    array = np.asarray(value, order="C")
    if array.nbytes > largest:
        return None
    return Plain(array, kept(array.dtype), array.tobytes(), False)


def is_plain_array(array: npt.NDArray[Any]) -> bool:
    """Whether these are numbers of this machine, and some; booleans, enums and others are not meant."""
    dtype = array.dtype
    # A dtype with metadata means something else, and is equal to the one without.
    return dtype.type in _NUMBERS and dtype.isnative and dtype.metadata is None and array.size > 0


def _string(value: str) -> Plain | None:
    if "\0" in value or len(value) > LONGEST_STRING:
        return None
    try:
        payload = packed_string(value)
    except UnicodeEncodeError:
        return None
    return Plain(np.array(value, _STRING), _string_kept(), payload, True)


@lru_cache(maxsize=64)
def kept(dtype: np.dtype[Any]) -> Kept:
    """The type of a plain dtype."""
    return _made(dtype)


@lru_cache(maxsize=1)
def _string_kept() -> Kept:
    return _made(_STRING)


def _made(dtype: np.dtype[Any]) -> Kept:
    stored = h5t.py_create(dtype, logical=True)
    return Kept(stored, h5t.py_create(dtype), stored.encode())


@lru_cache(maxsize=1024)
def space(shape: tuple[int, ...]) -> tuple[h5s.SpaceID, bytes]:
    """The dataspace of a shape, and its encoding."""
    made = h5s.create_simple(shape)
    return made, made.encode()
