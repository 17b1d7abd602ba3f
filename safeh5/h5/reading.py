"""What h5py reads simple selections with, which goes past the identifier's own methods.

h5py makes a reader for every read of a file that can be written, since the shape may have
changed. Here it is known whether anything has: a reader serves until then.
"""

from __future__ import annotations

import weakref
from typing import Any

import h5py

from safeh5.applier import scattered
from safeh5.h5 import extents, native, past, virtual


class _Reader(native.Reader):  # type: ignore[misc]
    """h5py's reader of a dataset, as long as that does not lead elsewhere.

    Attributes
    ----------
    dataset : weak reference to DatasetID
        The dataset, which keeps its reader.
    seen : object
        How far the file had been changed when the reader was made: see `Door.changes`.
    again : bool
        Whether it has read already: it is worth asking then how the dataset is stored.
    """

    __slots__ = ("again", "dataset", "seen")
    again: bool
    dataset: Any
    seen: object

    def read(self, args: tuple[Any, ...]) -> Any:
        """What the selection `args` holds."""
        dataset = self.dataset()
        if self.again and (chunks := _chunks_of(dataset)) is not None:
            found = past.read_chunk(dataset, chunks, args)
            if found is not None:
                return found
        self.again = True
        if not scattered.is_one_run(args) and _is_by_rows(dataset, args):
            raise TypeError("to be read by rows")  # h5py asks `DatasetID.read` then
        if not virtual.is_to_be_stood_in(dataset):
            try:
                found = super().read(args)
            except OSError:
                if not virtual.is_to_be_stood_in(dataset):
                    raise
            else:
                if not virtual.is_to_be_stood_in(dataset):
                    return found
        return h5py.Dataset(virtual.stand_in(dataset))[args]


class _PastReader:
    """Reads a dataset that lies in one stretch of the file; h5py's reader is made when it is needed.

    Attributes
    ----------
    dataset, seen
        As of `_Reader`.
    """

    __slots__ = ("_stretch", "_theirs", "dataset", "seen")

    def __init__(self, stretch: past.Stretch) -> None:
        self._stretch = stretch
        self._theirs: Any = None
        self.dataset: Any = None
        self.seen: object = None

    def read(self, args: tuple[Any, ...]) -> Any:
        """What the selection `args` holds."""
        found = past.read_stretch(self._stretch, args)
        if found is not None:
            return found
        if self._theirs is None:
            self._theirs = _theirs(self.dataset())
        return self._theirs.read(args)


def reader(dataset: Any) -> Any:
    """A reader for the dataset."""
    door = getattr(dataset, "door", None)
    if door is None:
        return native.Reader(dataset)
    changes, kept = door.changes, getattr(dataset, "reader", None)
    if kept is None or kept.seen is None or kept.seen != changes:
        stretch = None if changes is None else past.stretch_of(dataset)
        kept = dataset.reader = _theirs(dataset) if stretch is None else _PastReader(stretch)
        kept.dataset, kept.seen = weakref.ref(dataset), changes
    return kept


def _theirs(dataset: Any) -> _Reader:
    made = _Reader(dataset)
    made.dataset, made.seen, made.again = weakref.ref(dataset), None, False
    return made


def _is_by_rows(dataset: Any, args: tuple[Any, ...]) -> bool:
    return scattered.is_contiguous(dataset) and scattered.are_scattered(args, extents.shape(dataset) or ())


def _chunks_of(dataset: Any) -> past.Chunks | None:
    """How a dataset is stored, which never changes; None if HDF5 is to read it."""
    try:
        known: past.Chunks | None = dataset.chunks
    except AttributeError:
        if past.settled(dataset) is None:
            return None
        known = dataset.chunks = past.chunks_of(dataset)
    return known
