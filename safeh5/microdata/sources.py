"""Where the values of a dataset come from, read block by block.

A source yields the operations that write its values. Each payload is valid
until the next one is asked for, and no more than about `limit` bytes of it are
in memory at a time (a chunk that is copied as it is, counts whole).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from safeh5._typing import Buffer
from safeh5.errors import InvalidTreeError
from safeh5.microdata.blocks import boxes, shifted, slices
from safeh5.microdata.payloads import Payload, as_buffer, payload_of
from safeh5.operations.model import AppendData, Box, Operation, WriteData
from safeh5.operations.values import Describe
from safeh5.options import KIB

Written = Iterator[tuple[Operation, Buffer]]

_FEW: Final = 4 * KIB


@dataclass(frozen=True, slots=True)
class Sink:
    """The dataset that values are written to.

    Attributes
    ----------
    path : str
        Where it is.
    type : bytes
        Its type, encoded.
    chunks : tuple of int or None
        Its chunk shape.
    describe : callable
        Says what references among the values refer to.
    """

    path: str
    type: bytes
    chunks: tuple[int, ...] | None
    describe: Describe


class Source(Protocol):
    """The values of one dataset."""

    def operations(self, sink: Sink, limit: int) -> Written:
        """The operations that write all values.

        Parameters
        ----------
        sink : Sink
            Where to.
        limit : int
            Bytes of a payload, about.
        """


@dataclass(slots=True)
class ArraySource:
    """An array, or an object with shape, dtype and slicing, that fills the origin of a dataset.

    Attributes
    ----------
    data : array_like
        The values.
    shape : tuple of int
        Their shape.
    item_bytes : int
        Bytes of an element, about.
    sliced : bool
        Whether `data` is read by slicing; else it is made an array, once, when it is written.
    whole : bytes or None
        For an array whose bytes are written as they lie in memory, their encoded type.
    """

    data: Any
    shape: tuple[int, ...]
    item_bytes: int
    sliced: bool = True
    whole: bytes | None = None

    def operations(self, sink: Sink, limit: int) -> Written:
        """See `Source`."""
        if 0 in self.shape:
            return
        path = sink.path
        if self.whole and self.data.nbytes <= limit and self.data.shape == self.shape:
            # A few bytes are copied faster than looked at.
            data = self.data.tobytes() if self.data.nbytes <= _FEW else as_buffer(self.data)
            yield WriteData(path=path, type=self.whole, selection=_everything(self.shape)), data
            return
        data = self.data if self.sliced else np.asarray(self.data)
        if tuple(data.shape) != self.shape:
            raise InvalidTreeError(
                f"the data of {path} changed shape from {self.shape} to {tuple(data.shape)}", dataset=path
            )
        # Whole chunks of what is written: a filter that loses would lose twice
        # where a chunk comes in two pieces.
        for box in boxes(self.shape, self.item_bytes, limit, sink.chunks or _chunks(data)):
            block = data[slices(box)] if self.shape else data
            yield _write(path, box, payload_of(np.asarray(block), sink.type, sink.describe))


@lru_cache(maxsize=256)
def _everything(shape: tuple[int, ...]) -> Box | None:
    return Box((0,) * len(shape), shape) if shape else None


def _chunks(data: Any) -> tuple[int, ...] | None:
    """The chunk shape of an array-like that has one (h5py, zarr); dask's are left alone."""
    chunks = getattr(data, "chunks", None)
    regular = isinstance(chunks, tuple) and all(isinstance(n, int) and n > 0 for n in chunks)
    return chunks if regular else None


def _write(path: str, box: Box, payload: Payload) -> tuple[Operation, Buffer]:
    selection = box if box.count else None
    return WriteData(path=path, type=payload.type, selection=selection, packed=payload.packed), payload.data


class Blocks:
    """An iterator of arrays that can be looked at before it is read, and is read once.

    Parameters
    ----------
    iterator : iterator of array_like
        Blocks, to be joined along axis 0.
    """

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator
        self._first: npt.NDArray[Any] | None = None
        self.started = False

    def peek(self) -> npt.NDArray[Any] | None:
        """The first block, which stays to be read; None when there is none."""
        if self._first is None and not self.started:
            self._first = next(self, None)
        return self._first

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        self.started = True
        first, self._first = self._first, None
        if first is not None:
            yield first
        yield from map(np.asarray, self._iterator)

    def __next__(self) -> npt.NDArray[Any]:
        return np.asarray(next(self._iterator))


def item_weight(dtype: np.dtype[Any]) -> int:
    """Bytes that an element takes, about: what an object points to counts too."""
    return max(1, dtype.itemsize, 256 if dtype.hasobject else 0)


@dataclass(frozen=True, slots=True)
class BlockSource:
    """An iterator of blocks that fills a dataset along axis 0.

    Attributes
    ----------
    blocks : Blocks
        The iterator.
    row : tuple of int
        Shape of a block without axis 0.
    room : int or None
        Rows that there is room for; None appends.
    exact : bool
        Whether all the room must be filled.
    """

    blocks: Blocks
    row: tuple[int, ...]
    room: int | None
    exact: bool

    def operations(self, sink: Sink, limit: int) -> Written:
        """See `Source`."""
        path = sink.path
        if self.blocks.started:
            raise InvalidTreeError(
                f"the iterator of {path} has been read before", dataset=path, hint="Give the node a new one"
            )
        done = 0
        for block in self.blocks:
            self._check(block, done, path)
            weight = item_weight(block.dtype)
            if self.room is None:
                # Appends take whole rows: an axis that is not the first cannot grow in parts.
                limit = max(limit, weight * math.prod(self.row))
            for box in boxes(block.shape, weight, limit):
                payload = payload_of(block[slices(box)], sink.type, sink.describe)
                yield self._one(path, shifted(box, done), payload)
            done += block.shape[0]
        if self.exact and done != self.room:
            raise InvalidTreeError(f"the iterator of {path} gave {done} rows of {self.room}", dataset=path)

    def _one(self, path: str, box: Box, payload: Payload) -> tuple[Operation, Buffer]:
        if self.room is not None:
            return _write(path, box, payload)
        append = AppendData(
            path=path, type=payload.type, start=box.start[0], count=box.count[0], packed=payload.packed
        )
        return append, payload.data

    def _check(self, block: npt.NDArray[Any], done: int, path: str) -> None:
        if block.ndim == 0 or block.shape[1:] != self.row:
            raise InvalidTreeError(
                f"the iterator of {path} gave a block of shape {block.shape} where"
                f" (n, {', '.join(map(str, self.row))}) is wanted",
                dataset=path,
            )
        if self.room is not None and done + block.shape[0] > self.room:
            raise InvalidTreeError(f"the iterator of {path} gave more than {self.room} rows", dataset=path)
