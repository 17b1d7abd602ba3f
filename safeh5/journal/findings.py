"""What a scan of a journal finds, as data; nothing here reads a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from safeh5.errors import CorruptJournalError, recover_command
from safeh5.journal.anchor import Anchor
from safeh5.journal.batches import BatchState
from safeh5.journal.format import Kind, SegmentHeader, decode_meta


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """One segment file.

    Attributes
    ----------
    path : str
        The file.
    number : int
        Its number, from its name.
    header : SegmentHeader or None
        None when it is damaged.
    size : int
        Length of the file in bytes.
    valid_length : int
        Bytes from the beginning that are whole and in sequence with all before; 0 behind damage.
    chain : int
        The chain after these bytes.
    last_lsn : int
        LSN of the last frame in these bytes; one less than the first when there is none.
    """

    path: str
    number: int
    header: SegmentHeader | None
    size: int
    valid_length: int
    chain: int
    last_lsn: int


@dataclass(frozen=True, slots=True)
class Damage:
    """A place where durable bytes are not what was written.

    Attributes
    ----------
    path : str
        The segment's file (which may be missing).
    segment, offset : int
        Segment number and byte offset in it.
    lsn : int or None
        LSN of the frame that should be there, when known.
    cause : str
        What is there instead.
    """

    path: str
    segment: int
    offset: int
    lsn: int | None
    cause: str

    def error(self) -> CorruptJournalError:
        """The exception that says this."""
        command = recover_command(os.path.dirname(self.path), "--salvage")
        return CorruptJournalError(
            f"the journal is damaged in segment {self.segment} at byte {self.offset}: {self.cause}",
            segment=self.segment, offset=self.offset, cause=self.cause, path=self.path, lsn=self.lsn,
            safe="Nothing has been changed; the records before that place are whole",
            hint=f"To keep what is whole and have every loss named: {command}",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TornTail:
    """The end of the journal that was being written when the writer stopped; never acknowledged.

    Attributes
    ----------
    path : str
        The last segment's file.
    segment, offset : int
        Where it begins.
    size : int
        Its bytes, up to the end of the file.
    whole_frames : int
        Frames in it that are whole, behind the first that is not.
    first_lsn : int
        LSN of the first frame in it.
    """

    path: str
    segment: int
    offset: int
    size: int
    whole_frames: int
    first_lsn: int


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch without END at the end of the journal: on replay it does not exist."""

    number: int
    first_lsn: int
    records: int


@dataclass(frozen=True, slots=True)
class ControlFrame:
    """A record of the session about itself.

    Attributes
    ----------
    kind : Kind
        SESSION, CHECKPOINT, RESUME, SEAL, COMMIT or ROLLBACK.
    lsn : int
        Its LSN.
    time : int
        When it was written, nanoseconds since the epoch, to the millisecond.
    meta : bytes
        Its meta part.
    """

    kind: Kind
    lsn: int
    time: int
    meta: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """The meta part as a dict."""
        return decode_meta(self.meta)


@dataclass(frozen=True, slots=True)
class JournalScan:
    """All that is known of a journal after one pass over it.

    Numbers describe the valid prefix: everything before the first damage or
    the torn tail.

    Attributes
    ----------
    directory : str
        Where the journal is.
    session_id : bytes
        16 bytes; all zero when no segment header could be read.
    segments : tuple of SegmentInfo
        Every segment file, in order; those before an anchor are not among them.
    first_lsn, last_lsn : int
        First and last frame; 1 and 0 when there is none.
    durable_lsn : int
        Everything up to here is proved to have been on disk, and is here unless `damage` says otherwise.
    frames : int
        How many frames.
    size : int
        Their bytes, segment headers included.
    records, record_bytes : int
        OPERATIONs of ended, unaborted batches, and the bytes of their payloads.
    batch : BatchState
        The latest batch.
    aborted : frozenset of int
        Numbers of the aborted batches.
    control : tuple of ControlFrame
        In order; of the CHECKPOINTs only the last.
    created, modified : int
        When the first of `segments` was begun and the last frame written, nanoseconds since the epoch;
        0 if unknown.
    damage : tuple of Damage
        In order of place; empty for a sound journal.
    more_damage : int
        Damaged places beyond those listed.
    torn : TornTail or None
        What was being written at the end.
    anchor : Anchor or None
        Where the journal begins, when that is not with the SESSION record.
    leftovers : tuple of str
        Segment files from before the anchor. They are garbage, and go when the session is resumed.
    """

    directory: str
    session_id: bytes
    segments: tuple[SegmentInfo, ...]
    first_lsn: int
    last_lsn: int
    durable_lsn: int
    frames: int
    size: int
    records: int
    record_bytes: int
    batch: BatchState
    aborted: frozenset[int]
    control: tuple[ControlFrame, ...]
    created: int
    modified: int
    damage: tuple[Damage, ...] = ()
    more_damage: int = 0
    torn: TornTail | None = None
    anchor: Anchor | None = None
    leftovers: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the journal reaches back to the beginning of the session."""
        return self.anchor is None and bool(self.segments) and self.segments[0].number == 1

    @property
    def open_batch(self) -> OpenBatch | None:
        """The batch that was never ended, if there is one."""
        if not self.batch.open:
            return None
        return OpenBatch(self.batch.last, self.batch.first_lsn, self.batch.records)

    def last(self, *kinds: Kind) -> ControlFrame | None:
        """The latest control record of one of `kinds`."""
        return next((frame for frame in reversed(self.control) if frame.kind in kinds), None)

    def raise_if_damaged(self) -> None:
        """Raise `CorruptJournalError` for the first damaged place, if there is one."""
        if self.damage:
            raise self.damage[0].error()
