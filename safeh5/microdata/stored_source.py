"""Values copied from a dataset of an HDF5 file, as they lie there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5d, h5s, h5t

from safeh5._typing import Buffer
from safeh5.microdata.blocks import boxes
from safeh5.microdata.payloads import as_buffer
from safeh5.microdata.sources import Sink, Written, item_weight
from safeh5.microdata.stored import object_array, relabel
from safeh5.microdata.values import check_values
from safeh5.operations.model import Box, WriteChunk, WriteData
from safeh5.operations.values import Describe, decode_type, is_plain, pack

Chunks = tuple[int, ...] | None

_LOSSLESS = frozenset({1, 2, 3, 4, 5, 307, 32000, 32001, 32004, 32008, 32015, 32026})
"""HDF5's own filters (scale-offset not) and bzip2, LZF, Blosc, LZ4, Bitshuffle, Zstandard, Blosc 2."""


@dataclass(frozen=True, slots=True)
class StoredSource:
    """All values of a dataset.

    Attributes
    ----------
    dataset : h5py.h5d.DatasetID
        The dataset; stays open.
    as_stored : bool
        Whether the dataset written has the same type, chunks and filters, so
        that filtered chunks may be copied past the filters.
    """

    dataset: h5d.DatasetID
    as_stored: bool = False

    def operations(self, sink: Sink, limit: int) -> Written:
        """See `Source`."""
        plist = self.dataset.get_create_plist()
        chunks = tuple(plist.get_chunk()) if plist.get_layout() == h5d.CHUNKED else None
        filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
        source_type = self.dataset.get_type().encode()
        # A lossy filter run twice may lose twice, and one that is not
        # installed cannot run at all: such chunks go over as they are.
        if self.as_stored and is_plain(source_type) and filters - _LOSSLESS:
            yield from self._chunks(sink.path)
            return
        for box in self._stored(chunks, sink.chunks, limit):
            yield self._block(sink.path, box, source_type, sink.describe)

    def _stored(self, chunks: Chunks, wanted: Chunks, limit: int) -> Iterator[Box]:
        """Boxes of what was ever written; the fill value stands for the rest.

        Where other chunks are `wanted`, all of it: each of them comes whole.
        """
        space = self.dataset.get_space()
        if space.get_simple_extent_type() == h5s.NULL:
            return
        shape = self.dataset.shape
        weight = self._weight()
        if chunks is None:
            if self.dataset.get_space_status() == h5d.SPACE_STATUS_NOT_ALLOCATED and self._plain_layout():
                return
            yield from boxes(shape, weight, limit, wanted)
            return
        if wanted is not None and wanted != chunks:
            yield from boxes(shape, weight, limit, wanted)
            return
        count = self.dataset.get_num_chunks()
        if count == math.prod(-(-n // c) for n, c in zip(shape, chunks, strict=True)):
            yield from boxes(shape, weight, limit, chunks)
            return
        for offset in self._offsets():
            size = tuple(min(c, n - o) for c, n, o in zip(chunks, shape, offset, strict=True))
            for box in boxes(size, weight, limit):
                yield Box(tuple(o + s for o, s in zip(offset, box.start, strict=True)), box.count)

    def _weight(self) -> int:
        tid = self.dataset.get_type()
        return int(tid.get_size()) if is_plain(tid.encode()) else item_weight(self.dataset.dtype)

    def _plain_layout(self) -> bool:
        plist = self.dataset.get_create_plist()
        return bool(plist.get_layout() == h5d.CONTIGUOUS and plist.get_external_count() == 0)

    def _offsets(self) -> Iterator[tuple[int, ...]]:
        """Where the stored chunks begin, those past the extent left out."""
        shape = self.dataset.shape
        for i in range(self.dataset.get_num_chunks()):
            offset = tuple(int(o) for o in self.dataset.get_chunk_info(i).chunk_offset)
            if all(o < n for o, n in zip(offset, shape, strict=True)):
                yield offset

    def _chunks(self, path: str) -> Written:
        for offset in self._offsets():
            mask, data = self.dataset.read_direct_chunk(offset)
            yield WriteChunk(path=path, offset=offset, filter_mask=mask), bytes(data)

    def _block(self, path: str, box: Box, source_type: bytes, describe: Describe) -> tuple[WriteData, Buffer]:
        selection = box if box.count else None
        if is_plain(source_type):
            raw = np.empty(box.count, dtype=np.dtype((np.void, self.dataset.get_type().get_size())))
            self._read(box, raw, self.dataset.get_type())
            return WriteData(path=path, type=source_type, selection=selection), as_buffer(raw)
        memory_type, values = object_array(self.dataset.dtype, box.count)
        self._read(box, values, memory_type)
        relabel(values, self.dataset.get_type())
        check_values(values, decode_type(source_type), describe)
        packed = pack(values, source_type, describe)
        return WriteData(path=path, type=source_type, selection=selection, packed=True), packed

    def _read(self, box: Box, out: npt.NDArray[Any], memory_type: h5t.TypeID) -> None:
        space = self.dataset.get_space()
        memory = h5s.create(h5s.SCALAR)
        if box.count:
            space.select_hyperslab(box.start, box.count)
            memory = h5s.create_simple(box.count)
        self.dataset.read(memory, space, out, mtype=memory_type)
