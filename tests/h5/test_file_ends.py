"""How a `safeh5.File` ends: closed, forgotten, by an exception, by the end of the program, by a kill."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import pytest

import safeh5
from safeh5.errors import (
    InterruptedSessionError,
)
from tests.h5.files import content, only_the_target, run_script

# --- closing ---------------------------------------------------------------------------------------


def test_a_file_that_exists_stays_whole_until_close(old: Path) -> None:
    file = safeh5.File(old, "w")
    file["new"] = 2
    file.flush()
    assert content(old) == {"old": 1}
    file.close()
    assert content(old) == {"new": 2} and only_the_target(old)


def test_close_is_for_good_and_what_was_open_becomes_invalid(target: Path) -> None:
    file = safeh5.File(target, "w")
    group, dataset = file.create_group("g"), file.create_dataset("d", data=[1])
    file.close()
    file.close()
    assert not file and not group and not dataset and repr(file) == "<Closed HDF5 file>"
    for attempt in (lambda: file.filename, lambda: file.mode):
        with pytest.raises(ValueError):
            attempt()
    for attempt in (lambda: dataset[0], file.flush):
        with pytest.raises(RuntimeError):
            attempt()


def test_closing_the_identifier_closes_with_the_last_object_as_h5py_does(target: Path) -> None:
    file = safeh5.File(target, "w")
    dataset = file.create_dataset("d", data=[1])
    file.id.close()
    assert not file and dataset and not target.exists()
    dataset[0] = 2
    del dataset
    assert content(target) == {"d": [2]} and only_the_target(target)


def test_a_file_nobody_closed_is_committed_when_its_last_object_goes(target: Path) -> None:
    def make() -> h5py.Dataset:
        file = safeh5.File(target, "w")
        return file.create_dataset("d", data=[1])

    dataset = make()
    dataset[0] = 5
    assert not target.exists()
    del dataset
    assert content(target) == {"d": [5]} and only_the_target(target)


def test_a_file_in_a_cycle_is_committed_when_the_cycle_is_collected(target: Path) -> None:
    cycle: dict[str, Any] = {"file": safeh5.File(target, "w")}
    cycle["cycle"] = cycle
    cycle["file"]["x"] = 1
    del cycle
    gc.collect()
    assert content(target) == {"x": 1}


def test_an_exception_in_with_suspends_and_names_the_command(
    old: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ZeroDivisionError), safeh5.File(old, "a") as file:
        file["new"] = 2
        raise ZeroDivisionError
    assert not file and content(old) == {"old": 1}
    assert f"safeh5 recover {old}" in caplog.text
    with pytest.raises(OSError) as refused:
        safeh5.File(old, "a")
    assert isinstance(refused.value, InterruptedSessionError)
    with safeh5.File(old, "a", resume=True) as file:
        assert set(file) == {"old", "new"}
    assert content(old) == {"old": 1, "new": 2}


def test_an_exception_before_any_change_leaves_nothing(old: Path) -> None:
    for mode in ("a", "w"):
        with pytest.raises(KeyError), safeh5.File(old, mode) as file:
            file["nothing"]
    assert content(old) == {"old": 1} and only_the_target(old)


@pytest.mark.parametrize(("on_error", "left"), [("commit", {"old": 1, "new": 2}), ("rollback", {"old": 1})])
def test_on_error_says_what_an_exception_does(on_error: str, left: dict[str, int], old: Path) -> None:
    with pytest.raises(ZeroDivisionError), safeh5.File(old, "a", on_error=on_error) as file:
        file["new"] = 2
        raise ZeroDivisionError
    assert content(old) == left and only_the_target(old)


def test_flush_makes_durable_and_checkpoints(target: Path) -> None:
    done = run_script(
        """
        file = safeh5.File(target, "w", durability="flush")
        file.create_dataset("d", data=np.arange(1000), chunks=(10,))
        file.flush()
        with h5py.File(target + ".safeh5/staging.h5", "r", locking=False) as staging:
            assert staging["d"][999] == 999
        file["late"] = 1
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        target,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    safeh5.recover(target)
    assert content(target)["d"] == list(range(1000))


def test_a_kill_in_the_middle_leaves_the_old_file_and_recovery_brings_the_new(old: Path) -> None:
    done = run_script(
        """
        file = safeh5.File(target, "a", durability="record")
        for i in range(20):
            file[f"g{i}/d"] = np.full(3, i)
            file[f"g{i}"].attrs["i"] = i
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        old,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert content(old) == {"old": 1}
    with pytest.raises(InterruptedSessionError):
        safeh5.File(old, "a")
    root = Path(safeh5.__file__).parents[1]
    subprocess.run([sys.executable, "-m", "safeh5", "recover", str(old)], cwd=root, check=True, timeout=60)
    found = content(old)
    assert found["old"] == 1 and all(found[f"g{i}/d"] == [i] * 3 for i in range(20))


# --- the end of the program ------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "sys.exit()", "sys.exit(3)", "raise SystemExit('message')"])
def test_a_program_that_never_closes_loses_nothing(end: str, target: Path) -> None:
    done = run_script(f"file = safeh5.File(target, 'w')\nfile['x'] = 1\n{end}", target)
    assert content(target) == {"x": 1} and only_the_target(target)
    assert "committed" in done.stderr


def test_a_program_that_ends_by_an_exception_leaves_the_old_file_and_a_sealed_session(old: Path) -> None:
    done = run_script("file = safeh5.File(target, 'a')\nfile['x'] = 1\nraise ValueError('meant')", old)
    assert done.returncode == 1 and "ValueError: meant" in done.stderr
    assert f"safeh5 recover {old}" in done.stderr
    assert content(old) == {"old": 1}
    safeh5.recover(old)
    assert content(old) == {"old": 1, "x": 1}


def test_an_unhandled_exception_without_a_change_leaves_nothing(old: Path) -> None:
    run_script("file = safeh5.File(target, 'a')\nraise ValueError", old)
    assert only_the_target(old)


@pytest.mark.parametrize(
    "end", ["del file; sys.exit(0)", "file.close(); sys.exit(0)", "with file: sys.exit(0)"]
)
def test_a_fork_neither_commits_nor_ends_its_parents_file(end: str, target: Path) -> None:
    done = run_script(
        f"""
        file = safeh5.File(target, "w")
        file["x"] = 1
        if os.fork() == 0:
            {end}
        assert os.wait()[1] == 0
        file["y"] = 2
        file.close()
        """,
        target,
    )
    assert done.returncode == 0, done.stderr
    assert content(target) == {"x": 1, "y": 2} and only_the_target(target)


def test_a_fork_that_ends_later_does_not_write_into_the_committed_file(target: Path) -> None:
    """HDF5 flushes its metadata when a process ends, a forked one too, by the descriptor of the parent."""
    done = run_script(
        """
        file = safeh5.File(target, "w")
        for i in range(300):
            file.create_group(f"g{i}").attrs["a"] = i
        waits, wakes = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(waits, 1)
            assert file["g7"].attrs["a"] == 7
            sys.exit(0)
        for i in range(300):
            file[f"g{i}"].attrs["a"] = 1000 + i
        for i in range(100):
            file[f"x{i}"] = np.full(100, i)
        file.close()
        with open(target, "rb") as made:
            before = made.read()
        os.write(wakes, b"x")
        assert os.waitpid(child, 0)[1] == 0
        with open(target, "rb") as made:
            assert made.read() == before
        """,
        target,
    )
    assert done.returncode == 0, done.stderr
    with h5py.File(target) as file:
        assert all(file[f"g{i}"].attrs["a"] == 1000 + i for i in range(300))


def test_a_generator_that_is_closed_and_sys_exit_end_with_in_good_order(target: Path) -> None:
    def numbers() -> Any:
        with safeh5.File(target, "w") as file:
            for i in range(10):
                file[str(i)] = i
                yield i

    taken = numbers()
    next(taken), next(taken)
    taken.close()
    assert content(target) == {"0": 0, "1": 1}
    with pytest.raises(SystemExit), safeh5.File(target, "a") as file:
        file["end"] = 1
        sys.exit()
    assert content(target) == {"0": 0, "1": 1, "end": 1}
    with pytest.raises(SystemExit), safeh5.File(target, "a") as file:
        file["failed"] = 1
        sys.exit("a message is a failure")
    assert "failed" not in content(target)
