"""Small operations put together into one record, and taken apart again."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from safeh5._typing import Buffer
from safeh5.errors import JournalError
from safeh5.operations.model import AnyOperation, Many, Operation, SingleOperation


def put_together(parts: list[tuple[SingleOperation, bytes]]) -> tuple[Many, bytes]:
    """One operation that does what `parts` do, in their order, and its payload."""
    operations = tuple(operation for operation, _ in parts)
    sizes = tuple(len(payload) for _, payload in parts)
    # The names first and last in order have in common what all have.
    paths = [operation.path for operation in operations]
    path = posixpath.commonpath((min(paths), max(paths)))
    return Many(path=path, operations=operations, sizes=sizes), b"".join(payload for _, payload in parts)


def taken_apart(operation: AnyOperation | Operation, payload: Buffer) -> Iterator[tuple[Operation, Buffer]]:
    """The operations in `operation`, which may be a single one, each with its payload.

    Raises
    ------
    JournalError
        The sizes do not fit the payload.
    """
    if not isinstance(operation, Many):
        yield operation, payload
        return
    view, at = memoryview(payload), 0
    if len(operation.sizes) != len(operation.operations) or sum(operation.sizes) != view.nbytes:
        raise JournalError("a record of many operations does not fit its payload", dataset=operation.path)
    for each, size in zip(operation.operations, operation.sizes, strict=True):
        yield each, view[at : at + size]
        at += size
