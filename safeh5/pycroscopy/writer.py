"""pycroscopy's writer classes: a path, a tree, and the h5py objects that it became."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import h5py

from safeh5.errors import InvalidOptionError, InvalidTypeError
from safeh5.h5 import SessionRecorder, journaled_file
from safeh5.microdata import FileNamespace, MicroData, MicroDataGroup
from safeh5.options import Durability
from safeh5.pycroscopy import log
from safeh5.session import Session, State
from safeh5.session import open as open_session


class ioHDF5:
    """Writes trees to an HDF5 file.

    Parameters
    ----------
    file_handle : path-like or h5py.File
        Path of the file, which is made if it does not exist; or a journaled
        file that is open.
    cachemult : int
        Accepted for the sake of old programs, without effect.
    mode : {"a", "r+", "w", "x"}
        How a path is opened; ``"w"`` replaces the file, at commit.
    **options
        As for `safeh5.open`: ``resume``, ``recover``, ``durability``,
        ``on_error``, ``verify`` and so on.

    Attributes
    ----------
    path : str
        The file.
    session : Session
        What journals it.
    """

    def __init__(
        self,
        file_handle: str | os.PathLike[str] | h5py.File,
        cachemult: int = 1,
        *,
        mode: Any = "a",
        **options: Any,
    ) -> None:
        if isinstance(file_handle, h5py.File):
            self.session, self._file = _session_of(file_handle), file_handle
            self.path: str = file_handle.filename
        else:
            options.setdefault("durability", Durability.INTERVAL)
            self.session = open_session(file_handle, mode, **options)
            self._file = journaled_file(self.session)
            self.path = os.fspath(file_handle)

    @property
    def file(self) -> h5py.File:
        """The open file: reading is h5py's, and what is changed is journaled.

        ``flush()`` makes everything durable, ``close()`` commits.
        """
        if self.session.state is State.OPEN and self._file.id.is_lost:
            # A full disk cost the session its HDF5 file; it makes it again.
            self._file = journaled_file(self.session)
        return self._file

    def write_data(
        self,
        data: MicroData,
        print_log: bool = False,
        *,
        exist_ok: bool = False,
        overwrite: bool = False,
    ) -> list[Any]:
        """Write a tree, whole or not at all; what is in the file already stays.

        Parameters
        ----------
        data : MicroData
            The tree. Groups that exist are added to.
        print_log : bool
            Print what was written.
        exist_ok, overwrite : bool
            See `Session.write`.

        Returns
        -------
        list of h5py.Group and h5py.Dataset
            The objects that were written: the top one first, and each group
            after what is in it. On disk when this returns.

        Raises
        ------
        InvalidTreeError
            If the tree does not fit; nothing was written.
        """
        if not isinstance(data, MicroData):
            raise InvalidTypeError(
                f"what was given is no tree but of type {type(data).__name__}: give a MicroDataGroup"
            )
        existed = set(_existing(data, FileNamespace(self.session.file)))
        written = self.session.write(data, exist_ok=exist_ok, overwrite=overwrite)
        self.session.sync()
        if print_log:
            sys.stdout.writelines(f"{line}\n" for line in log.lines(data, written.by_node, existed))
        return list(self._objects(data, written.by_node))

    def _objects(self, root: MicroData, paths: Mapping[MicroData, str]) -> Iterator[Any]:
        ordered = [root, *(node for node in _children_first(root) if node is not root)]
        for node in ordered:
            found = self.file.get(paths[node])
            if found is not None:
                yield found

    def writeData(self, data: MicroData, print_log: bool = False) -> list[Any]:
        """As `write_data`, under its older name."""
        return self.write_data(data, print_log)

    def write(self, data: MicroData, print_log: bool = False) -> list[Any]:
        """As `write_data`, under its newer name."""
        return self.write_data(data, print_log)

    def clear(self) -> None:
        """Remove everything from the file; journaled, so a rollback brings it back."""
        with self.session.batch():
            for name in list(self.file):
                del self.file[name]
            for name in list(self.file.attrs):
                del self.file.attrs[name]

    def flush(self) -> None:
        """Make everything written so far durable."""
        self.file.flush()

    def close(self) -> None:
        """Commit: the new file takes the place of the old one, on disk when this returns."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, or after an exception end as the session's `on_error` says."""
        self.session.__exit__(kind, error, trace)


class HDFwriter(ioHDF5):
    """`ioHDF5` under its later name.

    Parameters
    ----------
    file_handle : path-like or h5py.File
        See `ioHDF5`.
    force_new : bool
        Replace a file that exists, at commit.
    **options
        See `ioHDF5`.
    """

    def __init__(
        self, file_handle: str | os.PathLike[str] | h5py.File, force_new: bool = False, **options: Any
    ) -> None:
        if force_new:
            options["mode"] = "w"
        super().__init__(file_handle, **options)


def _session_of(file: h5py.File) -> Session:
    recorder = getattr(file.id, "recorder", None)
    if isinstance(recorder, SessionRecorder):
        return recorder.session
    raise InvalidOptionError(
        f"{file!r} was opened by h5py, and what is written to it is not journaled",
        hint="Close it and give its path",
    )


def _existing(root: MicroData, namespace: FileNamespace) -> Iterator[MicroData]:
    """The groups of the tree that stand in the file already."""
    pending = [(root, root.path)]
    while pending:
        node, path = pending.pop()
        if not isinstance(node, MicroDataGroup) or node.indexed or namespace.kind(path) != "group":
            continue
        yield node
        pending += [(child, f"{path.rstrip('/')}/{child.name}") for child in node.children]


def _children_first(node: MicroData) -> Iterator[MicroData]:
    if isinstance(node, MicroDataGroup):
        for child in node.children:
            yield from _children_first(child)
    yield node
