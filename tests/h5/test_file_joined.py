"""The same path opened twice: in one process it joins, from another one it is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import (
    SessionLockedError,
    TargetChangedError,
    TargetExistsError,
    TargetIsOpenError,
)
from tests.h5.files import content, run_script


def other_names(target: Path) -> list[str]:
    link = target.with_name("link.h5")
    link.symlink_to(target)
    return [str(target), f"{target.parent}/./{target.name}", os.path.relpath(target), str(link)]


@pytest.mark.parametrize("mode", ["r", "r+", "a"])
def test_the_same_path_joins_the_session_and_the_last_close_commits(mode: str, old: Path) -> None:
    first = safeh5.File(old, "a")
    first["new"] = 2
    for name in other_names(old):
        second = safeh5.File(name, mode)
        assert second["new"][()] == 2 and second == first and second.filename == name
        second[f"by {name.replace('/', '|')}"] = 3
        inner = second["new"]
        second.close()
        assert not second and not inner and first and content(old) == {"old": 1}
    first.close()
    assert len(content(old)) == 6


def test_the_first_of_two_may_be_closed_first(target: Path) -> None:
    first = safeh5.File(target, "w")
    mine = first.create_dataset("x", data=[1])
    second = safeh5.File(target, "a")
    theirs = second["x"]
    first.close()
    assert not mine and theirs and not target.exists()
    theirs[0] = 2
    second.close()
    assert content(target) == {"x": [2]}


def test_an_exception_in_an_inner_with_leaves_the_outer_file_open(target: Path) -> None:
    with safeh5.File(target, "w") as outer:
        with pytest.raises(KeyError), safeh5.File(target, "a") as inner:
            inner["x"] = 1
            raise KeyError
        assert not inner and outer["x"][()] == 1
    assert content(target) == {"x": 1}


def test_an_open_file_is_not_begun_anew(old: Path) -> None:
    with safeh5.File(old, "a") as file:
        with pytest.raises(TargetIsOpenError, match="already open"):
            safeh5.File(old, "w")
        with pytest.raises(TargetExistsError):
            safeh5.File(old, "x")
        assert file["old"][()] == 1


def test_a_session_opened_by_other_means_is_joined_and_not_ended(target: Path) -> None:
    with safeh5.open(target) as session:
        session.write(safeh5.MicroDataset("x", np.arange(3)))
        with safeh5.File(target, "a") as file:
            file["x"][0] = 7
        assert session.state is safeh5.State.OPEN and not target.exists()
        safeh5.File(target, "r").close()
    assert content(target) == {"x": [7, 1, 2]}


def test_another_process_is_refused_and_told_who_writes(target: Path) -> None:
    with safeh5.File(target, "w") as file:
        file["x"] = 1
        done = run_script("safeh5.File(target, 'a')", target)
        assert "SessionLockedError" in done.stderr and str(os.getpid()) in done.stderr
    assert issubclass(SessionLockedError, BlockingIOError)


def test_a_lock_is_waited_for_as_long_as_was_said(target: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import safeh5, sys, time\n"
            "with safeh5.File(sys.argv[1], 'w') as f:\n f['x'] = 1; print('open', flush=True); time.sleep(1)",
            str(target),
        ],
        cwd=Path(safeh5.__file__).parents[1],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None and holder.stdout.readline()
    with safeh5.File(target, "a", lock_timeout=30) as file:
        assert file["x"][()] == 1
    holder.communicate(timeout=30)


def test_a_target_changed_by_others_is_not_overwritten(old: Path) -> None:
    file = safeh5.File(old, "a")
    file["new"] = 2
    os.replace(_other(old), old)
    for _ in range(2):
        with pytest.raises(TargetChangedError):
            file.close()
    assert content(old) == {"other": 3}
    file.session.rollback()
    file.close()
    assert not file


def _other(old: Path) -> Path:
    other = old.with_name("other.h5")
    with h5py.File(other, "w") as file:
        file["other"] = 3
    return other


def test_threads_may_open_write_and_close_the_same_path(target: Path) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for i in range(5):
                with safeh5.File(target, "a") as file:
                    file[f"{number}-{i}"] = i
        except BaseException as error:
            errors.append(error)

    with safeh5.File(target, "w"):
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not errors
    assert len(content(target)) == 20
