"""Reading a damaged journal: every frame that is whole, and every gap between them.

Nothing is changed on disk. A frame is believed because its checksum is salted
with session, segment and offset; LSNs tell which frames are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from safeh5.journal.findings import JournalScan, SegmentInfo
from safeh5.journal.format import SEGMENT_HEADER_SIZE, FormatError, Kind, SegmentHeader, segment_salt
from safeh5.journal.reader import Frame, make_frame
from safeh5.journal.segment import unreadable
from safeh5.journal.walk import BadPlace, RawFrame, find_frame, survey
from safeh5.storage.files import Storage
from safeh5.storage.names import segment_name

_SESSION_FIELD: Final = slice(16, 32)
_ANY_LSN: Final = 1 << 63
_KINDS: Final = frozenset(map(int, Kind))


class Gap(NamedTuple):
    """A place where frames are lost.

    Attributes
    ----------
    path : str
        The segment's file.
    segment, offset : int
        Where the gap begins.
    size : int
        Bytes up to the next whole frame, or to the end of the segment.
    first_lsn : int
        The first frame lost.
    last_lsn : int or None
        The last frame lost; below `first_lsn` when none is, None when nobody knows.
    cause : str
        What is wrong there.
    broken : Frame or None
        The first frame lost, when its header and meta are whole: the meta tells what is lost, and
        the payload is what is left of it. Valid until the next item is asked for.
    """

    path: str
    segment: int
    offset: int
    size: int
    first_lsn: int
    last_lsn: int | None
    cause: str
    broken: Frame | None = None


class _Source(NamedTuple):
    """A segment file and what could be learned about it, header or no header."""

    info: SegmentInfo
    salt: int
    created: int
    start: int
    """Where the first frame is."""
    first_lsn: int | None
    """Its LSN; None when there is no frame to be found."""
    end: int
    problem: str = ""
    """Why what stands before `start` is lost; empty when it is not."""


def salvage_frames(storage: Storage, scan: JournalScan) -> Iterator[Frame | Gap]:
    """Every whole frame of the journal, past damage, with a `Gap` wherever frames are missing.

    Whole frames behind a torn tail are among them. LSNs only grow.
    """
    sources = [_look_at(storage, scan, index) for index in range(len(scan.segments))]
    lsn, number = scan.first_lsn, scan.anchor.segment if scan.anchor else 1
    for index, source in enumerate(sources):
        if source.info.number != number:
            path = str(Path(scan.directory, segment_name(number)))
            yield _gap(path, number, BadPlace(0, lsn, "the file is missing"), 0, source.first_lsn)
            lsn = max(lsn, source.first_lsn or lsn)
        number = source.info.number + 1
        for item in _salvage_segment(storage, source, lsn, sources[index + 1 :]):
            lsn = item.lsn + 1 if isinstance(item, Frame) else max(lsn, (item.last_lsn or 0) + 1)
            yield item


def _look_at(storage: Storage, scan: JournalScan, index: int) -> _Source:
    info = scan.segments[index]
    header = info.header or _with_one_bit_turned(storage.read_bytes(info.path, SEGMENT_HEADER_SIZE))
    if header and not any(scan.session_id):
        # Of no segment the header is whole: this one is the best witness.
        scan = replace(scan, session_id=header.session)
    if header and (header.session, header.number) == (scan.session_id, info.number):
        end = _stated_length(scan, index)
        source = _Source(info, header.salt, header.created, SEGMENT_HEADER_SIZE, header.first_lsn, end)
        if info.header is None:
            source = source._replace(problem="one bit of the segment header is wrong")
    else:
        source = _Source(info, 0, 0, info.size, None, info.size, "the segment header is damaged or foreign")
    with storage.map(info.path) as mapped:
        if cause := unreadable(mapped):
            return source._replace(first_lsn=None, problem=cause)
        return _find_beginning(scan, source, mapped.view) if source.first_lsn is None else source


def _with_one_bit_turned(data: bytes) -> SegmentHeader | None:
    """The header that these bytes are but for one bit, if it is so near.

    The session id stands nowhere else in a journal of one segment, and no
    frame can be told from chance without it.
    """
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with suppress(FormatError):
            return SegmentHeader.unpack(bytes(changed))
    return None


def _find_beginning(scan: JournalScan, source: _Source, view: memoryview) -> _Source:
    """A segment without a header that can be believed: look for its first frame."""
    session = scan.session_id if any(scan.session_id) else bytes(view[_SESSION_FIELD])
    salt = segment_salt(session, source.info.number)
    found = find_frame(view, salt, range(1, _ANY_LSN), 0, len(view))
    if found is None:
        return source
    return source._replace(salt=salt, start=found.offset, first_lsn=found.lsn, end=len(view))


def _stated_length(scan: JournalScan, index: int) -> int:
    """How much of a segment is valid according to the next one; all of it when there is none."""
    info = scan.segments[index]
    if index + 1 < len(scan.segments):
        header = scan.segments[index + 1].header
        if header and (header.session, header.number) == (scan.session_id, info.number + 1):
            return header.previous_length
    return info.size


def _salvage_segment(
    storage: Storage, source: _Source, lsn: int, following: list[_Source]
) -> Iterator[Frame | Gap]:  # fmt: skip
    """What is whole in one segment; `lsn` is expected if its first frame is not known."""
    path, number = source.info.path, source.info.number
    limit = next((other.first_lsn for other in following if other.first_lsn is not None), None)
    if source.first_lsn is None:
        yield _gap(path, number, BadPlace(0, lsn, source.problem), source.info.size, limit)
        return
    adjoins = bool(following) and following[0].info.number == number + 1
    complete_to = following[0].first_lsn or 0 if adjoins else 0
    with storage.map(path) as mapped:
        view, end = mapped.view, min(source.end, mapped.size)
        lost: BadPlace | None = None
        for item in _places(view, source, lsn, end, limit, complete_to):
            if lost:
                yield _gap(path, number, lost, item.offset, item.lsn, _broken(view, lost, source))
            lost = item if isinstance(item, BadPlace) else None
            if isinstance(item, RawFrame):
                yield make_frame(view, item, number, source.created)
        if lost:
            yield _gap(path, number, lost, end, limit, _broken(view, lost, source))


def _places(
    view: memoryview, source: _Source, lsn: int, end: int, limit: int | None, complete_to: int
) -> Iterator[RawFrame | BadPlace]:
    """The frames of a segment and the places where one is lost, the header included.

    Frames from LSN `limit` on are stale here, a later segment has them; that
    all up to `complete_to` should be here is known from the next segment.
    """
    item: RawFrame | BadPlace | None = None
    if source.problem:
        yield BadPlace(0, lsn, source.problem)
    lsn = source.first_lsn or lsn
    for item in survey(view, source.salt, lsn, source.start, end):
        if limit is not None and item.lsn >= limit:
            return
        yield item
        lsn = item.lsn + 1
    if lsn < complete_to and not isinstance(item, BadPlace):
        yield BadPlace(end, lsn, "the file ends early")


def _gap(
    path: str, segment: int, lost: BadPlace, end: int, next_lsn: int | None, broken: Frame | None = None
) -> Gap:  # fmt: skip
    last = None if next_lsn is None else next_lsn - 1
    return Gap(path, segment, lost.offset, end - lost.offset, lost.lsn, last, lost.cause, broken)


def _broken(view: memoryview, lost: BadPlace, source: _Source) -> Frame | None:
    raw = lost.frame
    return make_frame(view, raw, source.info.number, source.created) if raw and raw.kind in _KINDS else None
