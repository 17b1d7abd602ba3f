"""Reading a sound journal: its frames in order, and the records that count.

A frame's payload is a view on the mapped file: nothing is copied, and it is
valid until the next frame is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from safeh5.journal.findings import Damage, JournalScan, SegmentInfo
from safeh5.journal.format import SEGMENT_HEADER_SIZE, Kind
from safeh5.journal.ledger import meta_of
from safeh5.journal.walk import BadPlace, RawFrame, walk
from safeh5.storage.files import Storage

_OPERATION: Final = int(Kind.OPERATION)


class Frame(NamedTuple):
    """One frame.

    Attributes
    ----------
    kind : Kind
        What it is.
    flags : int
        `safeh5.journal.WHOLE` or 0.
    lsn, batch : int
        LSN and batch number (0 for none).
    meta : bytes
        The meta part.
    payload : memoryview
        Raw bytes, valid until the next frame is asked for.
    segment, offset : int
        Where it stands.
    time : int
        When it was written, nanoseconds since the epoch, to the millisecond.
    """

    kind: Kind
    flags: int
    lsn: int
    batch: int
    meta: bytes
    payload: memoryview
    segment: int
    offset: int
    time: int


def frames(storage: Storage, scan: JournalScan) -> Iterator[Frame]:
    """Every frame of the valid prefix, in order, checked once more while it is read.

    Raises
    ------
    CorruptJournalError
        Bytes that were good during the scan are not any more.
    """
    for segment in scan.segments:
        for view, raw in _walk_segment(storage, segment):
            yield make_frame(view, raw, segment.number, _created(segment))


def records(storage: Storage, scan: JournalScan, after: int = 0) -> Iterator[Frame]:
    """The OPERATIONs that count: of ended, unaborted batches, in order, with an LSN above `after`.

    Raises
    ------
    CorruptJournalError
        At once if the scan found damage; later if bytes went bad since.
    """
    scan.raise_if_damaged()
    return _records(storage, scan, after)


def _records(storage: Storage, scan: JournalScan, after: int) -> Iterator[Frame]:
    left_out = scan.aborted | ({scan.batch.last} if scan.batch.open else frozenset())
    for segment in scan.segments:
        if segment.last_lsn <= after:
            continue
        for view, raw in _walk_segment(storage, segment):
            if raw.kind == _OPERATION and raw.lsn > after and raw.batch not in left_out:
                yield make_frame(view, raw, segment.number, _created(segment))


def _walk_segment(storage: Storage, segment: SegmentInfo) -> Iterator[tuple[memoryview, RawFrame]]:
    """The frames of a segment that are in the valid prefix, with the bytes they stand in."""
    header = segment.header
    if header is None or segment.valid_length == 0:
        return
    with storage.map(segment.path) as mapped:
        end = min(mapped.size, segment.valid_length)
        lsn = header.first_lsn
        try:
            for raw in walk(mapped.view, header.salt, lsn, SEGMENT_HEADER_SIZE, end):
                lsn = raw.lsn + 1
                yield mapped.view, raw
            if end < segment.valid_length:
                raise BadPlace(end, lsn, "the file became shorter")
        except BadPlace as bad:
            cause = f"{bad.cause} (it was good a moment ago)"
            raise Damage(segment.path, segment.number, bad.offset, bad.lsn, cause).error() from bad


def make_frame(view: memoryview, raw: RawFrame, segment: int, created: int) -> Frame:
    """`raw` with its parts; `created` is that of the segment."""
    return Frame(
        Kind(raw.kind), raw.flags, raw.lsn, raw.batch, meta_of(view, raw),
        view[raw.payload_at : raw.payload_at + raw.payload_length], segment, raw.offset,
        created + raw.elapsed * 1_000_000,
    )  # fmt: skip


def _created(segment: SegmentInfo) -> int:
    return segment.header.created if segment.header else 0
