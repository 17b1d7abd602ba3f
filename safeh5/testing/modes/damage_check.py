"""A damaged session is recovered and salvaged for real, and what comes of it is judged."""

from __future__ import annotations

import zlib
from pathlib import Path

import safeh5
from safeh5.recovery import RecoveryReport
from safeh5.testing.damage import Damage, Kind, copy_of
from safeh5.testing.damaged import check_damaged, may_be_lost_in_silence
from safeh5.testing.modes.command_line import check_command_line
from safeh5.testing.modes.templates import Template
from safeh5.testing.states.explore import recovering

SHOWN = 15
"""Of so many of these sessions one is shown by the command line."""

COMMAND_LINE = "shown by the command line"


def is_shown(damage: Damage) -> bool:
    """Whether the command line shows a session with this damage."""
    return zlib.crc32(repr(damage).encode()) % SHOWN == 0


def check(damaged: Path, scratch: Path, template: Template, damage: Damage) -> tuple[str, float]:
    """What must be true of `template` after `damage`; the outcome in words, and the time it took."""
    target = copy_of(damaged, scratch / "replay") / template.name
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
        found = template.held(target)
        assert template.is_prefix(found), f"not a prefix: {sorted(found)}"
        said, whole = report.torn or report.unfinished, template.is_all(found)
        # One bit is no torn end: what was acknowledged stands before a mark that vouches for it.
        assert not (said and damage.kind is Kind.FLIP and template.vouched) or whole, f"called torn: {report}"
        assert whole or said or silent, f"lost without a word: {template.all() - found}"

    def salvaged(target: Path, report: RecoveryReport) -> None:
        if unchecked:
            return
        if template.losses_are_bare and report.losses:
            named = {loss.dataset for loss in report.losses}
            problems = safeh5.verify(target, level="full").problems if target.exists() else ()
            left = [problem for problem in problems if problem.path not in named]
            assert not left, f"not readable, and not named: {left}"
            return
        found = template.left(target)
        assert found <= template.all(), f"made up: {found - template.all()}"
        said = report.torn or report.unfinished or report.losses
        assert template.is_all(found) or said or silent, f"lost without a word: {template.all() - found}"

    with recovering(from_checkpoint=template.from_checkpoint):
        outcome = check_damaged(
            target,
            damage,
            scratch / "salvage",
            replayed=replayed,
            salvaged=salvaged,
            seconds=template.seconds,
        )
    words = f"{outcome.condition}: replay {outcome.replay}, salvage {outcome.salvage}"
    return words, outcome.seconds
