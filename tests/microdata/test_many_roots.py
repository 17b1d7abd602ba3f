"""Many trees written at once cost as much as one with as many nodes."""

from __future__ import annotations

import time
from pathlib import Path

import h5py
import pytest

import safeh5
from safeh5 import MicroDataGroup

COUNT = 3000


@pytest.mark.parametrize("name", ["Point_", "point{}"])
def test_thousands_of_roots_are_placed_in_seconds(tmp_path: Path, name: str) -> None:
    began = time.process_time()
    with safeh5.open(tmp_path / "run.h5") as session:
        written = session.write([MicroDataGroup(name.format(number)) for number in range(COUNT)])
    assert time.process_time() - began < 6
    assert len(set(written.paths)) == COUNT
    with h5py.File(tmp_path / "run.h5") as file:
        assert len(file) == COUNT


def test_indices_go_on_behind_names_that_were_given(tmp_path: Path) -> None:
    nodes = [
        MicroDataGroup(name) for name in ("Scan_", "Scan_007", "Scan_", "other", "Scan_", "Scan_x", "Scan_")
    ]
    with safeh5.open(tmp_path / "run.h5") as session:
        assert session.write(nodes).paths == (
            "/Scan_000", "/Scan_007", "/Scan_008", "/other", "/Scan_009", "/Scan_x", "/Scan_010",
        )  # fmt: skip
        assert session.write(MicroDataGroup("Scan_")).paths == ("/Scan_011",)
