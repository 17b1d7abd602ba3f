"""A record that HDF5 refuses in the applier's own process is told as it would be told in this one."""

from __future__ import annotations

from pathlib import Path

import pytest

import safeh5
from safeh5.errors import ApplyError
from safeh5.testing.world import REFUSED, write_batch


def test_what_hdf5_refuses_in_the_applier_s_process_is_the_same_error_here(tmp_path: Path) -> None:
    with (
        pytest.raises(ApplyError) as refused,
        safeh5.open(tmp_path / "run.h5", applier="process") as session,
    ):
        write_batch(session, 0)
        session.record(REFUSED)
        session.checkpoint()
    assert "/nowhere" in str(refused.value)
    assert refused.value.lsn is not None
