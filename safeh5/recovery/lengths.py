"""What an interrupted session has of each stream: items kept, and items that were never acknowledged.

One pass over the journal, the bytes behind its valid prefix included: a frame
that is whole behind a hole, or whose description is whole and whose payload
is not, still tells how many items it would have been.
"""

from __future__ import annotations

from dataclasses import dataclass

from safeh5.errors import JournalError
from safeh5.journal import Frame, Gap, JournalScan, Kind, salvage_frames
from safeh5.operations import codec
from safeh5.operations.control import StreamState
from safeh5.operations.model import AppendData, Resize
from safeh5.recovery.describe import iso, torn_report, unfinished_report
from safeh5.recovery.report import ResumeReport, StreamReport
from safeh5.storage import Storage


@dataclass
class _Stream:
    """What is known of one stream so far."""

    kept: int = 0
    lost: int = 0
    last: int = 0


def resume_report(storage: Storage, scan: JournalScan) -> ResumeReport:
    """What is there of each stream that was appended to.

    Parameters
    ----------
    storage : Storage
        Where the journal lies.
    scan : JournalScan
        The journal as it was found, before anybody went on with it.

    Raises
    ------
    OSError
        A segment cannot be read any more.
    """
    streams = {state.path: _Stream(state.length, 0, state.time) for state in _anchored(scan)}
    cancelled = scan.aborted
    unfinished = scan.batch.last if scan.batch.open else None
    for item in salvage_frames(storage, scan):
        frame = item.broken if isinstance(item, Gap) else item
        if frame is None or frame.kind is not Kind.OPERATION or frame.batch in cancelled:
            continue
        exists = isinstance(item, Frame) and frame.batch != unfinished and _is_valid(scan, frame)
        _take(streams, frame, exists)
    found = tuple(
        StreamReport(path=path, kept=stream.kept, lost=stream.lost, last=iso(stream.last))
        for path, stream in streams.items()
    )
    return ResumeReport(streams=found, torn=torn_report(scan), unfinished=unfinished_report(scan))


def _anchored(scan: JournalScan) -> tuple[StreamState, ...]:
    """The streams as the journal's anchor has them, whose records were removed."""
    return () if scan.anchor is None else StreamState.of_anchor(scan.anchor.meta)


def _is_valid(scan: JournalScan, frame: Frame) -> bool:
    """Whether a frame stands before the torn end."""
    torn = scan.torn
    return torn is None or (frame.segment, frame.offset) < (torn.segment, torn.offset)


def _take(streams: dict[str, _Stream], frame: Frame, exists: bool) -> None:
    try:
        operation = codec.decode(frame.meta)
    except JournalError:
        return
    if isinstance(operation, AppendData):
        stream = streams.setdefault(operation.path, _Stream())
        if exists:
            stream.kept, stream.last = operation.start + operation.count, frame.time
        else:
            stream.lost += operation.count
    elif isinstance(operation, Resize) and exists and operation.path in streams and operation.shape:
        streams[operation.path].kept = operation.shape[0]
