"""Control records: what a session says about itself in its journal.

Frames of other kinds than OPERATION carry one of these as their meta part.
They tell recovery how the session began, how far it is known to be safe and
how it ended.
"""

from __future__ import annotations

import time
from typing import Any, TypeVar

import msgspec

from safeh5.errors import JournalError
from safeh5.storage import Owner
from safeh5.storage.fingerprint import Fingerprint


class FileCreation(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the HDF5 file is made and opened: arguments of ``h5py.File``; None is h5py's default.

    The first six leave a mark in a file that is made. The others hold whenever
    it is opened, so that a replay stores things as the session did: `libver`
    decides which features of HDF5 there are at all.

    Attributes
    ----------
    userblock_size : int or None
        Bytes before the HDF5 signature.
    track_order, track_times : bool or None
        Of the root group.
    fs_strategy, fs_persist, fs_threshold, fs_page_size
        How free space in the file is managed.
    libver : str, tuple of str, or None
        Lowest, or lowest and highest, file format version to use.
    alignment_threshold, alignment_interval, meta_block_size
        How objects are placed in the file.
    rdcc_nslots, rdcc_nbytes, rdcc_w0, page_buf_size, min_meta_keep, min_raw_keep
        Caches of HDF5; without a mark in the file.
    """

    libver: str | tuple[str, str] | None = None
    userblock_size: int | None = None
    track_order: bool | None = None
    track_times: bool | None = None
    fs_strategy: str | None = None
    fs_persist: bool | None = None
    fs_threshold: int | None = None
    fs_page_size: int | None = None
    alignment_threshold: int | None = None
    alignment_interval: int | None = None
    meta_block_size: int | None = None
    rdcc_nslots: int | None = None
    rdcc_nbytes: int | None = None
    rdcc_w0: float | None = None
    page_buf_size: int | None = None
    min_meta_keep: int | None = None
    min_raw_keep: int | None = None

    def arguments(self, *, new: bool) -> dict[str, Any]:
        """The arguments of ``h5py.File`` for a file that is made, or for one that is there."""
        names = [name for name in self.__struct_fields__ if new or name not in _MARKS]
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value is not None}


_OF_SPACE = ("fs_strategy", "fs_persist", "fs_threshold", "fs_page_size")
_MARKS = frozenset(("userblock_size", "track_order", "track_times", *_OF_SPACE))


class Writer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who wrote, for messages and reports only."""

    pid: int
    host: str
    safeh5: str
    h5py: str
    hdf5: str

    @classmethod
    def current(cls) -> Writer:
        """The process that asks, and its libraries."""
        import h5py  # who only reads records need not load it

        owner = Owner.current()
        return cls(owner.pid, owner.host, owner.safeh5, h5py.version.version, h5py.version.hdf5_version)


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """First record of a journal: how the session began.

    Attributes
    ----------
    target : str
        File name of the target, beside the sidecar.
    mode : str
        The mode it was opened with.
    base : Fingerprint or None
        The target as it was found; None when there was none.
    copy : bool
        Whether the new file starts as a copy of `base` or empty.
    creation : FileCreation
        How the new file is made when it starts empty.
    time : int
        Nanoseconds since the epoch.
    """

    target: str
    mode: str
    base: Fingerprint | None
    copy: bool
    writer: Writer
    time: int
    creation: FileCreation = FileCreation()


class ResumeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Someone went on with the session; `purpose` is ``"resume"`` or ``"recover"``."""

    writer: Writer
    time: int
    purpose: str


class SealRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The session was suspended in good order."""

    time: int


class StreamState(msgspec.Struct, frozen=True):
    """A stream at an anchor, whose records are removed.

    Attributes
    ----------
    path : str
        HDF5 path of the dataset.
    length : int
        Its items.
    time : int
        When the last was appended, nanoseconds since the epoch; 0 if unknown.
    """

    path: str
    length: int
    time: int

    @classmethod
    def of_anchor(cls, meta: bytes) -> tuple[StreamState, ...]:
        """The streams that an anchor with this meta knows of; none if it says nothing of them."""
        try:
            return msgspec.msgpack.decode(meta, type=CheckpointRecord).streams
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return ()


class CheckpointRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything up to `applied` is in the staging file, which is on disk.

    Attributes
    ----------
    applied : int
        LSN of the last record in it, or of a note behind that.
    time : int
        Nanoseconds since the epoch.
    session : bytes or None
        The meta of the SESSION record. With it the checkpoint is an *anchor*:
        it begins a segment, and the segments before are removed.
    last_batch : int or None
        In an anchor: number of the latest batch, 0 when there was none.
    streams : tuple of StreamState
        In an anchor: the streams, for the report after a crash.
    """

    applied: int
    time: int
    session: bytes | None = None
    last_batch: int | None = None
    streams: tuple[StreamState, ...] = ()


class CommitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The new file is whole and on disk; from here recovery rolls forward.

    Attributes
    ----------
    result : Fingerprint
        The staging file that is to become the target.
    """

    result: Fingerprint
    time: int


class RollbackRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The session was rolled back; the target stays as it is."""

    time: int


ControlRecord = SessionRecord | ResumeRecord | SealRecord | CheckpointRecord | CommitRecord | RollbackRecord

_Record = TypeVar("_Record", bound=msgspec.Struct)


def encode_control(record: ControlRecord) -> bytes:
    """The meta part of a control frame."""
    return msgspec.msgpack.encode(record)


def decode_control(kind: type[_Record], meta: bytes | memoryview) -> _Record:
    """The control record of type `kind` in `meta`.

    Raises
    ------
    JournalError
        If `meta` is not such a record.
    """
    try:
        return msgspec.msgpack.decode(meta, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise JournalError(f"a {kind.__name__} cannot be read: {error}") from error


def now() -> int:
    """The time for a record: nanoseconds since the epoch."""
    return time.time_ns()
