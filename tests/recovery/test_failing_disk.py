"""A disk that fails under a recovery: an error, and never a batch of which a part is missing."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

import safeh5
from safeh5.errors import SafeH5Error
from safeh5.testing.faults import Fault, FaultyStorage
from tests.support import batches, copied, held, operations, segments, write_batch


def dead_in_a_batch(directory: Path) -> Path:
    """A session that was killed in the middle of its fourth batch."""
    (directory / "living").mkdir()
    session = safeh5.open(directory / "living" / "run.h5")
    for number in range(3):
        write_batch(session, number)
    with session.batch():
        session.record(*next(operations(3)))
        copied(directory / "living" / "run.h5", directory / "dead")
        (directory / "dead" / "run.h5.safeh5.lock").unlink(missing_ok=True)
    session.rollback()
    return directory / "dead" / "run.h5"


@pytest.mark.parametrize("action", ["replay", "salvage"])
def test_a_journal_that_reads_differently_from_one_look_to_the_next_gives_no_half_batches(
    tmp_path: Path, action: str
) -> None:
    target = dead_in_a_batch(tmp_path)
    if action == "salvage":
        segment = segments(target)[0]
        data = bytearray(segment.read_bytes())
        data[data.index(b"/b1/data")] ^= 1
        segment.write_bytes(data)
    refused = 0
    for effect in ("probe", "map", "read_bytes"):
        for nth in range(1, 7):
            copy = copied(target, tmp_path / f"{effect}-{nth}")
            try:
                report = safeh5.recover(
                    copy, action, storage=FaultyStorage(Fault(effect, nth=nth, error=errno.EIO))
                )
            except SafeH5Error:
                refused += 1
                assert not copy.exists()
            else:
                lost = batches(0, 1, 2) - held(copy)
                assert not lost or report.losses
    assert refused
