"""What the tests of sessions begin with: a target in a directory of its own, with or without a file at it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import safeh5
from safeh5.session import Session
from tests.session.appliers import appliers_below, wait_until
from tests.session.mendable import MendableStorage
from tests.support import make_old


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the file will be; nothing else is in its directory."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "run.h5"


@pytest.fixture
def old(target: Path) -> bytes:
    """The bytes of a file that is at the target before the session begins."""
    return make_old(target)


@pytest.fixture(params=["inline", "process"])
def session(target: Path, request: pytest.FixtureRequest) -> Session:
    """A session with either applier."""
    return safeh5.open(target, applier=request.param)


@pytest.fixture
def storage() -> MendableStorage:
    """A disk that works, until it is told to fail."""
    return MendableStorage()


@pytest.fixture
def no_applier_is_left(target: Path) -> Iterator[None]:
    """No applier is left of any session that has ended."""
    yield
    wait_until(lambda: appliers_below(os.getpid()) == [], "an applier is left")
