"""Targets and outputs that are not what a file should be: typed errors, and no waiting."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

import safeh5
from safeh5.errors import InvalidOptionError, NotHDF5Error, SessionLockedError, TargetNotFoundError
from safeh5.operations.model import CreateGroup
from safeh5.recovery import Condition
from tests.support import batches, dead_session, entries, held, make_old

CALLS: list[Callable[[Path], Any]] = [safeh5.status, safeh5.recover, safeh5.open]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("call", CALLS)
def test_a_pipe_or_a_directory_as_target_is_refused_at_once(
    tmp_path: Path, call: Callable[[Path], Any]
) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    (tmp_path / "directory.h5").mkdir()
    for name in ("pipe.h5", "directory.h5"):
        with pytest.raises(NotHDF5Error):
            call(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["directory.h5", "pipe.h5"]


def test_a_file_that_another_program_writes_is_locked_and_not_called_broken(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    script = "import sys, h5py; f = h5py.File(sys.argv[1], 'w'); print(flush=True); sys.stdin.read()"
    writer = subprocess.Popen(
        [sys.executable, "-c", script, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    try:
        with pytest.raises(SessionLockedError, match="another program"):
            safeh5.open(target)
    finally:
        writer.communicate()
    assert entries(target) == []


def test_an_output_without_a_directory_or_on_the_target_is_refused_and_nothing_is_touched(
    tmp_path: Path,
) -> None:
    target = dead_session(tmp_path / "data", 0)
    for output, error in (
        (tmp_path / "missing" / "x.h5", TargetNotFoundError),
        (target, InvalidOptionError),
        (target.with_name("run.h5.safeh5") / "x.h5", InvalidOptionError),
    ):
        with pytest.raises(error):
            safeh5.recover(target, output=output)
    assert safeh5.recover(target).records and held(target) == batches(0)


def test_a_target_whose_name_begins_with_a_dot_is_found_with_its_session(tmp_path: Path) -> None:
    dead_session(tmp_path / "data", 0)
    for entry in (tmp_path / "data").iterdir():
        entry.rename(entry.with_name("." + entry.name))
    (found,) = safeh5.status_tree(tmp_path)
    assert found.target == str(tmp_path / "data" / ".run.h5")
    assert found.condition is Condition.INTERRUPTED


def test_a_result_elsewhere_starts_from_the_checkpoint_and_not_from_a_changed_target(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    make_old(target)
    session = safeh5.open(target)
    session.record(CreateGroup(path="/b0"))
    session.checkpoint()
    session._abandon()
    with safeh5.open(tmp_path / "new.h5") as other:
        other.record(CreateGroup(path="/b0"))
    (tmp_path / "new.h5").replace(target)
    safeh5.recover(target, output=tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert set(file) == {"old", "b0"}
