"""What a session is for: to look at the file as it will be, and to write trees and streams into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import h5py
import numpy.typing as npt

from safeh5.errors import InvalidOptionError
from safeh5.microdata import FileNamespace, MicroData, plan_write
from safeh5.operations.values import StoredReference
from safeh5.recovery.report import ResumeReport
from safeh5.session.core import SessionCore
from safeh5.session.disk import DiskStatus
from safeh5.session.packing import Packer
from safeh5.session.reading import reading
from safeh5.session.stream import Stream
from safeh5.session.streaming import (
    absolute,
    item_shape,
    item_type,
    new_dataset,
    open_stream,
    require_items,
)
from safeh5.session.written import Written
from safeh5.storage.interrupts import Uncollected


class Contents(SessionCore):
    """A session without its end: the states are those of `safeh5.session.session`."""

    @property
    def file(self) -> h5py.File:
        """The file as it will be, for reading with h5py.

        It holds everything written so far. Do not change it: what is written
        past the session is not journaled and will be gone after a crash. It
        closes when the session ends, and from the first use on everything is
        applied before a call returns, so that it is there at once. With
        ``applier="process"`` it is a snapshot, and closes when something is written.
        """
        with self._working():
            self._before_looking()
            return self._workspace.file(self._applicable)

    @property
    def disk(self) -> DiskStatus:
        """Free space as it is now, the thresholds, and how long it lasts."""
        return self._log.disk.status()

    def check(self) -> None:
        """Raise if the disk below `file` has failed; what was read from it may then be wrong.

        Raises
        ------
        ApplyError, DiskFullError
            The file is made again when next needed; nothing acknowledged is lost.
        """
        with self._working():
            self._workspace.check()

    def describe_reference(self, reference: Any) -> StoredReference | None:
        """What an h5py reference taken from `file` refers to."""
        return FileNamespace(self._look()).describe(reference)

    def write(
        self, tree: MicroData | Sequence[MicroData], *, exist_ok: bool = False, overwrite: bool = False
    ) -> Written:
        """Write a MicroData tree as one batch: whole, or not at all.

        Parameters
        ----------
        tree : MicroData or sequence of MicroData
            What to write. Existing groups are merged with, their attributes set.
        exist_ok : bool
            A dataset that exists with the same shape and type takes the new values.
        overwrite : bool
            A dataset that exists is deleted and made anew.

        Returns
        -------
        Written
            The paths the nodes got. With durability ``"record"`` the tree
            survives a power cut from here on.

        Raises
        ------
        InvalidTreeError
            If the tree does not fit, with the node's path; nothing was written.
        DiskFullError
            If there is no room; the batch does not exist, the session goes on.
        """
        lsn = self.last_lsn

        def ended(end: int) -> None:
            nonlocal lsn
            lsn = end

        with self.batch():
            self.at_end(ended)
            with reading(self._workspace), Uncollected():
                plan = plan_write(tree, FileNamespace(self._look()), exist_ok=exist_ok, overwrite=overwrite)
            packer = Packer(self._record)
            packer.take(plan.operations(self._options.frame_bytes))
            packer.flush()
            # What stood there may have been made anew; a stream on it would not know. And what
            # is made here is gone when the batch is cancelled.
            self._streams.forget(plan.paths.values())
            self.on_cancel(partial(self._streams.forget, plan.paths.values()))
            lsn = self.last_lsn  # and that of END, once it is known
        return Written(lsn, tuple(plan.paths.values()), plan.paths)

    def stream(
        self,
        path: str,
        shape: int | tuple[int, ...] | None = None,
        dtype: npt.DTypeLike | None = None,
        *,
        chunks: tuple[int, ...] | bool | None = None,
        compression: Any = None,
        attrs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Stream:
        """A dataset that grows along its first axis: made, or opened if it is there.

        One that is there must have items of that shape and type if they are given; everything
        else is for making it, and changes nothing in one that is there.

        Parameters
        ----------
        path : str
            HDF5 path; missing groups are made.
        shape : tuple of int, optional
            Shape of one item, a number for one axis; needed to make the dataset.
        dtype : dtype, optional
            Type of the elements, ``str`` for strings of any length; needed to make the dataset.
        chunks : tuple of int, optional
            Chunk shape, axis 0 first; one item, or as many small ones as fill
            64 KiB, by default.
        compression, attrs, **options
            As for `MicroDataset`.

        Returns
        -------
        Stream
            Its `Stream.length` says which item comes next.

        Raises
        ------
        InvalidTreeError, InvalidTypeError
            If what stands at `path` is no dataset that can take such items, or there is no such path,
            shape or type.
        """
        path = absolute(path)
        shape, dtype = item_shape(shape, path), item_type(dtype, path)
        with self._mutex:
            self._require_open()
            self._workspace.streams()
            if (known := self._streams.get(path)) is not None:  # an empty one is false
                require_items(known, shape, dtype)
                return known
            with reading(self._workspace):
                kind = FileNamespace(self._look()).kind(path)
            if kind is None:
                self.write(new_dataset(self._look(), path, shape, dtype, chunks, compression, attrs, options))
            with reading(self._workspace):
                if kind == "dataset" and (known := self._streams.twin(self._look(), path)) is not None:
                    require_items(known, shape, dtype)
                    return known
                return self._streams.add(open_stream(self, path, shape, dtype))

    def rewind(self, stream: Stream | str, length: int | None = None) -> int:
        """Drop the items of a stream from `length` on; journaled like everything else.

        Parameters
        ----------
        stream : Stream or str
            The stream, or the path of its dataset.
        length : int
            Items that stay; it has to be said.

        Returns
        -------
        int
            LSN of the record.

        Raises
        ------
        InvalidOptionError
            There is no such stream, or it has not so many items; nothing was dropped.
        """
        if isinstance(stream, str):
            stream = self.stream(stream)
        if not isinstance(stream, Stream):
            raise InvalidOptionError(f"cannot rewind {stream!r}: it is neither a stream nor the path of one")
        if length is None:
            raise InvalidOptionError(
                f"to which length {stream.path} is to be rewound was not said; it has {stream.length} items",
                hint=f"Say how many of them stay: session.rewind({stream.path!r}, length)",
            )
        return stream.rewind(length)

    @property
    def resume_report(self) -> ResumeReport | None:
        """What was there of each stream when an interrupted session was gone on with.

        None when the session began anew. A stream is listed when items were
        appended to it before.
        """
        with self._mutex:
            return self._streams.report()
