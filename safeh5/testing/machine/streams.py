"""Streams: made, appended to, rewound, written in."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp
from hypothesis.stateful import precondition, rule

from safeh5.session.stream import Stream
from safeh5.testing import strategies
from safeh5.testing.machine.base import MachineBase


class Streams(MachineBase):
    """Streams of a session."""

    @precondition(MachineBase.is_open)
    @rule(dtype=strategies.numeric, shape=stnp.array_shapes(min_dims=0, max_dims=2, max_side=3))
    def stream(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """A new stream."""
        assert self.session is not None
        self._new_stream(shape, dtype)

    def _new_stream(self, shape: tuple[int, ...], dtype: Any) -> None:
        assert self.session is not None
        path = "/" + self.fresh("s")
        chunks = (4, *shape)
        self.streams[path] = self.session.stream(path, shape, dtype, chunks=chunks)
        maxshape = (None, *shape)
        self.done(
            lambda file: file.create_dataset(path, (0, *shape), dtype, maxshape=maxshape, chunks=chunks)
        )

    @precondition(MachineBase.has_streams)
    @rule(data=st.data(), count=st.integers(0, 5))
    def append(self, data: st.DataObject, count: int) -> None:
        """One item, or a block of them."""
        path, stream = self._some_stream(data)
        items = data.draw(stnp.arrays(stream.dtype, (max(1, count), *stream.shape)))
        self._append(path, items, alone=not count)

    @precondition(MachineBase.is_open)
    @rule(turns=st.lists(st.integers(0, 2), min_size=4, max_size=12))
    def take_turns(self, turns: list[int]) -> None:
        """Small rows of a few streams, in turn: where the durability allows it they are gathered.

        The row of another stream ends what was gathered, and a checkpoint may be due at any of them.
        """
        while len(self.streams) < 2:
            self._new_stream((2,), "<i4")
        paths = sorted(self.streams)
        for number, turn in enumerate(turns):
            path = paths[turn % len(paths)]
            stream = self.streams[path]
            self._append(path, np.full((1, *stream.shape), number % 7).astype(stream.dtype), alone=True)

    def _append(self, path: str, items: Any, alone: bool) -> None:
        stream = self.streams[path]
        start = stream.length
        if alone:
            stream.append(items[0])
        else:
            stream.extend(items)
        assert stream.length == start + len(items)

        def change(file: h5py.File) -> None:
            file[path].resize(start + len(items), axis=0)
            file[path][start:] = items

        self.done(change)

    @precondition(MachineBase.has_streams)
    @rule(data=st.data())
    def rewind(self, data: st.DataObject) -> None:
        """Drop some items."""
        path, stream = self._some_stream(data)
        length = data.draw(st.integers(0, stream.length))
        stream.rewind(length)
        self.done(lambda file: file[path].resize(length, axis=0))

    @precondition(MachineBase.has_streams)
    @rule(data=st.data())
    def write_in_stream(self, data: st.DataObject) -> None:
        """Values in the known part."""
        path, stream = self._some_stream(data)
        shape = (stream.length, *stream.shape)
        if 0 in shape:
            return
        box = data.draw(strategies.boxes(shape))
        region = tuple(slice(s, s + n) for s, n in zip(box.start, box.count, strict=True))
        values = data.draw(stnp.arrays(stream.dtype, box.count))
        stream.write(region, values)
        self.done(lambda file: file[path].__setitem__(region, values))

    def _some_stream(self, data: st.DataObject) -> tuple[str, Stream]:
        path = data.draw(st.sampled_from(sorted(self.streams)))
        return path, self.streams[path]
