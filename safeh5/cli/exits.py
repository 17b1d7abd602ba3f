"""Exit codes: what a shell script learns from a command."""

from __future__ import annotations

from enum import IntEnum

from safeh5 import errors
from safeh5.recovery import Condition, RecoveryReport, StatusReport
from safeh5.storage import Names
from safeh5.verify import ProblemKind, VerifyReport


class Exit(IntEnum):
    """With several paths, the highest of theirs."""

    DONE = 0
    """Done, or clean."""
    FAILED = 1
    """Failed; the message says how."""
    USAGE = 2
    """The command line was not understood."""
    NOT_FOUND = 3
    """There is nothing at the path."""
    LOCKED = 4
    """A live writer holds the lock."""
    WAITING = 5
    """An interrupted session waits to be recovered."""
    DAMAGED = 6
    """Data are lost or damaged."""
    KILLED = 130
    """Stopped by Ctrl-C, as shells expect it."""


_OF_ERROR: tuple[tuple[type[BaseException], Exit], ...] = (
    (KeyboardInterrupt, Exit.KILLED),
    (errors.TargetNotFoundError, Exit.NOT_FOUND),
    (errors.NothingToRecoverError, Exit.NOT_FOUND),
    (errors.WaitError, Exit.LOCKED),
    (errors.InterruptedSessionError, Exit.WAITING),
    (errors.CorruptJournalError, Exit.DAMAGED),
    (errors.CheckpointLostError, Exit.DAMAGED),
    (errors.VerificationError, Exit.DAMAGED),
    (errors.InvalidOptionError, Exit.USAGE),
)

_OF_CONDITION: dict[Condition, Exit] = {
    Condition.CLEAN: Exit.DONE,
    Condition.LIVE: Exit.LOCKED,
    Condition.INTERRUPTED: Exit.WAITING,
    Condition.SUSPENDED: Exit.WAITING,
    Condition.IN_DOUBT: Exit.WAITING,
    Condition.ROLLED_BACK: Exit.WAITING,
    Condition.CORRUPT: Exit.DAMAGED,
    Condition.UNSUPPORTED: Exit.FAILED,
    Condition.FOREIGN: Exit.FAILED,
}


def of_error(error: BaseException) -> Exit:
    """The exit code for an error."""
    return next((code for kind, code in _OF_ERROR if isinstance(error, kind)), Exit.FAILED)


def of_status(report: StatusReport, exists: bool) -> Exit:
    """The exit code for what stands at a target; `exists` tells whether a target does."""
    if Names(report.target, report.sidecar).is_aside:
        return Exit.DONE  # kept for people to look at; nothing waits
    if report.condition is Condition.CLEAN and not exists:
        return Exit.NOT_FOUND
    return _OF_CONDITION[report.condition]


def of_recovery(report: RecoveryReport) -> Exit:
    """The exit code for what a recovery did, or would do."""
    lost = report.losses or (report.dry_run and report.damage and report.action == "salvage")
    return Exit.DAMAGED if lost else Exit.DONE


def of_verification(report: VerifyReport) -> Exit:
    """The exit code for what a verification found."""
    if report.ok:
        return Exit.DONE
    unknown = {ProblemKind.ACCESS, ProblemKind.FILTER}  # could not be read here: no sign of damage
    return Exit.FAILED if all(p.what in unknown for p in report.problems) else Exit.DAMAGED
