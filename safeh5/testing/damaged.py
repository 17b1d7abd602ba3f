"""What must be true of a damaged session: what is not understood is not touched, nothing is made up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safeh5
from safeh5.errors import CorruptJournalError, SafeH5Error
from safeh5.recovery import Condition, RecoveryReport
from safeh5.storage.names import segment_number
from safeh5.testing.damage import Damage, Kind, copy_of
from safeh5.testing.oracle import snapshot

Judge = Callable[[Path, RecoveryReport], None]
"""Looks at a target after a recovery; raises AssertionError if that may not be."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a damaged session was dealt with.

    Attributes
    ----------
    condition : str
        What status said it is.
    replay, salvage : str
        ``"done"``, or the name of the error.
    seconds : float
        What the slowest of the three took.
    """

    condition: str
    replay: str
    salvage: str
    seconds: float


def may_be_lost_in_silence(damage: Damage, last_segment: int) -> bool:
    """Whether nobody can notice: the journal's end is gone, and nothing else vouches for it.

    A journal that ends earlier at a frame's boundary looks like one that was
    never longer.
    """
    whole_end = (Kind.TRUNCATE, Kind.STALE, Kind.MISSING, Kind.RENAMED, Kind.EMPTY)
    return segment_number(damage.file) == last_segment and damage.kind in whole_end


def check_damaged(
    target: Path, damage: Damage, scratch: Path, *, replayed: Judge, salvaged: Judge, seconds: float = 10.0
) -> Outcome:
    """Ask for the status of a damaged session, replay it, and salvage a copy of it.

    Parameters
    ----------
    target : Path
        Its sidecar is damaged already. It is recovered in place.
    damage : Damage
        What happened to it: an error must not blame another segment.
    scratch : Path
        A directory that may be made, for the copy.
    replayed, salvaged : callable
        Judge what was recovered.
    seconds : float
        Longer than this nothing may take.

    Raises
    ------
    AssertionError
        If anything is not as it should be.
    """
    copy = copy_of(target.parent, scratch) / target.name
    before = snapshot(target.parent)
    started = time.monotonic()
    condition = _status(target, before)
    took = [time.monotonic() - started]
    results = []
    for action, where, judge in (("replay", target, replayed), ("salvage", copy, salvaged)):
        started = time.monotonic()
        results.append(_recover(where, action, damage, before, judge))
        took.append(time.monotonic() - started)
    assert max(took) < seconds, f"it took {took} s"
    return Outcome(condition, results[0], results[1], max(took))


def _status(target: Path, before: dict[str, bytes]) -> str:
    try:
        report = safeh5.status(target)
        condition = report.condition.value
        assert report.detail
        assert report.condition is not Condition.LIVE
    except SafeH5Error as error:
        condition = type(error).__name__
    assert snapshot(target.parent) == before, "to ask for the status has changed something"
    return condition


def _recover(target: Path, action: str, damage: Damage, before: dict[str, bytes], judge: Judge) -> str:
    try:
        report = safeh5.recover(target, action)
    except SafeH5Error as error:
        assert str(target) in str(error), f"the error does not say where: {error}"
        _check_blame(error, damage)
        after = _inputs(snapshot(target.parent))
        assert after == _inputs(before), f"{action} was refused ({error}) and has changed something"
        return type(error).__name__
    judge(target, report)
    return "done"


def _inputs(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files that are nobody's to change.

    A checkpoint is redone in the staging file in place, and a torn end is copied aside.
    """
    made = (".lock", "/staging.h5")
    return {name: data for name, data in files.items() if not name.endswith(made) and "-torn-" not in name}


def _check_blame(error: SafeH5Error, damage: Damage) -> None:
    """A segment that is named is the one that was damaged, or one beside it.

    Where a segment ends is stated in the header of the next: if that is hit, an
    old torn end looks like damage. And a header also speaks of the segment before.
    """
    number = segment_number(damage.file)
    if not isinstance(error, CorruptJournalError) or error.segment is None:
        return
    assert number is not None, f"the journal is whole, {damage.file} was damaged: {error}"
    if damage.kind in (Kind.MISSING, Kind.RENAMED, Kind.STALE, Kind.FOREIGN):
        # An anchor that is gone takes with it the reason why others are; and of
        # segments of two sessions nobody can tell which is the stranger.
        return
    near = (number - 1, number, number + 1)
    assert error.segment in near, f"segment {number} was damaged, not {error.segment}: {error}"
