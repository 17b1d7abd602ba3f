"""Many small appends as one: the rows of a stream that stand side by side in the journal.

HDF5 takes as long for a row of 1 KiB as for a block of 64 KiB. Rows that were
appended one after the other to one dataset are handed to it together; the
file comes out the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from safeh5._typing import Buffer
from safeh5.applier.applier import Applier
from safeh5.errors import ApplyError
from safeh5.operations.model import AppendData, Operation

_SMALL: Final = 64 * 1024
_ENOUGH: Final = 1024 * 1024


@dataclass
class _Run:
    """Appends that wait to be applied together."""

    operations: list[AppendData] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    lsns: list[int] = field(default_factory=list)
    size: int = 0

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
    """

    def __init__(self, applier: Applier) -> None:
        self._applier = applier
        self._run = _Run()

    def apply(self, operation: Operation, payload: Buffer, lsn: int) -> None:
        """Apply `operation`, now or with those that follow it."""
        size = memoryview(payload).nbytes
        if not self._run.takes(operation, size):
            self.flush()
        if self._run.takes(operation, size):
            assert isinstance(operation, AppendData)
            self._run.operations.append(operation)
            self._run.payloads.append(bytes(payload))
            self._run.lsns.append(lsn)
            self._run.size += size
        else:
            self._applier.apply(operation, payload, lsn=lsn)

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
        try:
            self._applier.apply(joined, b"".join(run.payloads), lsn=run.lsns[0])
        except ApplyError:
            for operation, payload, lsn in zip(run.operations, run.payloads, run.lsns, strict=True):
                self._applier.apply(operation, payload, lsn=lsn)
