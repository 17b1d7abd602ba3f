"""A stream: a dataset that grows along its first axis while an instrument runs.

One item is one step along axis 0: a frame, a spectrum, a row. Each append is
one record, a batch of its own unless a batch is open; where it goes is
journaled with it, so that replaying is deterministic and doing it twice is
doing it once.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from h5py import h5s

from safeh5.errors import InvalidOptionError, InvalidTreeError
from safeh5.operations.model import AppendData, Resize, WriteData
from safeh5.operations.values import encode_type, is_plain, pack
from safeh5.options import is_count
from safeh5.session.items import Items
from safeh5.session.rows import LARGEST_ITEM, RowBlock, gathers, new_array
from safeh5.session.selecting import box_of, kept_axes

if TYPE_CHECKING:
    from h5py import h5d

    from safeh5.session.contents import Contents

_now: Final = time.monotonic


class Stream:
    """Appends items to a dataset; made by `Session.stream`.

    Attributes
    ----------
    path : str
        HDF5 path of the dataset.
    shape : tuple of int
        Shape of one item; ``()`` for scalars.
    dtype : numpy.dtype
        Type of its elements.
    last_time : int
        When the last item was appended, nanoseconds since the epoch; 0 if none was in this process.
    """

    def __init__(self, session: Contents, path: str, dataset: h5d.DatasetID) -> None:
        self._session = session
        self.path = path
        self.shape: tuple[int, ...] = tuple(dataset.shape[1:])
        self.dtype: np.dtype[Any] = dataset.dtype
        self._type = encode_type(dataset.get_type())
        self._plain = is_plain(self._type)
        if self._plain:
            # The bytes that come are those of a NumPy array: HDF5 converts
            # them where the file keeps another type.
            self._type = encode_type(self.dtype)
        self._items = Items(path, self.shape, self.dtype, self._plain)
        self._limit: int | None = _limit_of(dataset)
        self._length: int = dataset.shape[0]
        self._safe: int = self._length
        self._proved = -1
        self._lost = False
        self._gathers = self._plain and session.gathers and gathers(self.shape, self.dtype)
        self._spare: npt.NDArray[Any] | None = None
        self._pending: deque[tuple[int, int]] = deque()
        self.last_time = 0

    def __len__(self) -> int:
        return self.length

    @property
    def length(self) -> int:
        """Items in the dataset, those not yet durable included."""
        block = self._session.rows
        return self._length if block is None or block.stream is not self else block.start + block.count

    @property
    def durable_length(self) -> int:
        """Items that survive a power cut: the acquisition goes on with this one after a crash."""
        durable = self._session.durable_lsn
        while self._pending and self._pending[0][0] <= durable:
            self._safe = self._pending.popleft()[1]
        return self._safe

    def append(self, item: npt.ArrayLike) -> int:
        """Append one item.

        Parameters
        ----------
        item : array_like, shape `shape`
            Contiguous arrays of the right type go to the journal from their
            own memory. It may be changed again as soon as the call returns; of one that another thread
            changes before, each byte is kept as it was at some time during the call.

        Returns
        -------
        int
            LSN of the record. With durability ``"record"`` the item is on disk.

        Raises
        ------
        InvalidTreeError
            If the shape is another, or the dataset cannot grow so far.
        InvalidTypeError
            If the values cannot be converted without loss of kind.
        DiskFullError
            If there is no room; nothing was appended, and the session goes on.
        """
        if type(item) is not np.ndarray or item.dtype != self.dtype or item.shape != self.shape:
            item = self._items.one(item)
        if not self._gathers:
            return self._append(item, 1)
        session = self._session
        with session.mutex:
            # This is all that most rows of an acquisition meet: each call in here is paid for by every row.
            block = session.rows
            if block is None or block.stream is not self or block.count == block.room or _now() >= block.due:
                return self._gather(item, 1)
            block.array[block.count] = item
            block.count += 1
            return block.lsn

    def extend(self, block: npt.ArrayLike) -> int:
        r"""Append many items as one record: all or none.

        Parameters
        ----------
        block : array_like, shape (n, \*shape)
            The items.

        Returns
        -------
        int
            LSN of the record. With durability ``"record"`` the items are on disk.

        Raises
        ------
        InvalidTreeError, InvalidTypeError, DiskFullError
            As `append`; none of the items was appended.
        """
        array = self._items.many(block)
        if not self._gathers or array.nbytes > LARGEST_ITEM:
            return self._append(array, len(array))
        with self._session.mutex:
            return self._gather(array, len(array))

    def write(self, selection: Any, values: npt.ArrayLike) -> int:
        """Write values into the known part of the dataset, in any order: a raster scan.

        Parameters
        ----------
        selection : int, slice or tuple of them
            Where, as in NumPy's basic indexing with steps of 1.
        values : array_like
            Broadcast to the shape of the selection.

        Returns
        -------
        int
            LSN of the record. With durability ``"record"`` the values are on disk.

        Raises
        ------
        InvalidTreeError, InvalidTypeError
            The selection is outside the items that are there, or the values do not fit it.
        DiskFullError
            If there is no room; nothing was written, and the session goes on.
        """
        self._require_dataset()
        box = box_of(selection, (self.length, *self.shape), self.path)
        kept = tuple(
            n for n, keep in zip(box.count, kept_axes(selection, len(box.count)), strict=True) if keep
        )
        array = self._items.array(values, len(kept))
        try:
            array = np.ascontiguousarray(np.broadcast_to(array, kept))
        except ValueError:
            raise InvalidTreeError(
                f"values of shape {array.shape} do not fit a selection of shape {kept}", dataset=self.path
            ) from None
        operation = WriteData(path=self.path, type=self._type, selection=box, packed=not self._plain)
        return self._session.record(operation, self._payload(array))

    def rewind(self, length: int) -> int:
        """Drop the items from `length` on; journaled like everything else.

        Parameters
        ----------
        length : int
            Items that stay.

        Returns
        -------
        int
            LSN of the record.

        Raises
        ------
        InvalidOptionError
            `length` is no number of items that the stream has; nothing was dropped.
        """
        with self._session.batch():
            self._require_dataset()
            if not is_count(length) or not 0 <= length <= self._length:
                raise InvalidOptionError(f"cannot rewind to {length!r}: the stream has {self._length} items")
            left = int(length)
            lsn = self._session.record(Resize(path=self.path, shape=(left, *self.shape)))
            self._note(lsn, left)
        return lsn

    async def aappend(self, item: npt.ArrayLike) -> int:
        """`append` for asyncio: the event loop goes on while the disk works.

        Items go to the journal in the order of the calls. Inside a batch of this task they are part of it;
        while another task has a batch open, its end is waited for. A call that is cancelled may have
        appended its item all the same: `length` tells.
        """
        return await self._session.aside.run(self.append, item)

    async def aextend(self, block: npt.ArrayLike) -> int:
        """`extend` for asyncio, as `aappend`."""
        return await self._session.aside.run(self.extend, block)

    def _gather(self, items: npt.NDArray[Any], count: int) -> int:
        """Take a few items into the block of rows that becomes one record; the session's lock is held."""
        session = self._session
        if session.live or session.in_batch or self._proved != session.epoch or not count:
            return self._append(items, count)
        block = session.rows
        if (
            block is None
            or block.stream is not self
            or block.count + count > block.room
            or _now() >= block.due
        ):
            self._require_room(self.length + count)
            block = session.begin_rows(self)
        block.array[block.count : block.count + count] = items
        block.count += count
        return block.lsn

    def spare_rows(self) -> npt.NDArray[Any]:
        """Memory for the next block of rows, no longer than there is room in the dataset."""
        if self._spare is None:
            self._spare = new_array(self.shape, self.dtype)
        return self._spare if self._limit is None else self._spare[: self._limit - self._length]

    def rows_noted(self, lsn: int, block: RowBlock) -> None:
        """The block has become a record."""
        self._note(lsn, block.start + block.count)

    def _append(self, array: npt.NDArray[Any], count: int) -> int:
        payload, session = self._payload(array), self._session
        epoch = session.epoch
        lsn = session.record_next(
            lambda: self._next(count),
            payload,
            lambda lsn: self._note(lsn, self._length + count),
            # What HDF5 has taken once it takes again, as long as the dataset is the same.
            sure_in=self._proved if self._plain else -1,
        )
        self._proved = epoch
        return lsn

    def _next(self, count: int) -> AppendData:
        """The operation that appends `count` items; where they go is settled under the session's lock."""
        self._require_room(self._length + count)
        return self.appending(self._length, count)

    def appending(self, start: int, count: int) -> AppendData:
        """The operation that appends `count` items from `start` on."""
        return AppendData(path=self.path, type=self._type, start=start, count=count, packed=not self._plain)

    def lose(self) -> None:
        """Its dataset is another from now on, or none; the session's lock is held."""
        self._lost, self._proved = True, -1

    def _require_dataset(self) -> None:
        if self._lost:
            raise InvalidTreeError(
                "the dataset of this stream was replaced, or the batch that made it was cancelled",
                dataset=self.path,
                safe="Nothing was written by this call",
                hint=f"Open the stream again: session.stream({self.path!r}, ...)",
            )

    def _require_room(self, stop: int) -> None:
        self._require_dataset()
        if self._limit is not None and stop > self._limit:
            raise InvalidTreeError(
                f"the dataset has room for {self._limit} items along its first axis", dataset=self.path
            )

    def _note(self, lsn: int, length: int) -> None:
        """Take note of the new length, to be taken back if the batch is cancelled."""
        before = self._length
        self._length = length
        self.last_time = time.time_ns()
        self._pending.append((lsn, length))
        self._session.on_cancel(lambda: self._take_back(lsn, before))

    def _take_back(self, lsn: int, length: int) -> None:
        self._length = length
        while self._pending and self._pending[-1][0] >= lsn:
            self._pending.pop()

    def _payload(self, array: npt.NDArray[Any]) -> Any:
        if self._plain:
            return np.ascontiguousarray(array)
        return pack(array, self._type, self._session.describe_reference)

    def __repr__(self) -> str:
        return f"<Stream {self.path!r}: {self._length} items of {self.shape}, {self.dtype}>"


def _limit_of(dataset: h5d.DatasetID) -> int | None:
    """How many items the dataset can have; None for no limit."""
    limit: int = dataset.get_space().get_simple_extent_dims(maxdims=True)[0]
    return None if limit == h5s.UNLIMITED else limit
