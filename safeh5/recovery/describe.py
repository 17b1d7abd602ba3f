"""From what a scan of the journal found to the types that reports show."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from safeh5.journal import JournalScan
from safeh5.recovery.classify import classify, explain, target_state
from safeh5.recovery.evidence import Evidence
from safeh5.recovery.report import Condition, DamageReport, StatusReport, TornReport, UnfinishedBatch
from safeh5.storage import Names


def status_report(evidence: Evidence) -> StatusReport:
    """What the evidence about one target comes to."""
    condition = classify(evidence)
    detail, command = explain(evidence, condition)
    scan = evidence.scan
    report = StatusReport(
        target=evidence.names.target,
        sidecar=evidence.names.sidecar,
        condition=condition,
        detail=detail,
        command=command,
        target_state=target_state(evidence),
        owner=evidence.owner.describe() if evidence.owner is not None else None,
        leftovers=evidence.names.leftovers() if condition is not Condition.LIVE else (),
    )
    if scan is None:
        return report
    return msgspec.structs.replace(
        report,
        session_id=scan.session_id.hex(),
        records=scan.records,
        bytes=scan.record_bytes,
        durable_lsn=scan.durable_lsn,
        began=iso(evidence.session.time if evidence.session is not None else scan.created),
        last_activity=iso(scan.modified),
        # What a live writer is just writing looks torn and unfinished to us.
        torn=None if condition is Condition.LIVE else torn_report(scan),
        unfinished=None if condition is Condition.LIVE else unfinished_report(scan),
        damage=damage_report(scan),
    )


def unreadable_report(names: Names, error: Exception) -> StatusReport:
    """The report about a sidecar that cannot be looked into."""
    return StatusReport(
        target=names.target,
        sidecar=names.sidecar,
        condition=Condition.FOREIGN,
        detail=f"It cannot be looked into: {error}",
    )


def iso(nanoseconds: int) -> str | None:
    """A time since the epoch as ISO 8601, UTC; None for an unknown one."""
    if nanoseconds <= 0:
        return None
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="milliseconds")


def torn_report(scan: JournalScan | None) -> TornReport | None:
    """The torn end of the journal, if there is one."""
    if scan is None or scan.torn is None:
        return None
    torn = scan.torn
    return TornReport(
        segment=torn.segment,
        offset=torn.offset,
        bytes=torn.size,
        whole_frames=torn.whole_frames,
        first_lsn=torn.first_lsn,
    )


def unfinished_report(scan: JournalScan | None) -> UnfinishedBatch | None:
    """The batch without an end, if there is one."""
    if scan is None or scan.open_batch is None:
        return None
    batch = scan.open_batch
    return UnfinishedBatch(batch=batch.number, first_lsn=batch.first_lsn, records=batch.records)


def damage_report(scan: JournalScan | None) -> tuple[DamageReport, ...]:
    """The damaged places, in order."""
    if scan is None:
        return ()
    return tuple(
        DamageReport(path=d.path, segment=d.segment, offset=d.offset, lsn=d.lsn, cause=d.cause)
        for d in scan.damage
    )
