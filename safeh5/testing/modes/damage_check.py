"""A damaged session is recovered and salvaged for real, and what comes of it is judged."""

from __future__ import annotations

import zlib
from pathlib import Path

import h5py
import numpy as np

from safeh5.recovery import RecoveryReport
from safeh5.testing.damage import Damage, Kind, copy_of
from safeh5.testing.damaged import check_damaged, may_be_lost_in_silence
from safeh5.testing.modes.command_line import check_command_line
from safeh5.testing.modes.templates import Template
from safeh5.testing.states.explore import recovering
from safeh5.testing.world import batches, held, values

SHOWN = 15
"""Of so many of these sessions one is shown by the command line."""

COMMAND_LINE = "shown by the command line"


def is_shown(damage: Damage) -> bool:
    """Whether the command line shows a session with this damage."""
    return zlib.crc32(repr(damage).encode()) % SHOWN == 0


def check(damaged: Path, scratch: Path, template: Template, damage: Damage) -> tuple[str, float]:
    """What must be true of `template` after `damage`; the outcome in words, and the time it took."""
    target = copy_of(damaged, scratch / "replay") / "run.h5"
    if is_shown(damage):
        check_command_line(target)
    silent = may_be_lost_in_silence(damage, template.last_segment)
    # A journal that was pruned builds on the staging file, which has no checksums: decision 0012.
    unchecked = (template.pruned or template.from_checkpoint) and damage.file == "staging.h5"
    # A whole journal in the place of another is a session, though not this one.
    unchecked |= (
        damage.kind is Kind.STALE and template.last_segment == 1 and damage.file.startswith("journal-")
    )

    def replayed(target: Path, report: RecoveryReport) -> None:
        if unchecked:
            return
        found = _held(target)
        assert found in template.prefixes(), f"not a prefix: {sorted(found)}"
        said = report.torn or report.unfinished
        # One bit is no torn end: what was acknowledged stands before a mark that vouches for it.
        assert not (said and damage.kind is Kind.FLIP) or found == template.all(), f"called torn: {report}"
        assert found == template.all() or said or silent, f"lost without a word: {template.all() - found}"

    def salvaged(target: Path, report: RecoveryReport) -> None:
        if unchecked:
            return
        found = _left(target) if template.frames else _held(target)
        assert found <= template.all(), f"made up: {found - template.all()}"
        said = report.torn or report.unfinished or report.losses
        assert found == template.all() or said or silent, f"lost without a word: {template.all() - found}"

    with recovering(from_checkpoint=template.from_checkpoint):
        outcome = check_damaged(target, damage, scratch / "salvage", replayed=replayed, salvaged=salvaged)
    words = f"{outcome.condition}: replay {outcome.replay}, salvage {outcome.salvage}"
    return words, outcome.seconds


def _held(target: Path) -> set[str]:
    return held(target) if target.exists() else batches()


def _left(target: Path) -> set[str]:
    """What a salvage has left of a stream: the frames in the middle that were lost are empty."""
    if not target.exists():
        return batches()
    with h5py.File(target) as file:
        found = {"old"} & set(file)
        frames = file["stream/frames"][()] if "stream/frames" in file else []
    for number, frame in enumerate(frames):
        if np.array_equal(frame, values(number)):
            found.add(f"f{number}")
        else:
            assert not frame.any(), f"made up: {frame}"
    return found
