"""What recovery says: typed reports first; text and JSON are made from them."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

import msgspec


class Condition(StrEnum):
    """What stands at a path, as far as safeh5 is concerned."""

    CLEAN = "clean"
    """No session; the target is what it is."""
    LIVE = "live"
    """A session holds the lock right now."""
    INTERRUPTED = "interrupted"
    """A session ended without commit, roll back or suspend."""
    SUSPENDED = "suspended"
    """A session was sealed in good order, to be gone on with."""
    IN_DOUBT = "commit-in-doubt"
    """The COMMIT record is there; only the last steps are missing."""
    ROLLED_BACK = "rolled-back"
    """The session was rolled back; its sidecar is kept aside or left over."""
    CORRUPT = "corrupt"
    """Acknowledged bytes of the journal are damaged."""
    UNSUPPORTED = "newer-version"
    """The journal was written by a newer safeh5."""
    FOREIGN = "foreign"
    """What stands at the sidecar's place is not a session of safeh5."""


class Action(StrEnum):
    """What recovery can be told to do."""

    REPLAY = "replay"
    ROLLBACK = "rollback"
    SALVAGE = "salvage"


class TargetState(StrEnum):
    """The target compared with what the session knows of it."""

    ABSENT = "absent"
    BASE = "as the session found it"
    COMMITTED = "the session's result"
    CHANGED = "changed since the session began"
    UNKNOWN = "unknown"


class _Report(msgspec.Struct, frozen=True, kw_only=True):
    def to_dict(self) -> dict[str, Any]:
        """The report as plain dicts, lists, strings and numbers."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built

    def to_json(self) -> str:
        """The report as JSON text."""
        # Not msgspec's encoder: a file name may hold bytes that are no UTF-8.
        return json.dumps(self.to_dict())


class TornReport(_Report, frozen=True):
    """Bytes after the last whole frame; never acknowledged.

    Attributes
    ----------
    segment, offset : int
        Where they begin.
    bytes : int
        How many.
    whole_frames : int
        Whole frames among them, behind a hole.
    first_lsn : int
        The LSN that would have come next.
    """

    segment: int
    offset: int
    bytes: int
    whole_frames: int
    first_lsn: int


class UnfinishedBatch(_Report, frozen=True):
    """A batch that has no end: it was never acknowledged and does not exist.

    Attributes
    ----------
    batch : int
        Its number.
    first_lsn : int
        Its first record.
    records : int
        How many records it has.
    """

    batch: int
    first_lsn: int
    records: int


class DamageReport(_Report, frozen=True):
    """One damaged place in the journal.

    Attributes
    ----------
    path : str
        The file that is damaged.
    segment, offset : int
        Number of the segment, and the byte where the damage was noticed.
    lsn : int or None
        The record that is damaged, or the one that should stand there; None where neither is known.
    cause : str
        What was found.
    """

    path: str
    segment: int
    offset: int
    lsn: int | None
    cause: str


class Loss(_Report, frozen=True):
    """Something acknowledged that could not be brought back.

    Attributes
    ----------
    what : str
        In words.
    first_lsn, last_lsn : int or None
        The records concerned.
    dataset : str or None
        The HDF5 object concerned, where known.
    """

    what: str
    first_lsn: int | None = None
    last_lsn: int | None = None
    dataset: str | None = None


class StreamReport(_Report, frozen=True):
    """One stream of an interrupted session.

    Attributes
    ----------
    path : str
        HDF5 path of the dataset.
    kept : int
        Items that it has: the acquisition goes on with this one.
    lost : int
        Items of which something was found and that do not count: they were
        never acknowledged. Of an item that left no trace nobody knows.
    last : str or None
        When the last item that is kept was journaled: ISO time, UTC.
    """

    path: str
    kept: int
    lost: int
    last: str | None


class ResumeReport(_Report, frozen=True):
    """What there was when a session was gone on with.

    Attributes
    ----------
    streams : tuple of StreamReport
        Those that were appended to.
    torn : TornReport or None
        What was being written when the session was interrupted; kept aside.
    unfinished : UnfinishedBatch or None
        The batch without an end, which does not exist.
    """

    streams: tuple[StreamReport, ...]
    torn: TornReport | None = None
    unfinished: UnfinishedBatch | None = None

    def __getitem__(self, path: str) -> StreamReport:
        """The stream at `path`."""
        wanted = "/" + path.strip("/")
        for stream in self.streams:
            if stream.path == wanted:
                return stream
        raise KeyError(path)


class StatusReport(_Report, frozen=True):
    """What stands at one target.

    Attributes
    ----------
    target, sidecar : str
        Paths.
    condition : Condition
        What it is.
    detail : str
        The same in a sentence.
    command : str or None
        What to run next; None when there is nothing to do.
    target_state : TargetState
        The target compared with the session.
    session_id : str or None
        The session's id, in hexadecimal digits.
    records, bytes : int
        Acknowledged records and payload bytes of the journal that wait for commit.
    durable_lsn : int
        Everything up to this record is known to be on disk.
    began, last_activity : str or None
        ISO times, UTC.
    owner : str or None
        Who writes or wrote, in words.
    torn, unfinished, damage
        What was found at the end and in the middle of the journal.
    leftovers : tuple of str
        Remains of finished sessions that the next open removes.
    """

    target: str
    sidecar: str
    condition: Condition
    detail: str
    command: str | None = None
    target_state: TargetState = TargetState.UNKNOWN
    session_id: str | None = None
    records: int = 0
    bytes: int = 0
    durable_lsn: int = 0
    began: str | None = None
    last_activity: str | None = None
    owner: str | None = None
    torn: TornReport | None = None
    unfinished: UnfinishedBatch | None = None
    damage: tuple[DamageReport, ...] = ()
    leftovers: tuple[str, ...] = ()


class RecoveryReport(_Report, frozen=True):
    """What a recovery did, or would do.

    Attributes
    ----------
    target : str
        The target.
    action : Action
        What was asked for.
    before : Condition
        What stood there.
    dry_run : bool
        Whether nothing was done.
    plan : tuple of str
        The steps, in words, in order.
    result : str or None
        The HDF5 file that now holds the data.
    records, bytes : int
        Records and payload bytes applied.
    torn, unfinished, damage
        What was found at the end and in the middle of the journal.
    kept_aside : tuple of str
        What was moved out of the way and not deleted.
    losses : tuple of Loss
        Acknowledged data that are not in `result`.
    warnings : tuple of str
        What else is worth knowing.
    seconds : float
        How long it took.
    """

    target: str
    action: Action
    before: Condition
    dry_run: bool = False
    plan: tuple[str, ...] = ()
    result: str | None = None
    records: int = 0
    bytes: int = 0
    torn: TornReport | None = None
    unfinished: UnfinishedBatch | None = None
    damage: tuple[DamageReport, ...] = ()
    kept_aside: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
