"""What the records of a journal do to one dataset, item by item.

The values are in the records, so no HDF5 file is needed to see them. What the
records of a few operations do cannot be told from them alone (a chunk that
went past the filters, an object moved here from elsewhere): that is `Untold`,
and the next checkpoint has to be waited for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5s

from safeh5._typing import Buffer
from safeh5.operations import model
from safeh5.operations.values import decode_space, decode_type, unpack


class TailItem(NamedTuple):
    """An item of a stream: ``mirror[at] = data`` does what the stream did.

    Attributes
    ----------
    at : int or tuple of slice
        Which item; for a write into parts of items, which part of the dataset.
    data : ndarray or scalar
        Its values, a copy.
    """

    at: int | tuple[slice, ...]
    data: Any


class Untold(Exception):
    """Items changed, and the record does not tell to what.

    Attributes
    ----------
    first, stop : int, int or None
        Which items; None stands for the end of the dataset.
    """

    def __init__(self, first: int = 0, stop: int | None = None) -> None:
        super().__init__(first, stop)
        self.first, self.stop = first, stop


@dataclass
class Track:
    """One dataset, as far as items need it.

    Attributes
    ----------
    path : str
        Its path.
    shape : tuple of int or None
        Shape of one item; None while there is no such dataset.
    dtype : dtype or None
        What h5py gives its values as.
    length : int
        How many items there are.
    scalar : bool
        There is a dataset, and it has no items.
    """

    path: str
    shape: tuple[int, ...] | None = None
    dtype: np.dtype[Any] | None = None
    length: int = 0
    scalar: bool = False

    @classmethod
    def of(cls, path: str, dataset: Any) -> Track:
        """The dataset as it is in a file; anything else is none."""
        if not isinstance(dataset, h5py.Dataset) or not dataset.shape:
            return cls(path, scalar=isinstance(dataset, h5py.Dataset))
        return cls(path, tuple(dataset.shape[1:]), dataset.dtype, int(dataset.shape[0]))

    def take(self, operation: model.Operation, payload: Buffer) -> Iterator[TailItem]:
        """The items that an operation writes; `length` is then that after it.

        Raises
        ------
        Untold
            The record does not tell.
        """
        if operation.path == self.path:
            yield from self._take_own(operation, payload)
        elif isinstance(operation, model.Move) and self._is_at_or_in(operation.source):
            self._vanish()
        if isinstance(operation, model.Delete) and self._is_at_or_in(operation.path):
            self._vanish()
        elif isinstance(operation, _PUTS_HERE) and self._is_at_or_in(operation.path):
            self._vanish()
            raise Untold

    def _is_at_or_in(self, path: str) -> bool:
        return self.path == path or self.path.startswith(path.rstrip("/") + "/")

    def _vanish(self) -> None:
        self.shape, self.dtype, self.length, self.scalar = None, None, 0, False

    def _take_own(self, operation: model.Operation, payload: Buffer) -> Iterator[TailItem]:
        if isinstance(operation, model.CreateDataset):
            self._begin(operation)
        elif self.scalar or not isinstance(operation, _CHANGES_ITEMS):
            return
        elif self.shape is None:
            raise Untold  # it came here by a way that was not seen, as the target of a link
        elif isinstance(operation, model.Resize):
            self.length, self.shape = operation.shape[0], operation.shape[1:]
        elif isinstance(operation, model.AppendData):
            self.length = max(self.length, operation.start + operation.count)
            yield from self._items(operation, payload, operation.start, operation.count)
        elif isinstance(operation, model.WriteData):
            yield from self._written(operation, payload)
        elif isinstance(operation, model.WriteChunk):
            # How many items a chunk has stands in the file only.
            raise Untold(operation.offset[0])

    def _begin(self, operation: model.CreateDataset) -> None:
        shape = decode_space(operation.space).shape
        self._vanish()
        if not shape:
            self.scalar = True
            return
        self.shape, self.length = tuple(shape[1:]), int(shape[0])
        self.dtype = decode_type(operation.type).dtype

    def _written(self, operation: model.WriteData, payload: Buffer) -> Iterator[TailItem]:
        assert self.shape is not None
        whole = (self.length, *self.shape)
        box = operation.selection
        if isinstance(box, model.Space):
            box = _box_of(decode_space(box.encoded))
        elif box is None or not box.count:
            box = model.Box((0,) * len(whole), whole)
        if not any(box.start[1:]) and box.count[1:] == self.shape:
            yield from self._items(operation, payload, box.start[0], box.count[0])
            return
        index = tuple(slice(start, start + count) for start, count in zip(box.start, box.count, strict=True))
        yield TailItem(index, self._values(operation, payload, box.count))

    def _items(
        self, operation: model.AppendData | model.WriteData, payload: Buffer, first: int, count: int
    ) -> Iterator[TailItem]:
        assert self.shape is not None
        values = self._values(operation, payload, (count, *self.shape))
        for number in range(count):
            yield TailItem(first + number, values[number])

    def _values(
        self, operation: model.AppendData | model.WriteData, payload: Buffer, shape: tuple[int, ...]
    ) -> npt.NDArray[Any]:
        dtype = decode_type(operation.type).dtype
        if operation.packed:
            # References stay what they are in the journal, path and selection: there is no file to point to.
            return unpack(memoryview(payload), operation.type, shape, lambda stored: stored)
        base, inner = dtype.subdtype or (dtype, ())
        size = int(np.prod((*shape, *inner), dtype=np.int64))
        # A copy, since the payload goes with the next record.
        values = np.frombuffer(memoryview(payload), base, size).copy() if size else np.empty(0, base)
        values = values.reshape((*shape, *inner))
        if self.dtype is None or self.dtype in (dtype, base) or base.names or self.dtype.hasobject:
            return values
        return values.astype(self.dtype.base)


_CHANGES_ITEMS = (model.Resize, model.AppendData, model.WriteData, model.WriteChunk)

_PUTS_HERE = (
    model.Move,
    model.Copy,
    model.CreateHardLink,
    model.CreateSoftLink,
    model.CreateExternalLink,
)


def _box_of(space: h5s.SpaceID) -> model.Box:
    """The selection as a box, if it is one.

    Raises
    ------
    Untold
        It is not.
    """
    low, high = space.get_select_bounds()
    if space.get_select_type() == h5s.SEL_HYPERSLABS and space.is_regular_hyperslab():
        count = tuple(stop - start + 1 for start, stop in zip(low, high, strict=True))
        if int(np.prod(count, dtype=np.int64)) == space.get_select_npoints():
            return model.Box(tuple(map(int, low)), tuple(map(int, count)))
    raise Untold(int(low[0]), int(high[0]) + 1)
