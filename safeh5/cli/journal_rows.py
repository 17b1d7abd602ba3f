"""The frames of a journal as rows to be shown, sound or damaged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safeh5.errors import JournalError, NothingToRecoverError
from safeh5.journal import Frame, Gap, JournalScan, Kind, salvage_frames, scan
from safeh5.journal.format import FormatError, decode_meta
from safeh5.operations import codec, model
from safeh5.storage import Names, Storage, segment_number


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal that was found, and which segment of it was asked for (None for all)."""

    directory: str
    segment: int | None
    scan: JournalScan


@dataclass(frozen=True, slots=True)
class Row:
    """One frame, or one place where frames are lost.

    Attributes
    ----------
    lsn : int
        Its LSN; of a gap, the first that is lost.
    kind : str
        ``"operation"``, ``"end"``, ... or ``"lost"``.
    time : str or None
        When it was written, ISO 8601, UTC.
    segment, offset : int
        Where it stands.
    batch : int
        Batch number, 0 for none.
    state : str
        ``"aborted"`` or ``"unfinished"`` when the record does not count, else empty.
    meta : bytes
        The meta part.
    payload_bytes : int
        Length of the payload.
    cause : str
        Why frames are lost.
    """

    lsn: int
    kind: str
    time: str | None
    segment: int
    offset: int
    batch: int = 0
    state: str = ""
    meta: bytes = b""
    payload_bytes: int = 0
    cause: str = ""

    @property
    def operation(self) -> model.AnyOperation | None:
        """The operation of a record, None for other kinds and for what cannot be decoded."""
        if self.kind != "operation":
            return None
        try:
            return codec.decode(self.meta)
        except JournalError:
            return None

    def to_dict(self) -> dict[str, Any]:
        """The row in plain types."""
        row: dict[str, Any] = {"lsn": self.lsn, "kind": self.kind, "time": self.time}
        row |= {"segment": self.segment, "offset": self.offset, "batch": self.batch, "state": self.state}
        operation = self.operation
        if operation is not None:
            row |= {"operation": operation_name(operation), "path": operation.path}
        row |= {
            "detail": self.detail(operation),
            "meta_bytes": len(self.meta),
            "payload_bytes": self.payload_bytes,
        }
        return row

    def detail(self, operation: model.AnyOperation | None) -> str:
        """What else there is to say, in a few words."""
        if self.kind == "lost":
            return self.cause
        if operation is not None:
            return operation_detail(operation)
        try:
            fields = decode_meta(self.meta) if self.meta else {}
        except FormatError as error:
            return str(error)
        told = {
            name: value for name, value in fields.items() if isinstance(value, str | int) and name != "time"
        }
        return ", ".join(f"{name} {value}" for name, value in told.items())


def find_journal(path: str | os.PathLike[str]) -> Journal:
    """The journal at a target, a sidecar, any directory of segments, or one segment.

    Raises
    ------
    NothingToRecoverError
        There is none.
    """
    place = Path(path)
    segment = segment_number(place.name) if place.is_file() else None
    if segment is not None:
        directory = str(place.parent)
    elif place.is_dir() and any(segment_number(name) for name in os.listdir(place)):
        directory = str(place)
    else:
        directory = Names.of(path).sidecar
        if not os.path.isdir(directory):
            raise NothingToRecoverError("there is no journal of safeh5: no session waits here", path=place)
    return Journal(directory, segment, scan(Storage(), directory, live=True))


def rows(journal: Journal) -> Iterator[Row]:
    """Every frame in order, and every gap; of a sound journal what the scan saw, though it may grow."""
    found = journal.scan
    sound = not found.damage and found.torn is None
    for item in salvage_frames(Storage(), found):
        if sound and (isinstance(item, Gap) or item.lsn > found.last_lsn):
            continue  # a writer is at work: these came since
        if journal.segment in (None, item.segment):
            yield _lost(item) if isinstance(item, Gap) else _row(item, journal.scan)


def _row(frame: Frame, journal: JournalScan) -> Row:
    state = "aborted" if frame.batch in journal.aborted else ""
    if journal.batch.open and frame.batch == journal.batch.last:
        state = "unfinished"
    if frame.lsn > journal.last_lsn and not state:
        state = "torn" if journal.torn is not None else "behind damage"
    return Row(
        frame.lsn, Kind(frame.kind).name.lower(), iso(frame.time), frame.segment, frame.offset,
        frame.batch, state, bytes(frame.meta), len(frame.payload),
    )  # fmt: skip


def _lost(gap: Gap) -> Row:
    last = "an unknown number of records" if gap.last_lsn is None else f"up to LSN {gap.last_lsn}"
    return Row(
        gap.first_lsn, "lost", None, gap.segment, gap.offset, cause=f"{last}, {gap.size} bytes: {gap.cause}"
    )


def iso(nanoseconds: int) -> str | None:
    """A time since the epoch as ISO 8601, UTC, to the millisecond; None for an unknown one."""
    if nanoseconds <= 0:
        return None
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="milliseconds")


def operation_name(operation: model.AnyOperation) -> str:
    """The operation's name in the journal: ``"create_group"``."""
    return str(type(operation).__struct_config__.tag)


def operation_detail(operation: model.AnyOperation) -> str:
    """What an operation does besides to which object."""
    match operation:
        case model.WriteData(selection=model.Box(start=start, count=count)):
            return "[" + ", ".join(f"{s}:{s + c}" for s, c in zip(start, count, strict=True)) + "]"
        case model.WriteData(selection=None):
            return "all"
        case model.AppendData():
            return f"[{operation.start}:{operation.start + operation.count}]"
        case model.WriteChunk():
            return f"chunk at {operation.offset}"
        case model.Resize():
            return f"to {operation.shape}"
        case model.RenameAttribute():
            return f"{operation.name} to {operation.new_name}"
        case model.SetAttribute() | model.WriteAttribute() | model.DeleteAttribute():
            return operation.name
        case model.CreateSoftLink() | model.CreateHardLink():
            return f"to {operation.target}"
        case model.CreateExternalLink():
            return f"to {operation.filename}:{operation.target}"
        case model.Many():
            return f"{len(operation.operations)} operations"
        case model.CopyIn():
            return "from another file"
        case model.Move() | model.Copy():
            return f"from {operation.source}"
    return ""
