"""The target of a test: it has a directory of its own."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "run.h5"


@pytest.fixture
def old(target: Path) -> Path:
    """A target that exists, with one dataset in it."""
    with h5py.File(target, "w") as file:
        file["old"] = 1
    return target
