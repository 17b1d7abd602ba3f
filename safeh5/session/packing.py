"""The operations of a tree on their way into the journal: small ones together, sure ones to be applied later.

What is sure, and what that means, is said in docs/decisions/0013. A plan has
checked everything against h5py; here is only decided whether libhdf5 could
still refuse an operation. In doubt it could.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, cast

from h5py import h5t

from safeh5._typing import Buffer
from safeh5.operations.many import put_together
from safeh5.operations.model import (
    CreateDataset,
    CreateGroup,
    Operation,
    SetAttribute,
    SingleOperation,
    WriteData,
)
from safeh5.operations.values import decode_type, is_plain
from safeh5.options import KIB

_SMALL: Final = 16 * KIB
_RECORD_BYTES: Final = 256 * KIB
_RECORD_OPERATIONS: Final = 2048
_WORTH_IT: Final = 64
"""Fewer are journaled one by one: a record for each is easier to look at, and to salvage."""
_FILTERS: Final = frozenset({1, 2, 3, 32000})
"""Deflate, shuffle, Fletcher-32, LZF: they take whatever they are given."""

Record = Callable[[Operation, Buffer, bool], int]
"""Journals an operation; the last argument says whether it is sure."""


class Packer:
    """Takes the operations of one tree, in order.

    Parameters
    ----------
    record : callable
        Where they go.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._made: set[str] = set()
        self._small: list[tuple[SingleOperation, bytes]] = []
        self._bytes = 0

    def take(self, operations: Iterable[tuple[Operation, Buffer]]) -> None:
        """Journal operations, at the latest with `flush`; a payload must last until the next is asked for."""
        sure = self._is_sure
        for operation, payload in operations:
            size = len(payload) if type(payload) is bytes else memoryview(payload).nbytes
            if size > _SMALL or not sure(operation):
                self.flush()
                self._record(operation, payload, sure(operation))
                continue
            self._small.append((cast(SingleOperation, operation), bytes(payload)))
            self._bytes += size
            if self._bytes >= _RECORD_BYTES or len(self._small) >= _RECORD_OPERATIONS:
                self.flush()

    def flush(self) -> None:
        """Journal what was held back."""
        small, self._small, self._bytes = self._small, [], 0
        if len(small) >= _WORTH_IT:
            self._record(*put_together(small), True)
        else:
            for operation, payload in small:
                self._record(operation, payload, True)

    def _is_sure(self, operation: Operation) -> bool:
        if isinstance(operation, SetAttribute):
            return operation.committed_type is None and (not operation.packed or _is_text(operation.type))
        if isinstance(operation, WriteData):
            return operation.path in self._made and (not operation.packed or _is_text(operation.type))
        if isinstance(operation, CreateDataset):
            return self._is_simple(operation)
        return isinstance(operation, CreateGroup)

    def _is_simple(self, made: CreateDataset) -> bool:
        layout = made.layout
        simple = (
            made.committed_type is None
            and not layout.external
            and not layout.virtual
            and all(step.id in _FILTERS for step in layout.filters)
            and (is_plain(made.type) or _is_text(made.type))
        )
        if simple:
            self._made.add(made.path)
        return simple


def _is_text(encoded: bytes) -> bool:
    """Whether values of a type are strings of any length, and nothing else."""
    kind = decode_type(encoded)
    return bool(kind.get_class() == h5t.STRING)
