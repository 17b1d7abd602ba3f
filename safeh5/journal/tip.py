"""The tip of a journal that is being written: its end, as one value.

`Tip.frame` says which bytes come next and what the end is after them; nothing
here writes. The writer replaces its end in one step when the bytes are out.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from safeh5.journal.batches import BatchState
from safeh5.journal.checksum import padded
from safeh5.journal.format import (
    SEGMENT_HEADER_SIZE,
    Kind,
    SegmentHeader,
    count_in,
    next_chain,
    pack_frame,
)  # fmt: skip
from safeh5.storage.handles import AppendFile

_LARGEST_ELAPSED: Final = 0xFFFF_FFFF
_SYNC, _END, _OPERATION = int(Kind.SYNC), int(Kind.END), int(Kind.OPERATION)
_CHANGES: Final = frozenset({_OPERATION, _END})


class Placed(NamedTuple):
    """Where a frame stands: segment number, byte offset there, and its LSN."""

    segment: int
    offset: int
    lsn: int


class Tip(NamedTuple):
    """Where the next frame goes, and what comes before it.

    Attributes
    ----------
    file : AppendFile
        The last segment.
    number, salt, created : int
        Its number, the salt of its frames, when it was begun (ns since the epoch).
    offset, lsn : int
        Byte offset and LSN of the next frame.
    chain : int
        The segment's chain so far.
    batch : BatchState
        The latest batch.
    last_record : int
        LSN of the last frame that is not a SYNC mark.
    last_change : int
        LSN of the last OPERATION or END, or one not below it.
    placed : Placed or None
        Where the last OPERATION that this writer has written stands.
    written : int
        Byte offset up to which the file has the frames; those behind it are gathered in memory.
    gathered : int
        How many these are.
    """

    file: AppendFile
    number: int
    salt: int
    created: int
    offset: int
    lsn: int
    chain: int
    batch: BatchState
    last_record: int
    last_change: int
    placed: Placed | None
    written: int
    gathered: int

    @classmethod
    def of_new(
        cls,
        file: AppendFile,
        header: SegmentHeader,
        batch: BatchState,
        last_change: int | None = None,
        placed: Placed | None = None,
    ) -> Tip:
        """The end of a segment that has nothing but a header; all before it is durable."""
        before = header.first_lsn - 1
        return cls(
            file, header.number, header.salt, header.created, SEGMENT_HEADER_SIZE, header.first_lsn,
            header.chain, batch, before, before if last_change is None else last_change, placed,
            SEGMENT_HEADER_SIZE, 0,
        )  # fmt: skip

    def frame(
        self, kind: int, flags: int, batch: int, meta: bytes, size: int, crc: int, *, gather: bool = False
    ) -> tuple[bytes, Tip]:
        """The next frame up to its payload, and the end after it: written, or with one more frame in memory.

        Parameters
        ----------
        size : int
            Bytes of the payload, without padding.
        crc : int
            CRC32C of the payload and its padding.

        Raises
        ------
        FormatError
            Such a frame may not stand here.
        """
        (
            file,
            number,
            salt,
            created,
            offset,
            lsn,
            chain,
            state,
            last_record,
            last_change,
            placed,
            _,
            _,
        ) = self
        state = state.after(lsn, kind, flags, batch, count_in(meta, "records") if kind == _END else 0)
        head, header_crc = pack_frame(
            salt, offset, lsn, batch, kind, flags, _elapsed(created), meta, size, crc
        )
        end = offset + len(head) + padded(size)
        after = Tip(
            file, number, salt, created, end, lsn + 1,
            next_chain(chain, header_crc), state, last_record if kind == _SYNC else lsn,
            lsn if kind in _CHANGES else last_change,
            Placed(number, offset, lsn) if kind == _OPERATION else placed,
            self.written if gather else end, self.gathered + 1 if gather else 0,
        )  # fmt: skip
        return head, after


def _elapsed(created: int) -> int:
    """Milliseconds since `created` (ns), within what the field holds; clocks may go back."""
    return min(max(0, (time.time_ns() - created) // 1_000_000), _LARGEST_ELAPSED)
