"""A disk that fails under a recovery: an error, and never a batch of which a part is missing."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

import safeh5
from safeh5.errors import SafeH5Error
from safeh5.testing.faults import Fault, FaultyStorage
from tests.support import batches, copied, dead_session, held, segments


@pytest.mark.parametrize("action", ["replay", "salvage"])
def test_a_journal_that_reads_differently_from_one_look_to_the_next_gives_no_half_batches(
    tmp_path: Path, action: str
) -> None:
    target = dead_session(tmp_path / "dead", 0, 1, 2)
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
