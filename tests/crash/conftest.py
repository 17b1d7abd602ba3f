"""What all crash tests share: a zygote, and places to crash in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from safeh5.testing.crash import Place
from safeh5.testing.harness.places import quick_directory
from safeh5.testing.modes.kill_cases import Ground
from safeh5.testing.zygote import Zygote

__all__ = ["MakePlace", "Place"]

MakePlace = Callable[..., Place]


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    with Zygote("safeh5.testing.modes.workloads") as running:
        yield running


@pytest.fixture
def ground(zygote: Zygote) -> Iterator[Ground]:
    with tempfile.TemporaryDirectory(dir=quick_directory()) as path:
        yield Ground(zygote, Path(os.path.realpath(path)))


@pytest.fixture
def make_place(ground: Ground) -> MakePlace:
    """A function that makes places; ``old=True`` puts an old file there."""
    return ground.make
