"""What recovery makes of a damaged session before it acts: scanned, classified, planned, and judged.

Most damaged sessions of a long run are looked at in this way only, which takes
a millisecond; all that recovery does it decides here. What a journal held when
it was whole (`Whole`) is what its damaged copy is judged by.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from safeh5.errors import CorruptJournalError, SafeH5Error
from safeh5.journal import WHOLE, Frame, Gap, JournalScan, frames, records, salvage_frames, scan
from safeh5.journal.format import BARRIERS, decode_meta
from safeh5.journal.format import Kind as FrameKind
from safeh5.recovery import Action, Condition
from safeh5.recovery.describe import status_report
from safeh5.recovery.evidence import Evidence, examine
from safeh5.recovery.plan import Plan, Step, make_plan
from safeh5.storage import Names, Storage, segment_number
from safeh5.testing.damage import Damage, Kind
from safeh5.testing.damaged import may_be_lost_in_silence

_LONG = 4000
"""Characters that no message may have."""


@dataclass(frozen=True, slots=True)
class Whole:
    """What a journal held before it was damaged.

    Attributes
    ----------
    session : str
        The session's id, in hexadecimal.
    records : list of [int, int]
        LSN and CRC-32 of each record that counts.
    ends : list of int
        How many records count at the end of each batch.
    places : list of [int, int, int, int]
        Every frame: segment, offset, end and LSN.
    sums : list of int
        CRC-32 of each of these frames.
    last : int
        Number of the last segment.
    vouched : int
        The LSN up to which a mark behind it says that all is there.
    """

    session: str
    records: list[list[int]]
    ends: list[int]
    places: list[list[int]]
    sums: list[int]
    last: int
    vouched: int = 1 << 62

    @classmethod
    def of(cls, sidecar: Path) -> Whole:
        """Read a journal that is whole."""
        storage = Storage()
        found = scan(storage, sidecar)
        assert not found.damage
        kept: list[list[int]] = []
        starts: list[int] = []
        batch: int | None = None
        for frame in records(storage, found):
            if frame.batch != batch or frame.flags & WHOLE:
                starts.append(len(kept))
            batch = None if frame.flags & WHOLE else frame.batch
            kept.append([frame.lsn, _content_sum(frame)])
        every = [(frame.segment, frame.offset, frame.lsn, _sum(frame)) for frame in frames(storage, found)]
        lengths = {segment.number: segment.valid_length for segment in found.segments}
        after = [*every[1:], (0, 0, 0, 0)]
        stops = [b[1] if a[0] == b[0] else lengths[a[0]] for a, b in zip(every, after, strict=True)]
        places = [[a[0], a[1], stop, a[2]] for a, stop in zip(every, stops, strict=True)]
        return cls(
            found.session_id.hex(),
            kept,
            [*starts, len(kept)],
            places,
            [item[3] for item in every],
            found.segments[-1].number,
            max(_vouches(frame) for frame in frames(storage, found)),
        )

    def at(self, segment: int, offset: int) -> list[int] | None:
        """The frame that this byte is of."""
        return next((p for p in self.places if p[0] == segment and p[1] <= offset < p[2]), None)

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


def _vouches(frame: Frame) -> int:
    """Up to which LSN a frame says that everything was on the disk before it."""
    if frame.kind == FrameKind.SYNC:
        return int(decode_meta(bytes(frame.meta))["durable"])
    return frame.lsn - 1 if frame.kind in BARRIERS else 0


def first_change(before: bytes, after: bytes) -> int:
    """Offset of the first byte that differs; that of the end where one begins with the other."""
    size = min(len(before), len(after))
    differs = np.frombuffer(before, np.uint8, size) != np.frombuffer(after, np.uint8, size)
    return int(differs.argmax()) if differs.any() else size


def look(target: Path, damage: Damage, whole: Whole, changed: int | None) -> str:
    """Scan, classify and plan, judge what comes of it, and say it in a word.

    Parameters
    ----------
    target : Path
        The file whose session is damaged.
    damage : Damage
        What happened to it.
    whole : Whole
        What its journal held before.
    changed : int or None
        Offset of the first byte of the file that is another; None if the file is gone.

    Raises
    ------
    AssertionError
        A value that nobody wrote, a loss without a word, or the blame for another place.
    """
    storage, names = Storage(), Names.of(target)
    try:
        evidence = examine(storage, names, locked=False)
    except SafeH5Error as error:
        _judge_message(error, target)
        return f"cannot be looked at: {type(error).__name__}"
    status = status_report(evidence)
    assert status.detail and status.condition is not Condition.LIVE, status
    if evidence.scan is not None and evidence.scan.damage:
        _judge_salvage(storage, evidence, damage, whole)
    try:
        plan = make_plan(evidence, Action.REPLAY)
    except SafeH5Error as error:
        _judge_message(error, target)
        if isinstance(error, CorruptJournalError) and error.segment is not None:
            _judge_place(error, damage, whole, changed)
        return f"refused: {type(error).__name__}"
    return _judge_plan(storage, evidence, plan, damage, whole, changed)


# --- what is gone on with -----------------------------------------------------------------


def _judge_plan(
    storage: Storage, evidence: Evidence, plan: Plan, damage: Damage, whole: Whole, changed: int | None
) -> str:
    found = evidence.scan
    if found is None or found.session_id.hex() != whole.session:
        return "nothing of this session"
    assert not evidence.rolled_back, "a ROLLBACK record that nobody wrote"
    if Step.REPLAY not in plan.steps:
        return "its commit is finished"
    left = [[frame.lsn, _content_sum(frame)] for frame in records(storage, found)]
    assert left == whole.records[: len(left)], "something was made up"
    assert len(left) in whole.ends, "a part of a batch"
    if left == whole.records:
        return "all is there"
    # One bit of an acknowledged record: its SYNC mark stands behind it, whole, and vouches for it.
    hit = whole.at(segment_number(damage.file) or 0, changed or 0)
    unsure = hit is not None and hit[3] > whole.vouched
    assert damage.kind is not Kind.FLIP or unsure, f"lost, and taken for a torn end: {found.torn}"
    said = found.torn or found.batch.open
    assert said or may_be_lost_in_silence(damage, whole.last), "lost without a word"
    return "a torn end"


# --- what is refused ------------------------------------------------------------------------


def _judge_message(error: SafeH5Error, target: Path) -> None:
    text = str(error)
    assert str(target.parent) in text, f"the error does not say where: {text}"
    assert len(text) < _LONG, f"a message of {len(text)} characters: {text[:200]}"


def _judge_place(error: CorruptJournalError, damage: Damage, whole: Whole, changed: int | None) -> None:
    """The error names the segment that was hit, and the frame, by offset and LSN."""
    number = segment_number(damage.file)
    assert number is not None, f"the journal is whole, {damage.file} was damaged: {error}"
    if changed is None or damage.kind in (Kind.STALE, Kind.FOREIGN):
        # A segment that is gone may be named by what it leaves open; and of two
        # sessions nobody can tell which is the stranger.
        return
    assert error.segment is not None and abs(error.segment - number) <= 1, (
        f"segment {number} was damaged: {error}"
    )
    hit = whole.at(number, changed)
    if hit is None or damage.kind is not Kind.FLIP:
        # Headers state what stood in the segment before; blocks may hit some frames at once.
        return
    assert (error.segment, error.offset, error.lsn) == (hit[0], hit[1], hit[3]), (
        f"byte {changed} of segment {number} was damaged, in the frame at {hit[1]} with LSN {hit[3]}: {error}"
    )


def _judge_salvage(storage: Storage, evidence: Evidence, damage: Damage, whole: Whole) -> None:
    """What salvage would go by: frames as they were written, and a gap for each that is not there."""
    found = evidence.scan
    assert found is not None
    try:
        make_plan(evidence, Action.SALVAGE)
    except SafeH5Error as error:
        _judge_message(error, Path(evidence.names.target))
    if found.session_id.hex() != whole.session:
        return
    sums = {place[3]: value for place, value in zip(whole.places, whole.sums, strict=True)}
    first, last = found.first_lsn, whole.places[-1][3]
    missing = set(range(first, last + 1))
    for lsn, to in _salvaged(storage, found, sums):
        missing.difference_update(range(max(lsn, first), (last if to is None else min(to, last)) + 1))
    if may_be_lost_in_silence(damage, whole.last) and missing == set(
        range(min(missing, default=0), last + 1)
    ):
        return  # the end, and nothing is left that tells how far the journal went
    assert not missing, f"salvage says nothing of the frames {sorted(missing)}"


def _salvaged(storage: Storage, found: JournalScan, sums: dict[int, int]) -> Iterator[tuple[int, int | None]]:
    """The LSNs that are there or named as lost."""
    for item in salvage_frames(storage, found):
        if isinstance(item, Gap):
            yield item.first_lsn, item.last_lsn
            continue
        assert sums.get(item.lsn) == _sum(item), f"the frame with LSN {item.lsn} was made up"
        yield item.lsn, item.lsn


def _content_sum(frame: Frame) -> int:
    return zlib.crc32(frame.payload, zlib.crc32(frame.meta))


def _sum(frame: Frame) -> int:
    return zlib.crc32(f"{frame.kind} {frame.flags} {frame.batch}".encode(), _content_sum(frame))
