"""A payload that does not fit its operation: refused by name, and the session goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

import safeh5
from safeh5.errors import ApplyError
from safeh5.operations.model import WriteData
from tests.support import TYPE, batches, held, write_batch


@pytest.mark.parametrize("size", [0, 19, 21])
def test_a_payload_of_another_size_than_its_dataset_is_refused_and_the_session_goes_on(
    tmp_path: Path, size: int
) -> None:
    session = safeh5.open(tmp_path / "run.h5")
    write_batch(session, 0)
    with pytest.raises(ApplyError, match="20 are needed") as caught:
        session.record(WriteData(path="/b0/data", type=TYPE), bytes(size))
    assert "/b0/data" in str(caught.value)
    write_batch(session, 1)
    session.commit()
    assert held(tmp_path / "run.h5") == batches(0, 1)
