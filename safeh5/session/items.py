"""What is given to a stream as arrays of its type: what would lose something is refused.

Values become the stream's type as NumPy converts them, with these differences: integers may come in any type
that they fit in; a tuple is a compound value and a sequence one of a variable-length type; text becomes
UTF-8 in strings of a fixed length, and strings that are longer than that are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from safeh5.errors import InvalidTreeError, InvalidTypeError


class Items:
    """Makes arrays of the items of one dataset.

    Parameters
    ----------
    path : str
        The dataset, for messages.
    shape : tuple of int
        Shape of one item.
    dtype : numpy.dtype
        Type of the elements.
    plain : bool
        Whether they are bytes, and no objects.
    """

    def __init__(self, path: str, shape: tuple[int, ...], dtype: np.dtype[Any], plain: bool) -> None:
        self._path, self._shape, self._dtype, self._plain = path, shape, dtype, plain
        is_text = h5py.check_string_dtype(dtype) is not None
        base = None if is_text else h5py.check_vlen_dtype(dtype)
        self._sequence_of = None if base is None else np.dtype(base)

    def one(self, item: npt.ArrayLike) -> npt.NDArray[Any]:
        """One item."""
        array = self.array(item, len(self._shape))
        if array.shape != self._shape:
            raise InvalidTreeError(
                f"an item has shape {array.shape}, the stream's items have {self._shape}", dataset=self._path
            )
        return array

    def many(self, block: npt.ArrayLike) -> npt.NDArray[Any]:
        """Items along axis 0."""
        if isinstance(block, Sequence) and not block:
            return np.empty((0, *self._shape), self._dtype)
        array = self.array(block, len(self._shape) + 1)
        if array.ndim != len(self._shape) + 1 or array.shape[1:] != self._shape:
            raise InvalidTreeError(
                f"the block has shape {array.shape}, the stream's items have {self._shape}",
                dataset=self._path,
            )
        return array

    def array(self, values: npt.ArrayLike, rank: int) -> npt.NDArray[Any]:
        """Any values, in an array of C order; with `rank` axes where that is to be told from sequences."""
        try:
            if self._sequence_of is not None and not _holds_objects(values):
                return _ragged(values, rank, self._sequence_of)
            array = np.asarray(values) if not self._is_rows(values) else _rows(values, self._dtype)
            if array.dtype == self._dtype:
                return np.asarray(array, order="C")
            if not self._plain:
                return np.asarray(array, dtype=self._dtype, order="C")
            return _converted(array, self._dtype)
        except _Unfit as error:
            what = type(values).__name__ if error.found.kind == "O" else f"values of type {error.found}"
            wanted = self._dtype if self._sequence_of is None else f"sequences of {self._sequence_of}"
            raise InvalidTypeError(f"{what} do not fit the stream's {wanted}", dataset=self._path) from None
        except (TypeError, ValueError, FloatingPointError) as error:
            raise InvalidTypeError(f"the values are no {self._dtype}: {error}", dataset=self._path) from error

    def _is_rows(self, values: Any) -> bool:
        """Whether these are compound values given as tuples."""
        while isinstance(values, list) and values:
            values = values[0]
        return self._dtype.names is not None and isinstance(values, tuple)


class _Unfit(Exception):
    """Values of a type that does not become the wanted one without loss."""

    def __init__(self, found: np.dtype[Any]) -> None:
        self.found = found


def _holds_objects(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype == object


def _converted(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if array.dtype.kind == "U" and dtype.kind == "S":
        array = np.char.encode(array, "utf-8")
    if not _fits(array, dtype):
        raise _Unfit(array.dtype)
    # A number too large for the type would become infinite, silently.
    with np.errstate(over="raise"):
        return np.asarray(array, dtype=dtype, order="C")


def _fits(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether `array` becomes `dtype` without silent loss: in kind, in length, or in range for integers."""
    if array.dtype.kind == dtype.kind == "S":
        return array.size == 0 or int(np.char.str_len(array).max()) <= dtype.itemsize
    if array.dtype.kind not in "iu" or dtype.kind not in "iu":
        return np.can_cast(array.dtype, dtype, "same_kind")
    if np.can_cast(array.dtype, dtype, "safe"):
        return True
    limits = np.iinfo(dtype)
    return array.size == 0 or (int(array.min()) >= limits.min and int(array.max()) <= limits.max)


def _rows(values: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Tuples, in lists of any depth, as compound values; every field as it would be by itself."""
    if isinstance(values, list):
        return np.stack([_rows(value, dtype) for value in values])
    names = dtype.names or ()
    if not isinstance(values, tuple) or len(values) != len(names):
        raise ValueError(f"{values!r} is no tuple of {len(names)} fields")
    row = np.empty((), dtype)
    for name, value in zip(names, values, strict=True):
        row[name] = _field(value, dtype[name])
    return row


def _field(value: Any, dtype: np.dtype[Any]) -> Any:
    base = dtype.base
    if base.names is not None and isinstance(value, tuple | list):
        return _rows(value, base)
    if base.kind == "O":
        return value if dtype.shape else _element(value)
    return _converted(np.asarray(value), base)


def _ragged(values: Any, rank: int, base: np.dtype[Any]) -> npt.NDArray[Any]:
    """Sequences of any length in an array of objects with `rank` axes."""
    if rank:
        rows = [_ragged(value, rank - 1, base) for value in values]
        block = np.empty((len(rows), *(rows[0].shape if rows else (0,) * (rank - 1))), object)
        for row, into in zip(rows, block if rank > 1 else range(len(rows)), strict=True):
            if rank > 1:
                into[...] = row
            else:
                block[into] = row[()]
        return block
    sequence = np.asarray(values)
    if sequence.ndim != 1:
        raise ValueError(f"one element is a sequence with one axis, and not of shape {sequence.shape}")
    return _element(sequence if base.kind == "O" or not sequence.size else _converted(sequence, base))


def _element(value: Any) -> npt.NDArray[Any]:
    """One object, whatever it is, as an array without axes."""
    element = np.empty((), object)
    element[()] = value
    return element
