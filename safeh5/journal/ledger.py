"""The books of a scan: what the frames of the valid prefix add up to.

Its memory does not grow with the number of frames.
"""

from __future__ import annotations

from safeh5.journal.anchor import Anchor
from safeh5.journal.batches import BatchState
from safeh5.journal.checksum import extend
from safeh5.journal.findings import ControlFrame
from safeh5.journal.format import (
    BARRIERS,
    FRAME_HEADER_SIZE,
    FormatError,
    Kind,
    SegmentHeader,
    count_in,
    decode_meta,
    u32,
)  # fmt: skip
from safeh5.journal.walk import RawFrame

_OPERATION, _END, _ABORT, _SYNC = int(Kind.OPERATION), int(Kind.END), int(Kind.ABORT), int(Kind.SYNC)


def meta_of(view: memoryview, frame: RawFrame) -> bytes:
    """The meta part of a frame."""
    start = frame.offset + FRAME_HEADER_SIZE
    return bytes(view[start : start + frame.meta_length])


def proved_by(view: memoryview, frame: RawFrame) -> int:
    """Up to which LSN a whole frame proves that the journal was durable; 0 if it proves nothing.

    Raises
    ------
    FormatError
        A SYNC mark that claims what cannot be.
    """
    if frame.kind == _SYNC:
        durable = count_in(meta_of(view, frame), "durable")
        if durable >= frame.lsn:
            raise FormatError(f"a SYNC mark that vouches for LSN {durable}")
        return durable
    return frame.lsn - 1 if frame.kind in BARRIERS else 0


class Ledger:
    """Takes the frames of the valid prefix one by one."""

    def __init__(self) -> None:
        self.last_lsn = 0
        self.durable_lsn = 0
        self.frames = 0
        self.records = 0
        self.record_bytes = 0
        self.batch = BatchState()
        self.aborted: set[int] = set()
        self.control: list[ControlFrame] = []
        self.modified = 0
        self.chain = 0
        self._batch_bytes = 0

    def begin_at(self, anchor: Anchor) -> None:
        """The journal begins at an anchor; nothing was taken before."""
        self.last_lsn = anchor.lsn - 1
        self.batch = BatchState.anchored(anchor.last_batch)

    def begin_segment(self, header: SegmentHeader) -> None:
        """A segment with a good header begins; its existence proves what is before it durable."""
        self.chain = header.chain
        self.durable_lsn = max(self.durable_lsn, header.first_lsn - 1)
        self.modified = header.created

    def take(self, view: memoryview, created: int, frame: RawFrame) -> None:
        """Enter one frame; `view` and `created` are of its segment.

        Raises
        ------
        FormatError
            The frame may not stand here. Nothing has been entered.
        """
        kind, lsn = frame.kind, frame.lsn
        if kind == _OPERATION:
            self._take_operation(frame)
        else:
            self._take_other(view, created, frame)
        self.chain = extend(self.chain, u32(frame.header_crc))
        self.frames += 1
        self.last_lsn = lsn
        self.modified = created + frame.elapsed * 1_000_000

    def _take_operation(self, frame: RawFrame) -> None:
        state = self.batch.after(frame.lsn, frame.kind, frame.flags, frame.batch)
        self.batch = state
        self._batch_bytes = frame.payload_length + (self._batch_bytes if state.records > 1 else 0)
        if not state.open:
            self._count(+1)

    def _take_other(self, view: memoryview, created: int, frame: RawFrame) -> None:
        meta = meta_of(view, frame)
        count = count_in(meta, "records") if frame.kind == _END else 0
        before, after = self.batch, self.batch.after(frame.lsn, frame.kind, frame.flags, frame.batch, count)
        decode_meta(meta)
        self.durable_lsn = max(self.durable_lsn, proved_by(view, frame))
        self.batch = after
        if frame.kind == _END:
            self._count(+1)
        elif frame.kind == _ABORT:
            self.aborted.add(frame.batch)
            if not before.open:
                self._count(-1)
        elif frame.kind != _SYNC:
            self._keep(ControlFrame(Kind(frame.kind), frame.lsn, created + frame.elapsed * 1_000_000, meta))

    def _count(self, sign: int) -> None:
        """The latest batch begins (or ceases) to exist."""
        self.records += sign * self.batch.records
        self.record_bytes += sign * self._batch_bytes

    def _keep(self, control: ControlFrame) -> None:
        if control.kind is Kind.CHECKPOINT:
            self.control = [other for other in self.control if other.kind is not Kind.CHECKPOINT]
        self.control.append(control)
