"""A pytest plugin: each test is run to its end, and again until it is killed where it closes a file.

Both lives are forks of the test process, with the same random numbers and the
same names of temporary files. The first counts its commits. The second gets
SIGKILL in place of one of them, and leaves behind what HDF5 had of the file in
memory at that moment. What recovery makes must be that.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _pytest.runner import runtestprotocol

from peers import outcomes, replayed, stand_in  # noqa: F401 - stand_in replaces h5py.File
from safeh5.errors import SafeH5Error
from safeh5.h5 import native
from safeh5.recovery import recover
from safeh5.session.session import Session

SECONDS = 30
"""How long a life may last."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool:
    """Two lives of the test, and what recovery makes of the second one's end."""
    place = Path(tempfile.mkdtemp(prefix="safeh5-killed-"))
    try:
        _live(item, place, None)
        commits = (place / "commits").stat().st_size if (place / "commits").exists() else 0
        if commits:
            name = outcomes.name_of(item.nodeid)
            status = _live(item, place, zlib.crc32(name.encode()) % commits)
            _judge(name, place, status)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return True


def _judge(name: str, place: Path, status: int) -> None:
    note = place / "target"
    target = Path(note.read_text(encoding="utf-8")) if note.exists() else place
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and note.exists():
        found = _recover(target) or replayed.compare(_beside(target), target)
    else:
        found = ["the second life did not come to the same commit"]
    outcomes.write_line(
        os.environ[replayed.FILE], test=name, file=target.name, form="killed", differences=found
    )


def _beside(target: Path) -> Path:
    """Where the expected file goes: beside the target, since it may lead to others by their names."""
    return target.with_name(target.name + ".expected")


def _recover(target: Path) -> list[str]:
    try:
        recover(target)
    except (SafeH5Error, OSError) as error:
        return [f"recovery fails: {type(error).__name__}: {error}"]
    return []


# --- in the child ---------------------------------------------------------------------------


def _live(item: pytest.Item, place: Path, end: int | None) -> int:
    """Run the test in a fork, killed at commit number `end`; its exit status."""
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(SECONDS)
            _same_again(item, place)
            Session.commit = _deadly(Session.commit, place, end)  # type: ignore[method-assign, assignment]
            runtestprotocol(item, log=False, nextitem=None)
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1]


def _same_again(item: pytest.Item, place: Path) -> None:
    """Let chance be the same in every life."""
    temporary = place / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    (temporary / "pytest").mkdir(parents=True)
    tempfile.tempdir = str(temporary)
    tempfile._name_sequence = _names()  # type: ignore[attr-defined]
    item.config._tmp_path_factory._basetemp = temporary / "pytest"  # type: ignore[attr-defined]
    random.seed(0)
    np.random.seed(0)


def _names() -> Iterator[str]:
    chance = random.Random(0)
    while True:
        yield f"{chance.getrandbits(40):010x}"


def _deadly(commit: Callable[[Session], None], place: Path, end: int | None) -> Callable[[Session], None]:
    commits = 0

    def deadly(self: Session) -> None:
        nonlocal commits
        if commits == end:
            target = Path(self.target)
            _beside(target).write_bytes(_in_memory(self))
            (place / "target").write_text(self.target, encoding="utf-8")
            os.kill(os.getpid(), signal.SIGKILL)
        commits += 1
        if end is None:
            with open(place / "commits", "ab") as file:
                file.write(b".")
        commit(self)

    return deadly


def _in_memory(session: Session) -> bytes:
    """The HDF5 file as libhdf5 sees it; the journal has no part in it."""
    with native.phil:
        workspace: Any = session._workspace
        staging = getattr(workspace, "inline", workspace)._staging
        staging.flush_hdf5()
        seen: bytes = staging._below.peek(0, staging._below.size)
    return seen
