"""Recovery as a caller asks for it: what was planned is done, under the lock of the target."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import msgspec

from safeh5.errors import ApplyError, FreeSpaceError, InvalidOptionError
from safeh5.events import Progress, silent
from safeh5.options import VerifyLevel, choose, require_choice, require_number
from safeh5.recovery.act import carry_out
from safeh5.recovery.describe import (
    damage_report,
    torn_report,
    unfinished_report,
)
from safeh5.recovery.evidence import Evidence, examine
from safeh5.recovery.leftovers import release_reserve, remove_leftovers
from safeh5.recovery.locking import lock_target, require_file
from safeh5.recovery.plan import Plan, Step, make_plan
from safeh5.recovery.report import Action, RecoveryReport
from safeh5.storage import Names, Storage, disk_of


def recover(
    path: str | os.PathLike[str],
    action: Action | str = Action.REPLAY,
    *,
    output: str | os.PathLike[str] | None = None,
    dry_run: bool = False,
    purge: bool = False,
    verify: VerifyLevel | str = VerifyLevel.NONE,
    lock_timeout: float = 0.0,
    progress: Progress = silent,
    storage: Storage | None = None,
) -> RecoveryReport:
    """Finish or undo an interrupted session.

    Parameters
    ----------
    path : path-like
        The target, or its sidecar.
    action : {"replay", "rollback", "salvage"}
        Replay applies everything acknowledged and commits. Roll back leaves
        the target as it is and keeps the sidecar aside. Salvage goes past
        damage in the journal and past what HDF5 refuses, commits the rest,
        keeps the sidecar and the old target aside, and lists every loss.
    output : path-like, optional
        Write the result here instead, and touch neither target nor sidecar.
    dry_run : bool
        Only say what would be done.
    purge : bool
        With a roll back, delete the sidecar for good.
    verify : {"none", "structure", "full"}
        How much of the new file to read again before it replaces the target.
    lock_timeout : float
        Seconds to wait for the lock.
    progress : callable, optional
        Gets `ProgressEvent` while copying and replaying.

    Returns
    -------
    RecoveryReport
        What was done. The target then is the new file, on disk. Calling again,
        also after a crash in the middle, is safe.

    Raises
    ------
    SessionLockedError
        If the session is running.
    CorruptJournalError
        If acknowledged bytes are damaged and `action` is not ``"salvage"``.
    TargetChangedError
        If somebody else wrote the target since the session began.
    CheckpointLostError
        If the journal builds on a checkpoint that is not there.
    ApplyError
        If HDF5 refuses a record and `action` is not ``"salvage"``.
    DiskFullError
        If there is no room; it says how much to free, and nothing has changed.
    NothingToRecoverError
        If there is neither a session nor a file.
    """
    started = time.monotonic()
    chosen, level = choose(Action, action, "action"), choose(VerifyLevel, verify, "verify")
    require_number(lock_timeout, "lock_timeout")
    require_choice(dry_run, "dry_run", (False, True))
    require_choice(purge, "purge", (False, True))
    if purge and chosen is not Action.ROLLBACK:
        raise InvalidOptionError("purge goes with a roll back only")
    disk, names = disk_of(storage), Names.of(path)
    require_file(names)
    target = None if output is None else os.path.realpath(os.fspath(output))
    wish = _Wish(chosen, target, purge, level, progress)
    if dry_run:
        evidence = examine(disk, names)
        return _dry(evidence, wish.plan(evidence), target)
    lock = lock_target(disk, names, lock_timeout)
    try:
        remove_leftovers(disk, names)
        report = _done(disk, names, wish)
    finally:
        with suppress(OSError):
            # Released in any case; what may fail is removing the file.
            lock.release(remove=True)
    return msgspec.structs.replace(report, seconds=time.monotonic() - started)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What `recover` was asked for."""

    action: Action
    output: str | None
    purge: bool
    verify: VerifyLevel
    progress: Progress

    def plan(self, evidence: Evidence, *, refused: bool = False) -> Plan:
        return make_plan(evidence, self.action, output=self.output, purge=self.purge, refused=refused)


def _done(disk: Storage, names: Names, wish: _Wish) -> RecoveryReport:
    """Do it; where the disk is full, once more in the room that the session set aside for its end."""
    try:
        return _attempt(disk, names, wish)
    except FreeSpaceError:
        if not release_reserve(disk, names):
            raise
    return _attempt(disk, names, wish)


def _attempt(disk: Storage, names: Names, wish: _Wish) -> RecoveryReport:
    evidence = examine(disk, names, locked=False)
    plan = wish.plan(evidence)
    act = partial(carry_out, disk, evidence, output=wish.output, verify=wish.verify, progress=wish.progress)
    try:
        return act(plan)
    except ApplyError as error:
        if wish.action is not Action.SALVAGE or error.lsn is None or Step.REPLAY not in plan.steps:
            raise
        # The journal is sound and HDF5 refuses a record of it: go on without its batch.
        return act(wish.plan(evidence, refused=True))


def _dry(evidence: Evidence, plan: Plan, output: str | None) -> RecoveryReport:
    scan = evidence.scan
    return RecoveryReport(
        target=evidence.names.target,
        action=plan.action,
        before=plan.condition,
        dry_run=True,
        plan=tuple(step.value for step in plan.steps),
        result=output,
        records=0 if scan is None else scan.records,
        bytes=0 if scan is None else scan.record_bytes,
        torn=torn_report(scan),
        unfinished=unfinished_report(scan),
        damage=damage_report(scan),
        warnings=plan.warnings,
    )
