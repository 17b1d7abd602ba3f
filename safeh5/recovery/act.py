"""Carrying out a plan: the steps of a recovery, under the lock, one after the other.

Each step may be cut off by a crash. Running the command again examines what
is there and plans anew; the steps are such that this always leads to the same
end:

=============  ==============================================================
step           a crash in the middle leaves
=============  ==============================================================
SAVE_TORN      a part of a copy, under a name that the next run writes again
REPLAY         a staging file, gone on with from its last checkpoint
SALVAGE        a directory beside the target, which is garbage
COMMIT         no COMMIT record (replay again) or a whole one (roll forward)
KEEP_TARGET    a part of a copy, under a name that the next run writes again
NOTE           no note (salvage again) or a whole one
PLACE          the old target or the new one, and a COMMIT record or a note
OUTPUT         the new file under its name, or in a directory that is garbage
RETIRE         a trash directory, which is garbage
MARK_ROLLBACK  no ROLLBACK record, or one that the next run finishes
SET_ASIDE      the sidecar under the old name or the new one
=============  ==============================================================
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Final

from safeh5.applier import Staging
from safeh5.applier.fence import wait_for_orphan
from safeh5.errors import (
    ApplyError,
    DiskFullError,
    SafeH5Error,
    TargetExistsError,
    TargetNotFoundError,
    recover_command,
)
from safeh5.events import Progress, logger, silent
from safeh5.journal import JournalWriter, Kind
from safeh5.operations.control import (
    CommitRecord,
    ResumeRecord,
    RollbackRecord,
    Writer,
    encode_control,
    now,
)
from safeh5.options import KIB, JournalOptions, VerifyLevel
from safeh5.recovery import publish
from safeh5.recovery.describe import damage_report, torn_report, unfinished_report
from safeh5.recovery.evidence import Evidence
from safeh5.recovery.failures import failed
from safeh5.recovery.leftovers import release_reserve
from safeh5.recovery.note import SalvageNote, write_note
from safeh5.recovery.plan import Plan, Step
from safeh5.recovery.replay import replay, room_needed, staging_place
from safeh5.recovery.report import Action, Condition, Loss, RecoveryReport
from safeh5.recovery.salvage import salvage
from safeh5.recovery.torn import save_torn
from safeh5.recovery.unreadable import unreadable
from safeh5.storage import AsideKind, Names, Storage
from safeh5.storage.fingerprint import Fingerprint
from safeh5.storage.pager import copy_checkpoint, forget_checkpoint, trim_checkpoint
from safeh5.storage.readers import remove_readers

_MARGIN: Final = 256 * KIB
"""Room for the journal's last records, and for what HDF5 adds to the data."""


def carry_out(
    storage: Storage,
    evidence: Evidence,
    plan: Plan,
    *,
    output: str | None = None,
    verify: VerifyLevel = VerifyLevel.NONE,
    progress: Progress = silent,
) -> RecoveryReport:
    """Do what `plan` says; the caller holds the lock of the target.

    Raises
    ------
    SafeH5Error
        If a step fails. Nothing acknowledged is lost; the command can be run again.
    """
    return _Recovery(storage, evidence, plan, output, verify, progress).run()


class _Recovery:
    """One recovery under way: what the steps hand on to each other."""

    def __init__(
        self,
        storage: Storage,
        evidence: Evidence,
        plan: Plan,
        output: str | None,
        verify: VerifyLevel,
        progress: Progress,
    ) -> None:
        self.storage, self.evidence, self.plan = storage, evidence, plan
        self.output, self.verify, self.progress = output, verify, progress
        self.names = evidence.names
        self.records = self.bytes = 0
        self.result: str | None = None
        self.kept: list[str] = []
        self.losses: tuple[Loss, ...] = ()
        self.built: Fingerprint | None = None
        self.built_in = self.names
        if plan.action is Action.SALVAGE and Step.SALVAGE not in plan.steps:
            self._remember_salvage()

    def run(self) -> RecoveryReport:
        for step in self.plan.steps:
            logger.info("%s: %s", self.names.target, step.value)
            try:
                _STEPS[step](self)
            except BaseException as error:
                self._leave_workshop()
                if isinstance(error, OSError) and not isinstance(error, SafeH5Error):
                    named = failed(step, self.names, error)
                    self._add_room(step, named)
                    raise named from error
                self._add_room(step, error)
                raise
        return self._report()

    def _add_room(self, step: Step, error: BaseException) -> None:
        """After a full disk: give back the room that was taken, and say how much there is to free."""
        scan, session = self.evidence.scan, self.evidence.session
        if not isinstance(error, DiskFullError) or scan is None or session is None:
            return
        with contextlib.suppress(OSError, SafeH5Error):
            if step is Step.REPLAY and scan.is_complete:
                # Whatever was applied behind the last checkpoint can be applied again.
                trim_checkpoint(self.storage, self.names.staging, scan.session_id)
            free = self.storage.free_space(os.path.dirname(self.output or self.names.target))
            needed = room_needed(self.storage, self.names, session, scan) + _MARGIN
            if self.output is not None and self.storage.exists(self.names.staging):
                needed += self.storage.stat(self.names.staging).st_size
            error.needed, error.missing = needed, max(0, needed - free)
            error.message += f" (up to {needed} bytes are needed, {free} are free)"
            error.hint = f"Free {error.missing or needed} bytes and run the command again"

    def _leave_workshop(self) -> None:
        """Remove what was being built, which on a full disk is in the way."""
        if self.built_in is not self.names and self.storage.exists(self.built_in.sidecar):
            with contextlib.suppress(OSError):
                self.storage.remove_tree(self.built_in.sidecar)

    def _remember_salvage(self) -> None:
        """An earlier run did the work; it was cut off before it could report."""
        note = self.evidence.salvaged
        if note is not None:
            self.records, self.bytes, self.losses = note.records, note.bytes, note.losses
            self.result = self.names.target

    def _report(self) -> RecoveryReport:
        scan = self.evidence.scan
        return RecoveryReport(
            target=self.names.target,
            action=self.plan.action,
            before=self.plan.condition,
            plan=tuple(step.value for step in self.plan.steps),
            result=self.result,
            records=self.records,
            bytes=self.bytes,
            torn=torn_report(scan),
            unfinished=unfinished_report(scan),
            damage=damage_report(scan),
            kept_aside=tuple(self.kept),
            losses=self.losses,
            warnings=self.plan.warnings,
        )

    # --- steps --------------------------------------------------------------------

    def save_torn(self) -> None:
        kept = save_torn(self.storage, self.evidence)
        self.kept.extend([kept] if kept else [])

    def replay(self) -> None:
        """Build the file from the journal; with an output, in a workshop of its own."""
        scan, session = self.evidence.scan, self.evidence.session
        assert session is not None and scan is not None
        # The new file's checkpoint says how far the journal was applied. Whoever died
        # may not have synced that far: a power cut now must not leave a checkpoint
        # that reaches farther than its journal.
        self.storage.sync_path(scan.segments[-1].path)
        names = self.names if self.output is None else self._workshop()
        try:
            built = replay(
                self.storage, names, session, scan, self.progress, any_base=self.output is not None
            )
        except ApplyError as error:
            if error.lsn is not None and error.hint is None:
                error.hint = "To bring back everything else, run: " + recover_command(
                    self.names.sidecar if self.names.is_aside else self.names.target, "--salvage"
                )
            raise
        self.records, self.bytes = built.records, built.bytes
        self._make_ready(names, built.staging)
        if self.plan.action is Action.SALVAGE and not scan.is_complete:
            self.losses = unreadable(names.staging, self.progress)

    def salvage(self) -> None:
        """Build the file from what is whole, in a workshop of its own.

        The staging file of the damaged session may hold what the journal has
        lost, so it stays as it is.
        """
        names = self._workshop()
        built = salvage(self.storage, names, self.evidence, self.progress, any_base=self.output is not None)
        self.records, self.bytes = built.records, built.bytes
        self._make_ready(names, built.staging)
        self.losses = built.losses + unreadable(names.staging, self.progress)

    def _make_ready(self, names: Names, staging: Staging) -> None:
        scan = self.evidence.scan
        assert scan is not None
        staging.finish(scan.last_lsn)
        self.built = publish.make_ready(self.storage, names, self.verify, self.progress)

    def commit(self) -> None:
        assert self.built is not None and self.evidence.scan is not None
        writer = JournalWriter.resume(self.storage, self.names.sidecar, self.evidence.scan, JournalOptions())
        with writer:
            writer.append(
                Kind.RESUME,
                encode_control(ResumeRecord(writer=Writer.current(), time=now(), purpose="recover")),
            )
            writer.append(Kind.COMMIT, encode_control(CommitRecord(result=self.built, time=now())))
            writer.sync()

    def place(self) -> None:
        publish.place(self.storage, self.built_in)
        self.result = self.names.target
        if self.built_in is not self.names:
            publish.remove_garbage(self.storage, self.built_in.sidecar)

    def retire(self) -> None:
        if self.plan.action is not Action.ROLLBACK:
            self.result = self.names.target
        publish.retire(self.storage, self.names, self._session_id())

    def output_file(self) -> None:
        """Give the file its name; it must be free, and is durable on return."""
        assert self.output is not None
        self._require_free_output()
        self.storage.rename(self.built_in.staging, self.output)
        self.storage.sync_directory(os.path.dirname(self.output))
        publish.remove_garbage(self.storage, self.built_in.sidecar)
        self.result = self.output

    def _require_free_output(self) -> None:
        if self.output is None:
            return
        if self.storage.exists(self.output):
            raise TargetExistsError("the output file exists already", path=self.output)
        if not os.path.isdir(os.path.dirname(self.output)):
            raise TargetNotFoundError(
                "the output file has no directory to be in", path=os.path.dirname(self.output)
            )

    def keep_target(self) -> None:
        """A copy of the old target, inside the damaged session that is kept aside."""
        made = self.names.old_target + ".new"
        if self.storage.exists(made):
            self.storage.unlink(made)
        self.storage.copy_file(self.names.target, made, self.progress)
        self.storage.copy_metadata(self.names.target, made)
        self.storage.sync_path(made)
        # The name only when the copy is whole: what is kept is never half of it.
        self.storage.replace(made, self.names.old_target)
        self.storage.sync_directory(self.names.sidecar)

    def note(self) -> None:
        assert self.built is not None
        note = SalvageNote(result=self.built, records=self.records, bytes=self.bytes, losses=self.losses)
        write_note(self.storage, self.names, note)

    def mark_rollback(self) -> None:
        assert self.evidence.scan is not None
        writer = JournalWriter.resume(self.storage, self.names.sidecar, self.evidence.scan, JournalOptions())
        with writer:
            writer.append(Kind.ROLLBACK, encode_control(RollbackRecord(time=now())))
            writer.sync()

    def set_aside(self) -> None:
        scan = self.evidence.scan
        damaged = self.plan.condition is Condition.CORRUPT or self.plan.action is Action.SALVAGE
        kind = AsideKind.DAMAGED if damaged else AsideKind.ROLLED_BACK
        if not damaged and scan is not None and scan.is_complete:
            # The journal alone can make the staging file again.
            forget_checkpoint(self.storage, self.names.staging)
        release_reserve(self.storage, self.names)
        aside = self.names.aside(kind, self._session_id())
        self.storage.rename(self.names.sidecar, aside)
        self.storage.sync_directory(self.names.directory)
        remove_readers(self.storage, Names(self.names.target, aside).staging)
        self.kept.append(aside)

    # --- helpers ------------------------------------------------------------------

    def _session_id(self) -> bytes:
        scan = self.evidence.scan
        return (scan.session_id if scan is not None else None) or bytes(16)

    def _workshop(self) -> Names:
        """A directory of its own, beside the file that is to be made, to build it in.

        On the same file system, so that the last step is a rename. What an
        earlier run left there is of no use: it may be half of a copy.
        """
        self._require_free_output()
        beside = self.names if self.output is None else Names.of(self.output)
        self.built_in = workshop = Names(self._base(), beside.new_sidecar(self._session_id()))
        if self.storage.exists(workshop.sidecar):
            self.storage.remove_tree(workshop.sidecar)
        # What is built here is nobody else's to read before it has the target's mode.
        self.storage.make_directory(workshop.sidecar, 0o700)
        wait_for_orphan(staging_place(self.storage, self.names, self._session_id()))
        copy_checkpoint(self.storage, self.names.staging, workshop.staging, self.progress)
        return workshop

    def _base(self) -> str:
        """What the session began with, where a salvage has replaced it since."""
        if self.names.is_aside and self.storage.exists(self.names.old_target):
            return self.names.old_target
        return self.names.target


_STEPS: dict[Step, Callable[[_Recovery], None]] = {
    Step.SAVE_TORN: _Recovery.save_torn,
    Step.REPLAY: _Recovery.replay,
    Step.SALVAGE: _Recovery.salvage,
    Step.COMMIT: _Recovery.commit,
    Step.KEEP_TARGET: _Recovery.keep_target,
    Step.NOTE: _Recovery.note,
    Step.PLACE: _Recovery.place,
    Step.OUTPUT: _Recovery.output_file,
    Step.RETIRE: _Recovery.retire,
    Step.MARK_ROLLBACK: _Recovery.mark_rollback,
    Step.SET_ASIDE: _Recovery.set_aside,
}
