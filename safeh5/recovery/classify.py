"""From evidence to condition: a pure function, and the sentence that explains it.

The order of the questions is the meaning: a live lock beats everything,
because whatever the disk shows may be half way to something else; what cannot
be read beats what it might say; a COMMIT record beats the state it was
written in.
"""

from __future__ import annotations

from safeh5.errors import recover_command
from safeh5.recovery.evidence import Evidence, Sidecar
from safeh5.recovery.report import Condition, TargetState
from safeh5.storage.fingerprint import Fingerprint


def classify(evidence: Evidence) -> Condition:
    """What the evidence means."""
    if evidence.locked:
        return Condition.LIVE
    if evidence.sidecar is not Sidecar.JOURNAL:
        return {
            Sidecar.ABSENT: Condition.CLEAN,
            Sidecar.FOREIGN: Condition.FOREIGN,
            Sidecar.UNSUPPORTED: Condition.UNSUPPORTED,
        }[evidence.sidecar]
    assert evidence.scan is not None
    if evidence.problem is not None or evidence.scan.damage:
        return Condition.CORRUPT
    if evidence.rolled_back:
        return Condition.ROLLED_BACK
    if evidence.commit is not None:
        return Condition.IN_DOUBT
    return Condition.SUSPENDED if evidence.sealed else Condition.INTERRUPTED


def target_state(evidence: Evidence) -> TargetState:
    """The target compared with what the session knows of it."""
    if evidence.session is None:
        return TargetState.UNKNOWN
    if evidence.commit is not None and same_content(evidence.target, evidence.commit.result):
        return TargetState.COMMITTED
    if evidence.salvaged is not None and same_content(evidence.target, evidence.salvaged.result):
        return TargetState.COMMITTED
    if evidence.target == evidence.session.base:
        return TargetState.ABSENT if evidence.target is None else TargetState.BASE
    return TargetState.CHANGED


def same_content(found: Fingerprint | None, expected: Fingerprint) -> bool:
    """Whether `found` is the file that was committed.

    The time of modification counts too: a file written by somebody else since
    then may have the same size and the same ends.
    """
    return found == expected


def explain(evidence: Evidence, condition: Condition) -> tuple[str, str | None]:
    """The condition in a sentence, and the command to run next (or None)."""
    if evidence.names.is_aside and condition not in (Condition.FOREIGN, Condition.UNSUPPORTED):
        action = "--salvage" if condition is Condition.CORRUPT else "--replay"
        command = recover_command(evidence.names.sidecar, action, "--output", "FILE.h5")
        return "A session that was set aside; it can be built into another file.", command
    where = evidence.names.target
    match condition:
        case Condition.CLEAN | Condition.LIVE | Condition.FOREIGN | Condition.UNSUPPORTED:
            return _explain_hands_off(evidence, condition), None
        case Condition.CORRUPT:
            return _explain_damage(evidence), recover_command(where, "--salvage")
        case Condition.ROLLED_BACK:
            sentence = "The session was rolled back; the target is as it was."
            return sentence, recover_command(where, "--rollback")
        case Condition.IN_DOUBT:
            sentence = "The session was committing; only its last steps are missing."
            return sentence, recover_command(where)
    if problem := evidence.checkpoint_problem:
        sentence = "The session was interrupted, and the checkpoint that its journal builds on is lost"
        return f"{sentence}: {problem}.", recover_command(where, "--rollback")
    if condition is Condition.SUSPENDED:
        sentence = "The session was suspended in good order and can be resumed or replayed."
    else:
        sentence = "The session was interrupted; what it acknowledged is in the journal."
    return sentence, recover_command(where)


def _explain_hands_off(evidence: Evidence, condition: Condition) -> str:
    """Where there is nothing for recovery to do, or nothing that it may do."""
    if condition is Condition.CLEAN:
        there = "The file is not part of any session" if evidence.target is not None else "There is no file"
        return f"{there}; nothing waits."
    if condition is Condition.FOREIGN:
        return f"{evidence.names.sidecar} is not a session of safeh5 ({evidence.problem}); move it away."
    if condition is Condition.UNSUPPORTED:
        return f"The journal is of a newer version ({evidence.problem}); use that version of safeh5."
    who = f" by {evidence.owner.describe()}" if evidence.owner else ""
    if evidence.owner_gone:
        return f"Another process works on it, a recovery it seems; it was begun{who}."
    return f"It is being written{who}."


def _explain_damage(evidence: Evidence) -> str:
    assert evidence.scan is not None
    if evidence.scan.damage:
        first = evidence.scan.damage[0]
        place = f"segment {first.segment}, offset {first.offset}, LSN {first.lsn}: {first.cause}"
    else:
        place = evidence.problem or "unknown"
    return f"Acknowledged records of the journal are damaged ({place}). The target is untouched."
