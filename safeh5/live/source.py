"""What there is to see of a target: the last checkpoint of its session, or the target itself.

============================  ==================================================
on the disk                   shown
============================  ==================================================
a session with a checkpoint   that checkpoint
a session without one yet     the target as it is; nothing at all if there is none
no session                    the target
============================  ==================================================
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import h5py

from safeh5.errors import (
    JournalError,
    LiveViewExpiredError,
    NotHDF5Error,
    NotReadableError,
    TargetIsDirectoryError,
    TargetNotFoundError,
)
from safeh5.journal.format import MAX_SEGMENT_HEADER, FormatError, SegmentHeader
from safeh5.journal.segment import segment_paths
from safeh5.storage import Names, Storage
from safeh5.storage.readonly import ReadOnlyFile
from safeh5.storage.snapshot import SnapshotFile

_TRIES: Final = 20


class Shows(StrEnum):
    """What a live view shows."""

    CHECKPOINT = "checkpoint"
    """The last checkpoint, when the view was opened or refreshed, of a session."""
    TARGET = "target"
    """The file at the path itself: there is no session, or it has no checkpoint yet."""
    NOTHING = "nothing"
    """An empty file: there is no file yet, and its session has no checkpoint yet."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An open file, and what it is.

    Attributes
    ----------
    file : h5py.File
        Open for reading.
    shows : Shows
        What it is.
    session : bytes or None
        Id of the session that there was when it was opened.
    lsn : int
        LSN up to which the session's journal is in it.
    time : datetime or None
        When it was written.
    """

    file: h5py.File
    shows: Shows
    session: bytes | None
    lsn: int
    time: datetime | None
    below: ReadOnlyFile | None = None

    @property
    def inode(self) -> int | None:
        """The inode number of the file that is read, None for none."""
        return self.below.inode if self.below is not None else None

    def close(self) -> None:
        """Close everything; objects of the file become invalid."""
        try:
            self.file.close()
        finally:
            if self.below is not None:
                self.below.close()


def current_session(storage: Storage, names: Names) -> bytes | None:
    """The id of the session whose sidecar there is now; None for none.

    Raises
    ------
    JournalError
        Its journal cannot be read.
    NotReadableError
        We may not look into the sidecar.
    """
    for _ in range(_TRIES):
        with _reading(names), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            paths = segment_paths(storage, names.sidecar)
            if not paths:
                return None
            path = paths[max(paths)]
            return SegmentHeader.unpack(storage.read_bytes(path, MAX_SEGMENT_HEADER)).session
        if not storage.exists(names.sidecar):
            return None
    return None


@contextlib.contextmanager
def _reading(names: Names) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise NotReadableError(
            f"the session's directory cannot be read: {error.strerror}",
            path=names.sidecar,
            hint="Look as the user who writes, or wait for the commit",
        ) from error
    except FormatError as error:
        raise JournalError(f"the session's journal cannot be read: {error}", path=names.sidecar) from error


def open_newest(storage: Storage, names: Names, keep_bytes: int) -> Shown:
    """The newest that there is to see, opened.

    Raises
    ------
    TargetNotFoundError
        There is neither a session nor a file.
    NotHDF5Error
        HDF5 cannot read the file.
    NotReadableError
        We may not read it.
    """
    for _ in range(_TRIES):
        session = current_session(storage, names)
        if session is not None:
            with _reading(names):
                snapshot = SnapshotFile.of(storage, names.staging, session, names.target, limit=keep_bytes)
            if snapshot is not None:
                with contextlib.suppress(LiveViewExpiredError):
                    return _of_checkpoint(snapshot, session, names)
                continue
        with contextlib.suppress(FileNotFoundError):
            return open_target(storage, names, session)
        if session is not None and current_session(storage, names) == session:
            return _empty(session)
    raise TargetNotFoundError("there is neither a file nor a session of safeh5", path=names.target)


def _of_checkpoint(snapshot: SnapshotFile, session: bytes, names: Names) -> Shown:
    file = _opened(snapshot, names)
    made = datetime.fromtimestamp(snapshot.made / 1e9, UTC)
    return Shown(file, Shows.CHECKPOINT, session, snapshot.redo.applied, made, snapshot)


def open_target(storage: Storage, names: Names, session: bytes | None) -> Shown:
    """The target itself, opened.

    Raises
    ------
    FileNotFoundError
        There is none.
    NotHDF5Error, NotReadableError
        It cannot be read.
    """
    try:
        below = ReadOnlyFile(storage.open_readonly(names.target), names.target)
    except PermissionError as error:
        raise NotReadableError(f"the file cannot be read: {error.strerror}", path=names.target) from error
    made = datetime.fromtimestamp(below.modified / 1e9, UTC)
    return Shown(_opened(below, names), Shows.TARGET, session, 0, made, below)


def _opened(below: ReadOnlyFile, names: Names) -> h5py.File:
    try:
        return h5py.File(names.target, "r", driver="fileobj", fileobj=below)
    except BaseException as error:
        below.close()
        if isinstance(error, IsADirectoryError):
            raise TargetIsDirectoryError("this is a directory", path=names.target) from error
        refused = isinstance(error, OSError) and error.errno is None
        if refused and not isinstance(error, LiveViewExpiredError):
            raise NotHDF5Error(f"HDF5 does not open the file: {error}", path=names.target) from error
        raise


def _empty(session: bytes) -> Shown:
    return Shown(h5py.File(io.BytesIO(_image_of_nothing()), "r"), Shows.NOTHING, session, 0, None)


@functools.cache
def _image_of_nothing() -> bytes:
    # In memory, but HDF5 wants a name; that of the target is its session's in this process.
    with h5py.File(f".safeh5-nothing-{os.getpid()}", "w", driver="core", backing_store=False) as made:
        made.flush()
        return bytes(made.id.get_file_image())
