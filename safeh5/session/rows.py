"""Small items of one stream, gathered in memory to become one record.

A record costs some ten microseconds whatever its size, which is nothing for a
frame and ten times the writing of a row. Where the session's durability allows
it (``"interval"`` and ``"flush"``, which promise nothing before the next sync)
the rows of a stream are copied into a block, and the block is one record.

Invariants
----------
1. A session has one block at a time, and it is journaled before any other
   record: records stand in the order of the calls.
2. An item is in the block when `count` says so; it was not taken before.
3. A block that could not be journaled (a full disk) stays, and takes no more
   than it has room for.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from safeh5.operations.model import AppendData
from safeh5.options import KIB

if TYPE_CHECKING:
    from safeh5.session.stream import Stream

LARGEST_ITEM: Final = 16 * KIB
"""Larger items are records of their own: they come from the caller's memory, without a copy."""
BLOCK_BYTES: Final = 256 * KIB
BLOCK_SECONDS: Final = 0.05
"""With durability ``"flush"`` the next append after this time journals the block first."""


class RowBlock:
    """Rows of a stream that wait to be journaled as one record.

    Parameters
    ----------
    stream : Stream
        Whose they are.
    start : int
        Index of the first.
    lsn : int
        The LSN that the record will have.

    Attributes
    ----------
    count, room : int
        How many rows it holds; how many it can.
    due : float
        When it should be journaled (`time.monotonic`); in a fork of the process, which has a copy of the
        block and no journal, always: see `safeh5.session.guarded`.
    """

    __slots__ = ("array", "count", "due", "lsn", "room", "start", "stream")

    def __init__(self, stream: Stream, start: int, lsn: int) -> None:
        self.stream, self.start, self.lsn = stream, start, lsn
        self.array = stream.spare_rows()
        self.count, self.room = 0, len(self.array)
        self.due = time.monotonic() + BLOCK_SECONDS

    def operation(self) -> AppendData:
        """What the record says."""
        return self.stream.appending(self.start, self.count)

    @property
    def payload(self) -> memoryview:
        """The rows' bytes, in the block's own memory."""
        return self.array[: self.count].reshape(-1).view(np.uint8).data


def new_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Memory for a block of items that are gathered."""
    item = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    return np.empty((BLOCK_BYTES // item, *shape), dtype)


def gathers(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether items are small enough to be gathered."""
    return 0 < dtype.itemsize * int(np.prod(shape, dtype=np.int64)) <= LARGEST_ITEM
