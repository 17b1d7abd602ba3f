"""Journals that are sound and that HDF5 does not take: no session of these is a dead end."""

from __future__ import annotations

from pathlib import Path

import pytest

import safeh5
from safeh5.errors import ApplyError
from tests.support import REFUSED, batches, entries, held, write_batch


@pytest.fixture
def stuck(tmp_path: Path) -> Path:
    """A target whose journal has, between two batches, a record that HDF5 refuses."""
    target = tmp_path / "run.h5"
    session = safeh5.open(target, applier="process")
    write_batch(session, 0)
    session.record(REFUSED, bytes(20))
    write_batch(session, 1)
    session.suspend()
    return target


def test_a_record_that_hdf5_refuses_names_the_command_that_goes_past_it(stuck: Path) -> None:
    with pytest.raises(ApplyError) as caught:
        safeh5.recover(stuck)
    assert f"safeh5 recover {stuck} --salvage" in str(caught.value)
    assert not stuck.exists() and safeh5.status(stuck).records == 7


def test_salvage_goes_past_a_record_that_hdf5_refuses_and_keeps_the_journal(stuck: Path) -> None:
    report = safeh5.recover(stuck, "salvage")
    assert held(stuck) == batches(0, 1)
    assert [loss.dataset for loss in report.losses] == ["/nowhere"]
    (aside,) = report.kept_aside
    assert entries(stuck) == [Path(aside).name]


def test_a_salvage_past_a_refused_record_may_go_to_another_file(stuck: Path) -> None:
    output = stuck.with_name("other.h5")
    assert safeh5.recover(stuck, "salvage", output=output).losses
    assert held(output) == batches(0, 1) and not stuck.exists()
