"""From evidence and wish to a list of steps: a pure function, shown by ``--dry-run``.

Everything that recovery may refuse is refused here, before anything is
touched. `act` carries the steps out one after the other; each may be
interrupted and the whole run again.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from safeh5.errors import (
    CorruptJournalError,
    ForeignSidecarError,
    InvalidOptionError,
    NothingToRecoverError,
    RecoverError,
    SessionLockedError,
    TargetChangedError,
    UnsupportedVersion,
    recover_command,
)
from safeh5.recovery.checkpoint import checkpoint_lost
from safeh5.recovery.classify import classify, explain, same_content, target_state
from safeh5.recovery.evidence import Evidence
from safeh5.recovery.report import Action, Condition, TargetState


class Step(StrEnum):
    """One step of a recovery; the value says it in words."""

    SAVE_TORN = "copy the torn end of the journal aside"
    REPLAY = "build the HDF5 file from the journal"
    SALVAGE = "build the HDF5 file from every batch of the journal that is whole"
    COMMIT = "write the COMMIT record"
    KEEP_TARGET = "keep the old target in the damaged session"
    NOTE = "note in the damaged session what is lost"
    PLACE = "rename the new file over the target"
    OUTPUT = "rename the new file to the output path"
    RETIRE = "remove the sidecar"
    MARK_ROLLBACK = "write the ROLLBACK record"
    SET_ASIDE = "keep the sidecar aside under another name"


_GIVEN_UP: Final = "the session had been rolled back: nothing of it is brought back"


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, in order.

    Attributes
    ----------
    action : Action
        What was asked for.
    condition : Condition
        What stands there now.
    steps : tuple of Step
        What to do; empty when there is nothing to do.
    warnings : tuple of str
        What the user should know before.
    """

    action: Action
    condition: Condition
    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()


def make_plan(
    evidence: Evidence,
    action: Action,
    *,
    output: str | None = None,
    purge: bool = False,
    refused: bool = False,
) -> Plan:
    """The steps that do `action`.

    Parameters
    ----------
    evidence : Evidence
        What stands there.
    action : Action
        What to do about it.
    output : str, optional
        Build the result at this path and leave target and sidecar alone.
    purge : bool
        Roll back for good: delete the sidecar instead of keeping it aside.
    refused : bool
        The journal is sound, and HDF5 refuses one of its records: for a
        salvage that is as good as damaged.

    Raises
    ------
    SessionLockedError, ForeignSidecarError, UnsupportedVersion, CorruptJournalError
        If the condition does not allow `action`.
    TargetChangedError
        If somebody else wrote the target since the session began.
    CheckpointLostError
        If the journal builds on a checkpoint that is not there.
    NothingToRecoverError
        If there is neither a session nor a file.
    """
    condition = classify(evidence)
    _refuse_what_nobody_may_touch(evidence, condition)
    if condition is Condition.CLEAN:
        if evidence.target is None and not evidence.names.leftovers():
            raise NothingToRecoverError(
                "there is neither a file nor a session of safeh5", path=evidence.names.target
            )
        if output is not None:
            raise NothingToRecoverError(
                "no session waits there, so there is nothing to write to another file",
                path=evidence.names.target,
            )
        return Plan(action, condition, ())
    _refuse_output(evidence, action, output)
    if action is Action.ROLLBACK:
        return _plan_rollback(evidence, condition, purge)
    if action is Action.SALVAGE and (condition is Condition.CORRUPT or refused):
        return _plan_salvage(evidence, condition, output)
    return _plan_replay(evidence, action, condition, output)


def _refuse_what_nobody_may_touch(evidence: Evidence, condition: Condition) -> None:
    path = evidence.names.sidecar
    if condition is Condition.LIVE:
        who = evidence.owner.describe() if evidence.owner else None
        raise SessionLockedError(
            f"{evidence.names.target} is being written" + (f" by {who}" if who else ""),
            path=evidence.names.target,
            holder=who,
            hint="Wait until it ends, or stop it first",
        )
    if condition is Condition.FOREIGN:
        raise ForeignSidecarError(
            f"{path} stands where the sidecar should be, and is not a session of safeh5: {evidence.problem}",
            path=path,
            safe="Nothing was touched",
            hint="Move it away if it is not needed",
        )
    if condition is Condition.UNSUPPORTED:
        raise UnsupportedVersion(
            f"the journal was written by a newer version of safeh5: {evidence.problem}",
            path=path,
            safe="It is not damaged and nothing was touched",
            hint="Recover it with the version of safeh5 that wrote it, or a newer one",
        )


def _refuse_output(evidence: Evidence, action: Action, output: str | None) -> None:
    if output is None:
        return
    if action is Action.ROLLBACK:
        raise InvalidOptionError("an output file has no meaning for a roll back")
    if output == evidence.names.target or output.startswith(evidence.names.sidecar + os.sep):
        raise InvalidOptionError(
            "the output file must be another one than the target, and outside its sidecar",
            path=output,
            safe="Nothing was touched",
        )


def _plan_rollback(evidence: Evidence, condition: Condition, purge: bool) -> Plan:
    last = Step.RETIRE if purge else Step.SET_ASIDE
    if evidence.names.is_aside:
        return Plan(Action.ROLLBACK, condition, (Step.RETIRE,) if purge else ())
    if evidence.commit is not None and not evidence.rolled_back:
        finish = ("--salvage",) if condition is Condition.CORRUPT else ()
        raise RecoverError(
            "the session has its COMMIT record, so it is committed and cannot be rolled back",
            path=evidence.names.target,
            hint="Finish it with: " + recover_command(evidence.names.target, *finish),
        )
    mark = () if condition in (Condition.CORRUPT, Condition.ROLLED_BACK) else (Step.MARK_ROLLBACK,)
    return Plan(Action.ROLLBACK, condition, (*mark, last))


def _plan_salvage(evidence: Evidence, condition: Condition, output: str | None) -> Plan:
    if evidence.session is None:
        raise _nothing_to_build_on(evidence)
    if output is not None:
        require_checkpoint(evidence)
        return Plan(Action.SALVAGE, condition, (Step.SALVAGE, Step.OUTPUT))
    if evidence.names.is_aside:
        raise _set_aside(evidence, Action.SALVAGE)
    if evidence.rolled_back:
        return Plan(Action.SALVAGE, condition, (Step.SET_ASIDE,), (_GIVEN_UP,))
    if target_state(evidence) is TargetState.COMMITTED:
        # By the session itself, or by a salvage that was cut off before its last step.
        return Plan(Action.SALVAGE, condition, (Step.SET_ASIDE,))
    _require_base(evidence)
    keep = (Step.KEEP_TARGET,) if evidence.target is not None else ()
    if evidence.commit is not None and same_content(evidence.staging, evidence.commit.result):
        # The journal is damaged, but what it led to is whole and was decided on.
        return Plan(Action.SALVAGE, condition, (*keep, Step.PLACE, Step.SET_ASIDE))
    require_checkpoint(evidence)
    return Plan(Action.SALVAGE, condition, (Step.SALVAGE, *keep, Step.NOTE, Step.PLACE, Step.SET_ASIDE))


def _plan_replay(evidence: Evidence, action: Action, condition: Condition, output: str | None) -> Plan:
    if condition is Condition.CORRUPT:
        raise corrupt_journal(evidence)
    if output is not None:
        require_checkpoint(evidence)
        changed = target_state(evidence) is TargetState.CHANGED
        warning = (
            "the target has changed since the session began: without a checkpoint of its own"
            " the result starts from the target as it is now",
        )
        return Plan(action, condition, (Step.REPLAY, Step.OUTPUT), warning if changed else ())
    if evidence.names.is_aside:
        raise _set_aside(evidence, Action.REPLAY)
    torn = (Step.SAVE_TORN,) if evidence.scan is not None and evidence.scan.torn is not None else ()
    if condition is Condition.ROLLED_BACK:
        return Plan(action, condition, (Step.SET_ASIDE,), (_GIVEN_UP,))
    if target_state(evidence) is TargetState.COMMITTED:
        # By a salvage too, that was cut off before its last step: what it lost is in the journal only.
        last = Step.RETIRE if evidence.salvaged is None else Step.SET_ASIDE
        return Plan(action, condition, (*torn, last))
    _require_base(evidence)
    if evidence.commit is not None and same_content(evidence.staging, evidence.commit.result):
        return Plan(action, condition, (*torn, Step.PLACE, Step.RETIRE))
    require_checkpoint(evidence)
    return Plan(action, condition, (*torn, Step.REPLAY, Step.COMMIT, Step.PLACE, Step.RETIRE))


def require_checkpoint(evidence: Evidence) -> None:
    """Raise `CheckpointLostError` if the journal builds on a checkpoint that is not there."""
    if evidence.checkpoint_problem:
        assert evidence.scan is not None
        names = evidence.names
        raise checkpoint_lost(names.staging, names.target, evidence.scan, evidence.checkpoint_problem)


def _nothing_to_build_on(evidence: Evidence) -> CorruptJournalError:
    error, inspect = corrupt_journal(evidence), shlex.join(["safeh5", "inspect", evidence.names.sidecar])
    return CorruptJournalError(
        "the journal's first record, which says how the session began, is lost: nothing can be built on it",
        path=error.path,
        lsn=error.lsn,
        segment=error.segment,
        offset=error.offset,
        cause=error.cause,
        safe="Nothing was touched",
        hint=f"Look into it with: {inspect}; set it aside with: "
        + recover_command(evidence.names.target, "--rollback"),
    )


def _set_aside(evidence: Evidence, action: Action) -> InvalidOptionError:
    """For a sidecar that was kept aside: others may have written the target since."""
    return InvalidOptionError(
        f"{evidence.names.sidecar} was set aside and cannot be brought back over the target",
        hint="Build another file from it with: "
        + recover_command(evidence.names.sidecar, f"--{action}", "--output", "FILE.h5"),
    )


def _require_base(evidence: Evidence) -> None:
    if target_state(evidence) is TargetState.CHANGED:
        action = Action.SALVAGE if classify(evidence) is Condition.CORRUPT else Action.REPLAY
        raise TargetChangedError(
            f"{evidence.names.target} was changed by someone else since the session began",
            path=evidence.names.target,
            safe="It is left as it is, and everything acknowledged is kept in the journal",
            hint="Write the session's result to another file with: "
            + recover_command(evidence.names.target, f"--{action}", "--output", "FILE.h5")
            + "; then set the session aside with: "
            + recover_command(evidence.names.target, "--rollback"),
        )


def corrupt_journal(evidence: Evidence) -> CorruptJournalError:
    """The error that names the first damaged place of the journal."""
    message, command = explain(evidence, Condition.CORRUPT)
    damage = evidence.scan.damage[0] if evidence.scan is not None and evidence.scan.damage else None
    return CorruptJournalError(
        message,
        path=evidence.names.sidecar if damage is None else damage.path,
        lsn=None if damage is None else damage.lsn,
        segment=None if damage is None else damage.segment,
        offset=None if damage is None else damage.offset,
        cause=evidence.problem if damage is None else damage.cause,
        hint=f"Bring back what is whole with: {command}",
    )
