"""Salvage: past the damage, with a list of everything that was lost.

Only batches that are whole are applied; one damaged record loses its batch,
because half a batch is what nobody ever wrote. A batch that HDF5 refuses
because something it builds on was lost is lost too, and named.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from safeh5.applier import Staging
from safeh5.errors import ApplyError, JournalError
from safeh5.events import Progress, ProgressEvent, logger
from safeh5.journal import WHOLE, Frame, Gap, JournalScan, Kind, salvage_frames
from safeh5.journal.format import FormatError, count_in
from safeh5.operations import codec
from safeh5.recovery.checkpoint import open_checkpoint
from safeh5.recovery.evidence import Evidence
from safeh5.recovery.replay import begin_staging, staging_place
from safeh5.recovery.report import Loss
from safeh5.storage import Names, Storage


@dataclass(frozen=True, slots=True)
class Salvaged:
    """A staging file with what could be brought back.

    Attributes
    ----------
    staging : Staging
        Open for more.
    records, bytes : int
        What was applied.
    losses : tuple of Loss
        What was not.
    """

    staging: Staging
    records: int
    bytes: int
    losses: tuple[Loss, ...]


def salvage(
    storage: Storage, names: Names, evidence: Evidence, progress: Progress, *, any_base: bool = False
) -> Salvaged:
    """Build a staging file from every batch that is whole.

    Raises
    ------
    CheckpointLostError
        If the journal builds on a checkpoint that is not there.
    """
    scan, session = evidence.scan, evidence.session
    assert scan is not None and session is not None, "the plan saw to that"
    audit = _audit(storage, scan)
    while True:
        # What the last checkpoint holds is not lost, whatever happened to the journal before it.
        staging = open_checkpoint(staging_place(storage, names, scan.session_id), scan, session.creation)
        if staging is None:
            staging = begin_staging(storage, names, scan.session_id, session, progress, any_base=any_base)
        try:
            records, size = _apply_whole(staging, storage, scan, audit, progress)
        except _Restart:
            staging.drop()
        except BaseException:
            staging.drop()
            raise
        else:
            lost = (loss for loss in audit.losses if _is_behind(loss, staging.applied, scan))
            return Salvaged(staging, records, size, tuple(lost))


def _is_behind(loss: Loss, checkpoint: int, scan: JournalScan) -> bool:
    """Whether a loss is of records that the checkpoint of this LSN does not hold."""
    first, last = loss.first_lsn or 0, loss.last_lsn
    if last is None or last < first:
        # To the end of the journal, which reached as far as anything proves; or
        # a header, without which no record is lost but perhaps a proof.
        last = max(first, scan.durable_lsn)
    return last > checkpoint


class _Restart(Exception):
    """A batch failed after a part of it was applied: begin again without it."""


@dataclass
class _Audit:
    """Which batches are not to be applied, and what is lost with them."""

    left_out: set[int] = field(default_factory=set)
    losses: list[Loss] = field(default_factory=list)
    gaps: list[tuple[int, int, int, str]] = field(default_factory=list)
    """What could not be read then; it has to be the same when the batches are applied."""

    def note(self, gap: Gap) -> None:
        """A part of the journal is lost."""
        self.gaps.append(_place(gap))
        self.losses.append(_gap_loss(gap))


def _audit(storage: Storage, scan: JournalScan) -> _Audit:
    """Go through the journal once and find the batches that are not whole."""
    audit = _Audit(left_out=set(scan.aborted))
    open_batch, records, first = 0, 0, 0
    for item in salvage_frames(storage, scan):
        if isinstance(item, Gap):
            audit.note(item)
        elif item.kind is Kind.OPERATION and not item.flags & WHOLE:
            if item.batch != open_batch:
                _leave_out(audit, open_batch, first)
                open_batch, records, first = item.batch, 0, item.lsn
            records += 1
        elif item.kind is Kind.END:
            if item.batch != open_batch:
                # The end of that one is lost, and what else was lost with it nobody knows.
                _leave_out(audit, open_batch, first)
            if item.batch != open_batch or _stated(item) != records:
                _leave_out(audit, item.batch, item.lsn)
            open_batch = 0
        elif item.kind is Kind.ABORT:
            audit.left_out.add(item.batch)
            open_batch = 0 if item.batch == open_batch else open_batch
    # The batch at the end of the journal, without its end, was never acknowledged: no loss.
    audit.left_out.add(open_batch)
    return audit


def _stated(end: Frame) -> int:
    try:
        return count_in(end.meta, "records")
    except FormatError:
        return -1


def _leave_out(audit: _Audit, batch: int, lsn: int) -> None:
    if batch and batch not in audit.left_out:
        audit.left_out.add(batch)
        audit.losses.append(
            Loss(
                what=f"batch {batch}: a part of it is damaged, so none of it is applied",
                first_lsn=lsn,
                last_lsn=lsn,
            )
        )


def _place(gap: Gap) -> tuple[int, int, int, str]:
    return gap.segment, gap.offset, gap.size, gap.cause


def _gap_loss(gap: Gap) -> Loss:
    return Loss(
        what=f"segment {gap.segment}, offset {gap.offset}, {gap.size} bytes: {gap.cause}",
        first_lsn=gap.first_lsn,
        last_lsn=gap.last_lsn,
        dataset=_object_of(gap.broken) if gap.broken is not None else None,
    )


def _object_of(frame: Frame) -> str | None:
    if frame.kind is not Kind.OPERATION:
        return None
    try:
        return codec.decode(frame.meta).path
    except JournalError:
        return None


def _apply_whole(
    staging: Staging, storage: Storage, scan: JournalScan, audit: _Audit, progress: Progress
) -> tuple[int, int]:
    """Apply every batch that is not left out; returns records and bytes.

    What is whole was found out by reading the journal once before. On a disk
    that fails it may read as something else now, and nothing is known of that.
    """
    records, size, applied_of_batch, batch = 0, 0, 0, 0
    gaps: list[tuple[int, int, int, str]] = []
    for frame in salvage_frames(storage, scan):
        if isinstance(frame, Gap):
            gaps.append(_place(frame))
            continue
        if frame.kind is not Kind.OPERATION:
            continue
        if frame.batch in audit.left_out or frame.lsn <= staging.applied:
            continue
        if frame.batch != batch:
            batch, applied_of_batch = frame.batch, 0
        try:
            staging.applier.apply(codec.decode(frame.meta), frame.payload, lsn=frame.lsn)
        except (ApplyError, JournalError) as error:
            staging.check()
            _refuse(audit, frame, error)
            if applied_of_batch:
                raise _Restart from error
            continue
        records, size, applied_of_batch = records + 1, size + len(frame.payload), applied_of_batch + 1
        progress(ProgressEvent("salvaging", size, None))
    if gaps != audit.gaps:
        raise JournalError(
            "the journal could be read in other parts the second time than the first: the disk is failing",
            path=scan.directory,
            safe="Nothing was changed",
            hint="Copy the directory to another disk and salvage it there",
        )
    return records, size


def _refuse(audit: _Audit, frame: Frame, error: ApplyError | JournalError) -> None:
    logger.warning("batch %s is left out: %s", frame.batch, error)
    audit.left_out.add(frame.batch)
    audit.losses.append(
        Loss(
            what=f"batch {frame.batch} is refused by HDF5, so none of it is applied: {error.message}",
            first_lsn=frame.lsn,
            last_lsn=frame.lsn,
            dataset=_object_of(frame),
        )
    )
