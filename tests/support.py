"""What the tests of sessions and recovery share: the small world of `safeh5.testing.world`, and a crash."""

from __future__ import annotations

from pathlib import Path

import safeh5
from safeh5.testing.world import (
    ELEMENTS,
    REFUSED,
    SPACE,
    TYPE,
    batches,
    copied,
    dead_session,
    entries,
    held,
    held_in,
    make_old,
    operations,
    segments,
    sidecar,
    snapshot,
    values,
    write_batch,
)

__all__ = [
    "ELEMENTS",
    "REFUSED",
    "SPACE",
    "TYPE",
    "batches",
    "copied",
    "dead_session",
    "entries",
    "held",
    "held_in",
    "interrupted",
    "make_old",
    "operations",
    "segments",
    "sidecar",
    "snapshot",
    "values",
    "write_batch",
]


def interrupted(target: Path, *numbers: int, **options: object) -> None:
    """Leave a session that wrote batches `numbers` behind as a crash does: no seal, no lock."""
    session = safeh5.open(target, **options)  # type: ignore[arg-type]
    for number in numbers:
        write_batch(session, number)
    session._abandon()
