"""Values whose type and extent need not be made anew each time: numbers, booleans, strings, rows of them.

For every attribute and dataset h5py has HDF5 make a datatype and a dataspace, and the
journal has them encoded. For plain values both depend on nothing but the dtype and
the shape; they are made once, as h5py makes them, and shared, since HDF5 only
reads them. Whatever is not plain goes h5py's own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from h5py import h5, h5s, h5t, string_dtype

from safeh5.operations.values import packed_strings

LONGEST_STRING: Final = 32 * 1024
_LONGEST_ROW: Final = 1024
"""A longer list is looked through by h5py."""
_TEXT: Final = string_dtype()
_BYTES: Final = string_dtype("ascii")
_SCALARS: Final = frozenset(
    {
        np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64,
        np.float16, np.float32, np.float64, np.bool_,
    }
)  # fmt: skip
_NUMBERS: Final = frozenset({int, float})


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


def plain(value: Any, largest: int, dtype: np.dtype[Any] | None = None) -> Plain | None:
    """`value`, if it is a plain one of at most `largest` bytes; else None.

    Parameters
    ----------
    value : object
        As h5py is given it.
    largest : int
        In bytes.
    dtype : dtype, optional
        A plain one that numbers are converted to.
    """
    kind = type(value)
    if kind is str or kind is bytes:
        return _strings((value,), value, largest) if dtype is None else None
    if kind is list or kind is tuple:
        kinds = set(map(type, value)) if 0 < len(value) <= _LONGEST_ROW else set()
        if len(kinds) == 1 and dtype is None and (str in kinds or bytes in kinds):
            return _strings(value, value, largest)
        if not kinds or not kinds <= _NUMBERS:
            return None
    elif kind is np.ndarray:
        if not is_plain_dtype(value.dtype) or not value.size:
            return None
    elif kind not in _NUMBERS and kind is not bool and kind not in _SCALARS:
        return None
    array = np.asarray(value, order="C", dtype=dtype)
    if array.nbytes > largest or array.dtype.type not in _SCALARS:
        return None
    return Plain(array, kept(array.dtype), array.tobytes(), False)


def is_plain_dtype(dtype: np.dtype[Any]) -> bool:
    """Whether this means bare numbers or booleans: one with metadata is an enum or something else."""
    return dtype.type in _SCALARS and dtype.metadata is None


def plain_dtype(given: Any) -> np.dtype[Any] | None:
    """What is given as a dtype, if it is a plain one."""
    if not isinstance(given, (str, type, np.dtype)):
        return None
    try:
        dtype = np.dtype(given)
    except TypeError:
        return None
    return dtype if is_plain_dtype(dtype) else None


def _strings(row: Sequence[str] | Sequence[bytes], value: Any, largest: int) -> Plain | None:
    """Strings of one kind; None for those that HDF5 cannot hold."""
    dtype, zero = (_TEXT, "\0") if type(row[0]) is str else (_BYTES, b"\0")
    try:
        raw = [each.encode("utf-8") if isinstance(each, str) else each for each in row]
    except UnicodeEncodeError:
        return None
    if any(zero in each for each in row) or sum(map(len, raw)) > min(largest, LONGEST_STRING):  # type: ignore[operator]
        return None
    return Plain(np.asarray(value, dtype=dtype), _string_kept(dtype is _TEXT), packed_strings(raw), True)


def kept(dtype: np.dtype[Any]) -> Kept:
    """The type of a plain dtype."""
    return _boolean_kept(h5.get_config().bool_names) if dtype.kind == "b" else _number_kept(dtype)


@lru_cache(maxsize=64)
def _number_kept(dtype: np.dtype[Any]) -> Kept:
    return _made(dtype)


@lru_cache(maxsize=8)
def _boolean_kept(names: tuple[bytes, bytes]) -> Kept:
    """h5py stores booleans as an enum, whose names can be chosen."""
    return _made(np.dtype(bool))


@lru_cache(maxsize=2)
def _string_kept(text: bool) -> Kept:
    return _made(_TEXT if text else _BYTES)


def _made(dtype: np.dtype[Any]) -> Kept:
    stored = h5t.py_create(dtype, logical=True)
    return Kept(stored, h5t.py_create(dtype), stored.encode())


@lru_cache(maxsize=1024)
def space(shape: tuple[int, ...]) -> tuple[h5s.SpaceID, bytes]:
    """The dataspace of a shape, and its encoding."""
    made = h5s.create_simple(shape)
    return made, made.encode()
