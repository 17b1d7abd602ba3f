"""A pager to work with, a place for what a power cut leaves, a place for a lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.storage.pagers import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A pager whose disk is recorded."""
    (tmp_path / "data").mkdir()
    return Run(tmp_path / "data")


@pytest.fixture
def ground(tmp_path: Path) -> Path:
    """Where the disk is laid out as it was when the power was cut."""
    (tmp_path / "after").mkdir()
    return tmp_path / "after"


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the lock of a target is."""
    return str(tmp_path / "run.h5.safeh5.lock")
