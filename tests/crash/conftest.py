"""What all crash tests share: a zygote, and places to crash in."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.crash.zygote import Zygote
from tests.support import make_old


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    with Zygote() as running:
        yield running


@dataclass
class Place:
    """A directory with a target, in which children live and die."""

    zygote: Zygote
    root: Path
    old: bytes | None
    lives: int = 0
    directory: Path = field(init=False)

    def __post_init__(self) -> None:
        self.directory = self.root / "data"

    @property
    def target(self) -> Path:
        return self.directory / "run.h5"

    @property
    def notes(self) -> Path:
        """Where the child that lives now notes what it was promised."""
        return self.root / f"notes-{self.lives}"

    def live(self, workload: str, **request: object) -> tuple[bool, list[str]]:
        """Run a child; returns whether it was killed, and its notes."""
        self.lives += 1
        status = self.zygote.run(workload=workload, target=str(self.target), notes=str(self.notes), **request)
        return status != 0, self.notes.read_text().splitlines() if self.notes.exists() else []

    def snapshot(self) -> dict[str, bytes]:
        """Every file of the directory, by relative path."""
        return {
            str(path.relative_to(self.directory)): path.read_bytes()
            for path in sorted(self.directory.rglob("*"))
            if path.is_file()
        }

    def copy(self, name: str) -> Place:
        """The same place again, under another root."""
        root = self.root / name
        if root.exists():
            shutil.rmtree(root)
        root.mkdir()
        shutil.copytree(self.directory, root / "data", symlinks=True)
        return Place(self.zygote, root, self.old)


MakePlace = Callable[..., Place]


@pytest.fixture
def ground() -> Iterator[Path]:
    """A directory that is quick to write: SIGKILL leaves the page cache alone, so no disk is needed."""
    memory = "/dev/shm"
    usable = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    with tempfile.TemporaryDirectory(dir=memory if usable else None) as path:
        yield Path(os.path.realpath(path))


@pytest.fixture
def make_place(zygote: Zygote, ground: Path) -> MakePlace:
    """A function that makes places; ``old=True`` puts an old file there."""
    count = 0

    def make(*, old: bool) -> Place:
        nonlocal count
        count += 1
        root = ground / f"place-{count}"
        (root / "data").mkdir(parents=True)
        return Place(zygote, root, make_old(root / "data" / "run.h5") if old else None)

    return make
