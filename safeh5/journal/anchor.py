"""Anchors: the frame at which a journal begins whose earlier segments were removed.

An anchor is a CHECKPOINT that is the first frame of its segment and says in
its meta what the segments before it are needed for otherwise: how the session
began, and the number of the last batch. The file under construction has the
rest, up to the LSN `applied`, and between that and the anchor stands no record.
"""

from __future__ import annotations

from typing import NamedTuple

from safeh5.journal.format import (
    FRAME_HEADER,
    FRAME_HEADER_SIZE,
    MAX_META,
    MAX_SEGMENT_HEADER,
    SEGMENT_HEADER_SIZE,
    FormatError,
    Kind,
    SegmentHeader,
    count_in,
    decode_meta,
    frame_size,
)
from safeh5.journal.walk import BadPlace, parse
from safeh5.storage.files import Storage, StrPath


class Anchor(NamedTuple):
    """The beginning of a journal that does not reach back to the SESSION record.

    Attributes
    ----------
    segment, lsn : int
        The segment that it begins, and its LSN.
    applied : int
        Every record before the anchor has an LSN up to this one, and is in
        the checkpoint of the file under construction.
    last_batch : int
        Number of the latest batch, 0 when there was none.
    session : bytes
        The meta of the SESSION record.
    meta : bytes
        Its own.
    """

    segment: int
    lsn: int
    applied: int
    last_batch: int
    session: bytes
    meta: bytes

    @classmethod
    def of_meta(cls, meta: bytes, segment: int, lsn: int) -> Anchor | None:
        """What a CHECKPOINT with this meta says as an anchor; None when it is none."""
        try:
            session = decode_meta(meta).get("session")
            anchor = cls(segment, lsn, count_in(meta, "applied"), count_in(meta, "last_batch"), b"", meta)
        except FormatError:
            return None
        if not isinstance(session, bytes) or anchor.applied >= lsn:
            return None
        return anchor._replace(session=session)


def read_anchor(storage: Storage, path: StrPath, header: SegmentHeader) -> Anchor | None:
    """The anchor that a segment begins with; None when its first frame is another, or not whole.

    Parameters
    ----------
    header : SegmentHeader
        The header in the file at `path`, found good.
    """
    start = SEGMENT_HEADER_SIZE
    data = storage.read_bytes(path, MAX_SEGMENT_HEADER)
    if len(data) < start + FRAME_HEADER_SIZE:
        return None
    *_, meta_length, _, _, kind, _, _ = FRAME_HEADER.unpack_from(data, start)
    end = start + frame_size(meta_length, 0)
    if kind != Kind.CHECKPOINT or meta_length > MAX_META:
        return None
    if len(data) < end:
        data = storage.read_bytes(path, end)
    try:
        frame = parse(memoryview(data), header.salt, header.first_lsn, start, min(end, len(data)))
    except BadPlace:
        return None
    meta = data[start + FRAME_HEADER_SIZE :][:meta_length]
    return Anchor.of_meta(meta, header.number, frame.lsn)
