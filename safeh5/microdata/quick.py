"""Attributes whose type a tree has seen before: their bytes without asking h5py again.

What h5py makes of a value (see `scratch`) depends, for numbers, strings and
arrays of numbers, on nothing but the value's type and shape. The first of each
is asked for, and compared with the bytes made here; if they agree the answer
serves all that follow.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from safeh5.microdata.scratch import Scratch

_pack_list: Final = msgspec.msgpack.Encoder().encode
_INT, _FLOAT, _BOOL = struct.Struct("=q").pack, struct.Struct("=d").pack, struct.Struct("=?").pack
_MOST: Final = 4096
"""Larger arrays may not fit an object header: h5py is asked about each."""
_SCALARS: Final = frozenset(np.dtype(code).type for code in ("?", *"bhilBHILqQfd"))


class Kind(NamedTuple):
    """Type and space of an attribute as HDF5 encodes them, and whether its value is packed."""

    type: bytes
    space: bytes
    packed: bool


class Quick:
    """Remembers what kinds of attributes values make.

    Parameters
    ----------
    scratch : Scratch
        Where h5py is asked.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._known: dict[Any, Kind | None] = {}

    def attribute(self, value: Any) -> tuple[Kind, bytes] | None:
        """The kind and the payload of the attribute that `value` makes; None when h5py must be asked."""
        found = _key_and_payload(value)
        if found is None:
            return None
        key, payload = found
        try:
            kind = self._known[key]
        except KeyError:
            kind = self._known[key] = self._ask(value, payload)
        return None if kind is None else (kind, payload)

    def _ask(self, value: Any, payload: bytes) -> Kind | None:
        made = self._scratch.attribute(value)
        if isinstance(made.values, bytes):
            return Kind(made.type, made.space, False) if made.values == payload else None
        packed = _pack_list([item if isinstance(item, bytes) else item.encode() for item in made.values.flat])
        return Kind(made.type, made.space, True) if packed == payload else None


def _key_and_payload(value: Any) -> tuple[Any, bytes] | None:
    """What the kind depends on, and the bytes; None for values that are not simple."""
    kind = type(value)
    if kind is float:
        return float, _FLOAT(value)
    if kind is str:
        return _of_text(value)
    if kind is int:
        return (int, _INT(value)) if -(2**63) <= value < 2**63 else None
    if kind is bool:
        return bool, _BOOL(value)
    if kind in _SCALARS:
        return kind, value.tobytes()
    if kind is list:
        return _of_list(value)
    return _of_array(value) if kind is np.ndarray else None


def _of_text(value: str) -> tuple[Any, bytes] | None:
    if not value or "\0" in value:
        return None  # HDF5 would end it there
    try:
        return str, _pack_list([value.encode()])
    except UnicodeEncodeError:
        return None


def _of_list(value: list[Any]) -> tuple[Any, bytes] | None:
    kinds = set(map(type, value[: _MOST // 8 + 1]))
    if len(value) > _MOST // 8 or not (kinds == {int} or kinds == {float}):
        return None
    array = np.asarray(value)
    return _of_array(array) if array.dtype in (np.int64, np.float64) else None


def _of_array(value: np.ndarray[Any, np.dtype[Any]]) -> tuple[Any, bytes] | None:
    dtype = value.dtype
    if dtype.kind not in "iufb" or dtype.itemsize > 8 or dtype.metadata or not 0 < value.nbytes <= _MOST:
        return None
    return (dtype, value.shape), value.tobytes()
