"""Python objects that are about to be written: refused beforehand where h5py would refuse them.

h5py converts objects while HDF5 writes: an object that it does not take ends
the write in the middle, and the sequence ``[1, 2]`` among arrays is read as if
it was an array. What is journaled must be sure to be applied, and to give the
same from the journal alone; so every object is looked at before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5r, h5t

from safeh5.operations.values import decode_type, inner, is_plain, members


def checked(flat: npt.NDArray[Any], encoded: bytes) -> bool:
    """Whether h5py converts each object of `flat` to the `encoded` type as it stands in the journal.

    Raises
    ------
    TypeError, ValueError, AttributeError
        As h5py, for what it does not convert.
    """
    meant = decode_type(encoded)
    kind = meant.get_class()
    if kind == h5t.ARRAY:
        return checked(flat, inner(encoded))
    if kind == h5t.COMPOUND:
        held = [(name, member) for name, member in members(encoded) if not is_plain(member)]
        return all([checked(flat[name].reshape(-1), member) for name, member in held])
    if kind == h5t.STRING:
        _check_strings(flat, "utf-8" if meant.get_cset() == h5t.CSET_UTF8 else "ascii")
    elif kind == h5t.REFERENCE:
        _check_references(flat, to_regions=meant == h5t.STD_REF_DSETREG)
    elif kind == h5t.VLEN:
        return _checked_sequences(flat, inner(encoded))
    return True


def _check_strings(flat: npt.NDArray[Any], encoding: str) -> None:
    for value in flat:
        raw = value.encode(encoding) if isinstance(value, str) else value
        if not isinstance(raw, bytes):
            raise TypeError("Can't implicitly convert non-string objects to strings")
        if b"\0" in raw:
            raise ValueError("VLEN strings do not support embedded NULLs")


def _check_references(flat: npt.NDArray[Any], *, to_regions: bool) -> None:
    what = "region" if to_regions else "object"
    for value in flat:
        if value is None:
            continue
        if not isinstance(value, h5r.RegionReference if to_regions else h5r.Reference):
            raise TypeError(f"Can't convert incompatible object to HDF5 {what} reference")
        if not to_regions and isinstance(value, h5r.RegionReference):
            raise TypeError("Can't convert dataset region reference to object reference")


def _checked_sequences(flat: npt.NDArray[Any], base: bytes) -> bool:
    """As `checked`: h5py takes every sequence for one of the first one's kind."""
    if len(flat) and not hasattr(flat[0], "dtype"):
        raise AttributeError(f"{type(flat[0]).__name__!r} object has no attribute 'dtype'")
    dtype = decode_type(base).dtype
    exact = all(type(row) is np.ndarray and _is_row(row, dtype) for row in flat)
    if exact and not is_plain(base):
        return all([checked(row, base) for row in flat])
    return exact


def _is_row(row: npt.NDArray[Any], dtype: np.dtype[Any]) -> bool:
    return row.ndim == 1 and row.dtype == dtype and row.flags.c_contiguous
