"""Many small appends as one: the rows of a stream that stand side by side in the journal.

HDF5 takes as long for a row of 1 KiB as for a block of 64 KiB, and a block that
begins and ends inside chunks costs it more than one of whole chunks. Rows that
were appended one after the other to one dataset are handed to it together; the
file comes out the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from safeh5._typing import Buffer
from safeh5.applier.applier import Applier
from safeh5.errors import ApplyError
from safeh5.operations.model import AppendData, Operation
from safeh5.storage.platform import byte_view

_SMALL: Final = 256 * 1024
_ENOUGH: Final = 1024 * 1024
_WRITE_BACK: Final = 4 * 1024 * 1024
"""After so much the disk is given something to do: what is applied last is all that a sync then waits for."""


@dataclass
class _Run:
    """Appends that wait to be applied together; `ends` says where in the buffer each of them ends."""

    operations: list[AppendData] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    lsns: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.ends[-1] if self.ends else 0

    def takes(self, operation: Operation, size: int) -> bool:
        """Whether `operation` goes on where the run ends."""
        if not isinstance(operation, AppendData) or operation.packed or size > _SMALL or self.size >= _ENOUGH:
            return False
        if not self.operations:
            return True
        last = self.operations[-1]
        return (operation.path, operation.type, operation.start) == (
            last.path,
            last.type,
            last.start + last.count,
        )


class Coalescer:
    """Applies operations, holding back appends that the next ones may be joined to.

    `flush` must be called before anybody relies on what was applied.

    Parameters
    ----------
    applier : Applier
        Applies them.
    write_back : callable
        Called from time to time, when some megabytes were applied: has the system begin to write them.
    """

    def __init__(self, applier: Applier, write_back: Callable[[], object] = lambda: None) -> None:
        self._applier = applier
        self._write_back = write_back
        self._applied = 0
        self._run = _Run()
        self._held = memoryview(b"")

    def apply(self, operation: Operation, payload: Buffer, lsn: int) -> None:
        """Apply `operation`, now or with those that follow it."""
        view = byte_view(payload)
        size = len(view)
        if not self._run.takes(operation, size):
            self.flush()
        if self._run.takes(operation, size):
            assert isinstance(operation, AppendData)
            self._hold(operation, view, lsn)
        else:
            self._apply(operation, view, lsn)

    def _hold(self, operation: AppendData, view: memoryview, lsn: int) -> None:
        """Copy it: the payload is gone when the next one is asked for."""
        # One buffer for all runs: its memory is in use already, which that of new objects would not be.
        if not self._held:
            self._held = memoryview(bytearray(_ENOUGH + _SMALL))
        run, begin = self._run, self._run.size
        end = begin + len(view)
        self._held[begin:end] = view
        run.operations.append(operation)
        run.ends.append(end)
        run.lsns.append(lsn)

    def flush(self) -> None:
        """Apply what was held back.

        Raises
        ------
        ApplyError
            If HDF5 refuses; it names the record, found by applying one by one.
        """
        run, self._run = self._run, _Run()
        if not run.operations:
            return
        first, last = run.operations[0], run.operations[-1]
        joined = msgspec.structs.replace(first, count=last.start + last.count - first.start)
        held = self._held
        try:
            self._apply(joined, held[: run.size], run.lsns[0])
        except ApplyError:
            for operation, begin, end, lsn in zip(
                run.operations, [0, *run.ends], run.ends, run.lsns, strict=False
            ):
                self._apply(operation, held[begin:end], lsn)

    def _apply(self, operation: Operation, view: memoryview, lsn: int) -> None:
        self._applier.apply(operation, view, lsn=lsn)
        self._applied += len(view)
        if self._applied >= _WRITE_BACK:
            self._applied = 0
            self._write_back()
