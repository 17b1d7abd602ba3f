"""The rules that frames keep among each other, shared by writer and scan.

The bytes of a frame can be whole and still make no sense after those before
it. Writer and scan run every frame through `BatchState.after`: the writer so
that it cannot write such a journal, the scan so that it does not believe one.

1. LSN 1 is the SESSION record; there is no other.
2. Every OPERATION belongs to a batch. Batch numbers grow; gaps are allowed.
3. The frames of a batch stand together. Only SYNC, CHECKPOINT, SEAL and
   ROLLBACK may come between them.
4. END closes the open batch and states how many OPERATIONs it has. A batch
   of one OPERATION with the flag WHOLE is closed at once.
5. ABORT cancels the latest batch, open or closed, once; never one from before an anchor.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from safeh5.journal.format import WHOLE, FormatError, Kind

_SESSION, _OPERATION, _END, _ABORT = (
    int(Kind.SESSION), int(Kind.OPERATION), int(Kind.END), int(Kind.ABORT)
)  # fmt: skip
_NEEDS_CLOSED: Final = frozenset({int(Kind.COMMIT), int(Kind.RESUME)})
_LAST_KIND: Final = int(max(Kind))


class BatchState(NamedTuple):
    """Which batch was the latest, after some frame.

    Attributes
    ----------
    last : int
        Number of the latest batch, 0 before the first.
    open : bool
        Whether it waits for its END.
    records : int
        How many OPERATIONs it has so far.
    first_lsn : int
        LSN of its first OPERATION.
    aborted : bool
        Whether it was cancelled, or can be no more because an anchor followed.
    """

    last: int = 0
    open: bool = False
    records: int = 0
    first_lsn: int = 0
    aborted: bool = False

    @classmethod
    def anchored(cls, last: int) -> BatchState:
        """The state behind an anchor: batches up to `last` are done with."""
        return cls(last, aborted=True)

    def after(self, lsn: int, kind: int, flags: int, batch: int, count: int = 0) -> BatchState:
        """The state after one more frame; `count` is what an END states.

        Raises
        ------
        FormatError
            The frame may not stand here; the text says why.
        """
        if flags and (kind != _OPERATION or flags != WHOLE):
            raise FormatError(f"unknown flags {flags:#04x}")
        if (lsn == 1) != (kind == _SESSION):
            raise FormatError("the SESSION record is not the first, or not the only one")
        if kind == _OPERATION:
            return self._operation(lsn, flags, batch)
        if kind == _END:
            return self._end(batch, count)
        if kind == _ABORT:
            return self._abort(batch)
        if batch or not 0 < kind <= _LAST_KIND:
            raise FormatError(f"unknown kind {kind}" if not batch else "a control record inside a batch")
        if self.open and kind in _NEEDS_CLOSED:
            raise FormatError(f"{Kind(kind).name} while batch {self.last} is open")
        return self

    def _operation(self, lsn: int, flags: int, batch: int) -> BatchState:
        if self.open:
            if batch != self.last or flags:
                raise FormatError(f"a record of batch {batch} while batch {self.last} is open")
            return BatchState(batch, True, self.records + 1, self.first_lsn)
        if batch <= self.last:
            raise FormatError(f"a record of batch {batch} after batch {self.last} was closed")
        return BatchState(batch, not flags, 1, lsn)

    def _end(self, batch: int, count: int) -> BatchState:
        if not self.open or batch != self.last:
            raise FormatError(f"END of batch {batch}, which is not open")
        if count != self.records:
            raise FormatError(f"END of batch {batch} states {count} records, there are {self.records}")
        return self._replace(open=False)

    def _abort(self, batch: int) -> BatchState:
        if batch == 0 or batch != self.last or self.aborted:
            raise FormatError(f"ABORT of batch {batch}, which is not the latest or was aborted before")
        return self._replace(open=False, aborted=True)
