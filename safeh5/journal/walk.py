"""Reading the frames of one segment from its bytes: the hot loop, and no policy.

`walk` yields frames up to the first bad place and then raises `BadPlace`.
`survey` goes past bad places: it looks for the next bytes that are a frame of
this very place, which the salted checksum tells safely, and walks on from
there. What a bad place *means* (a torn tail, corruption) is decided in `scan`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from safeh5.journal.checksum import extend, padded
from safeh5.journal.format import (
    COVERED_FROM,
    FRAME_HEADER,
    FRAME_HEADER_SIZE,
    FRAME_MAGIC,
    MAX_META,
    SEGMENT_HEADER_SIZE,
    u64,
)  # fmt: skip

_COPY_BELOW: Final = 4096
"""Below this a copy to `bytes` is faster than making an array over the bytes."""
_WINDOW: Final = 4 << 20


class RawFrame(NamedTuple):
    """A frame whose header and meta are whole; offsets are in the segment.

    Attributes
    ----------
    offset, end : int
        Where the frame begins, and the byte after its padding.
    lsn, batch, kind, flags : int
        As in the header.
    elapsed : int
        Milliseconds since the segment was created.
    header_crc : int
        What the chain goes over.
    meta_length, payload_at, payload_length : int
        The meta part begins 48 bytes behind `offset`.
    """

    offset: int
    end: int
    lsn: int
    batch: int
    kind: int
    flags: int
    elapsed: int
    header_crc: int
    meta_length: int
    payload_at: int
    payload_length: int


class BadPlace(Exception):
    """Bytes that should be a frame and are not.

    Attributes
    ----------
    offset : int
        Where in the segment.
    lsn : int
        The LSN that the frame there should have.
    cause : str
        What is wrong.
    frame : RawFrame or None
        The frame, when its header and meta are whole and only the payload is bad.
    """

    def __init__(self, offset: int, lsn: int, cause: str, frame: RawFrame | None = None) -> None:
        super().__init__(offset, lsn, cause)
        self.offset = offset
        self.lsn = lsn
        self.cause = cause
        self.frame = frame


def walk(
    view: memoryview, salt: int, lsn: int, start: int = SEGMENT_HEADER_SIZE, end: int | None = None
) -> Iterator[RawFrame]:
    """The frames of a segment from byte `start` up to `end`, checked one by one.

    Parameters
    ----------
    view : memoryview
        All bytes of the segment.
    salt : int
        Salt of the segment.
    lsn : int
        LSN of the frame at `start`.

    Raises
    ------
    BadPlace
        Where a frame should be and is none.
    """
    end = len(view) if end is None else end
    offset = start
    while offset < end:
        frame = parse(view, salt, lsn, offset, end)
        yield frame
        offset = frame.end
        lsn += 1


def survey(
    view: memoryview, salt: int, lsn: int, start: int = SEGMENT_HEADER_SIZE, end: int | None = None
) -> Iterator[RawFrame | BadPlace]:
    """Like `walk`, but a bad place is yielded and the next frame behind it is looked for."""
    end = len(view) if end is None else end
    offset = start
    while offset < end:
        try:
            for frame in walk(view, salt, lsn, offset, end):
                lsn, offset = frame.lsn + 1, frame.end
                yield frame
        except BadPlace as bad:
            yield bad
            # A whole header is believed: its frame ends where it says, though the payload is bad.
            if bad.frame is not None:
                lsn, offset = bad.frame.lsn + 1, bad.frame.end
                continue
            # No more frames can be behind it than there is room for.
            lsns = range(lsn, lsn + (end - offset) // FRAME_HEADER_SIZE + 1)
            found = find_frame(view, salt, lsns, bad.offset + 8, end)
            if found is None:
                return
            lsn, offset = found.lsn, found.offset


def parse(
    view: memoryview, salt: int, lsn: int, offset: int, end: int, *, base: int = 0, whole: bool = True
) -> RawFrame:
    """The frame at `offset`, which should have the LSN `lsn` and not reach beyond `end`.

    Parameters
    ----------
    offset, end : int
        Bytes of the segment.
    base : int
        Which byte of the segment `view` begins with.
    whole : bool
        Check the payload too.

    Raises
    ------
    BadPlace
        There is no such frame.
    """
    body = offset + FRAME_HEADER_SIZE
    if body > end:
        raise BadPlace(offset, lsn, "the segment ends inside a frame header")
    (magic, header_crc, found, batch, payload_length, meta_length, payload_crc,
     elapsed, kind, flags, reserved) = FRAME_HEADER.unpack_from(view, offset - base)  # fmt: skip
    if magic != FRAME_MAGIC:
        raise BadPlace(offset, lsn, "no frame begins here")
    payload_at = body + (meta_length + 7 & -8)
    # The lengths are not yet known to be true: nothing beyond `end` is touched on their word.
    if meta_length > MAX_META or payload_at > end:
        raise BadPlace(offset, lsn, "a frame header with an impossible meta length")
    if _crc(view, extend(salt, u64(offset)), offset + COVERED_FROM - base, payload_at - base) != header_crc:
        raise BadPlace(offset, lsn, "wrong checksum of a frame header")
    frame_end = payload_at + (payload_length + 7 & -8)
    frame = RawFrame(
        offset, frame_end, found, batch, kind, flags, elapsed, header_crc, meta_length, payload_at,
        payload_length,
    )  # fmt: skip
    if found != lsn:
        raise BadPlace(offset, lsn, f"LSN {found} stands where {lsn} should")
    if reserved:
        raise BadPlace(offset, lsn, "unknown bits in a frame header")
    if frame_end > end:
        raise BadPlace(offset, lsn, "the segment ends inside a frame", frame)
    if whole and payload_length and _crc(view, 0, payload_at - base, frame_end - base) != payload_crc:
        raise BadPlace(offset, lsn, "wrong checksum of a payload", frame)
    return frame


def find_frame(view: memoryview, salt: int, lsns: range, start: int, end: int) -> RawFrame | None:
    """The next frame with a whole header from byte `start` on, with an LSN among `lsns`.

    Only offsets that hold the frame magic are tried.
    """
    for offset in _candidates(view, start, end):
        found = int.from_bytes(view[offset + 8 : offset + 16], "little")
        if found not in lsns:
            continue
        try:
            return parse(view, salt, found, offset, end)
        except BadPlace as bad:
            if bad.frame is not None:
                return bad.frame
    return None


def _candidates(view: memoryview, start: int, end: int) -> Iterator[int]:
    """Offsets, multiples of 8 from `start` on, at which a frame's magic stands."""
    start = padded(start)
    end -= FRAME_HEADER_SIZE
    while start <= end:
        stop = min(start + _WINDOW, end + 8 & -8)
        words = np.frombuffer(view[start:stop], dtype="<u4")[::2]
        for index in np.flatnonzero(words == FRAME_MAGIC).tolist():
            yield start + 8 * index
        start = stop


def _crc(view: memoryview, seed: int, start: int, end: int) -> int:
    if end - start < _COPY_BELOW:
        return extend(seed, bytes(view[start:end]))
    return extend(seed, np.frombuffer(view[start:end], dtype=np.uint8))
