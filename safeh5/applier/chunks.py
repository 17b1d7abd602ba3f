"""Appends as whole chunks: bytes that go to the file as they came, past HDF5's cache.

A dataset without filters keeps in a chunk the very bytes of its items, if these
have the file's own type and a chunk holds all of an item. HDF5 then need not
select, convert or copy anything: it is told where the chunk is and what stands
in it. The file comes out the same; a chunk that is in the cache is taken out of
it by HDF5 itself.
"""

from __future__ import annotations

import math
from typing import Final

from h5py import h5d

from safeh5.operations.values import decode_type
from safeh5.options import KIB

_WORTH: Final = 32 * KIB
"""Smaller chunks are better handed over many at a time."""


class WholeChunks:
    """What makes a chunk of one dataset, for items of one type.

    Parameters
    ----------
    dataset : DatasetID
        The dataset.
    encoded : bytes
        Type of the items, as journaled.

    Attributes
    ----------
    dataset, encoded
        As given.
    items : int
        How many items a chunk has; 0 where chunks cannot be written like that.
    """

    __slots__ = ("_rest", "dataset", "encoded", "items")

    def __init__(self, dataset: h5d.DatasetID, encoded: bytes) -> None:
        self.dataset, self.encoded = dataset, encoded
        self.items, self._rest = 0, ()
        plist, stored = dataset.get_create_plist(), dataset.get_type()
        if plist.get_layout() != h5d.CHUNKED or plist.get_nfilters():
            return
        chunk = plist.get_chunk()
        if math.prod(chunk) * stored.get_size() >= _WORTH and stored.equal(decode_type(encoded)):
            self.items, self._rest = chunk[0], chunk[1:]

    def within(self, start: int, stop: int, rest: tuple[int, ...]) -> range:
        """First items of the chunks that `start` to `stop` fill, the other axes being `rest` long."""
        if not self.items or rest != self._rest:
            return range(0)
        first = -(-start // self.items) * self.items
        return range(first, max(first, stop // self.items * self.items), self.items)

    def write(self, first: int, data: memoryview) -> None:
        """Write the chunk that begins with an item."""
        self.dataset.write_direct_chunk((first, *(0 for _ in self._rest)), data)
