"""`safeh5.File` in the place of `h5py.File`: opening, closing, joining, and the ends that nobody wrote."""

from __future__ import annotations

import gc
import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import (
    InputError,
    InterruptedSessionError,
    SessionLockedError,
    TargetChangedError,
    TargetExistsError,
    TargetIsOpenError,
)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "run.h5"


@pytest.fixture
def old(target: Path) -> Path:
    """A target that exists, with one dataset in it."""
    with h5py.File(target, "w") as file:
        file["old"] = 1
    return target


def content(path: Path) -> dict[str, Any]:
    """The datasets of a file, by name."""
    found: dict[str, Any] = {}

    def note(name: str, obj: Any) -> None:
        if isinstance(obj, h5py.Dataset):
            found[name] = obj[()].tolist()

    with h5py.File(path, "r") as file:
        file.visititems(note)
    return found


def only_the_target(path: Path) -> bool:
    return os.listdir(path.parent) == [path.name]


def run_script(body: str, target: Path) -> subprocess.CompletedProcess[str]:
    """Run Python lines in a child, with `target` defined."""
    lines = "import os, sys, signal\nimport h5py\nimport numpy as np\nimport safeh5\n"
    script = f"{lines}target = {str(target)!r}\n" + textwrap.dedent(body)
    root = Path(safeh5.__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-c", script], cwd=root, timeout=60, check=False, capture_output=True, text=True
    )


# --- what it is -------------------------------------------------------------------------


def test_it_is_exactly_an_h5py_file_and_so_is_what_comes_from_it(target: Path) -> None:
    with safeh5.File(target, "w") as file:
        assert type(file) is h5py.File
        assert isinstance(file, safeh5.File) and isinstance(file, h5py.File)
        group, dataset = file.create_group("g"), file.create_dataset("d", data=[1])
        assert type(group) is h5py.Group and type(dataset) is h5py.Dataset
        assert type(dataset.file) is h5py.File and dataset.file == file and group.parent == file["/"]
    assert issubclass(h5py.File, safeh5.File) and not isinstance(group, safeh5.File)


def test_reading_is_plain_h5py(old: Path) -> None:
    with safeh5.File(old) as file:
        assert file["old"][()] == 1 and file.mode == "r"
        assert type(file.id) is h5py.h5f.FileID and not hasattr(file, "session")
        assert only_the_target(old)


def test_a_subclass_is_journaled_and_keeps_its_type(target: Path) -> None:
    class Mine(safeh5.File):
        def __init__(self, path: Path) -> None:
            super().__init__(path, "w")
            self["made"] = 1

    with Mine(target) as file:
        assert type(file) is Mine and not target.exists()
    assert content(target) == {"made": 1}


@pytest.mark.parametrize("name", [str, os.fsencode, Path], ids=["str", "bytes", "Path"])
def test_names_of_every_kind_are_taken_and_shown_as_h5py_does(
    name: Callable[[Any], Any], target: Path
) -> None:
    with safeh5.File(name(target), "w") as file:
        assert file.filename == str(target) and file["/"].file.filename == str(target)
        assert file.session.target == str(target)


def test_a_relative_name_is_shown_as_it_was_given(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(target.parent)
    with safeh5.File("run.h5", "w") as file:
        assert file.filename == "run.h5"
        os.mkdir("elsewhere")
        os.chdir("elsewhere")
    assert target.exists()


PROPERTIES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "libver": {"libver": "latest"},
    "libver bounds": {"libver": ("v108", "v110")},
    "userblock": {"userblock_size": 1024},
    "order": {"track_order": True},
    "pages": {"fs_strategy": "page", "fs_page_size": 8192, "fs_persist": True, "fs_threshold": 4},
    "page buffer": {"fs_strategy": "page", "page_buf_size": 65536, "min_meta_keep": 20},
    "cache": {"rdcc_nslots": 1009, "rdcc_nbytes": 4096, "rdcc_w0": 0.5},
    "alignment": {"alignment_threshold": 1024, "alignment_interval": 4096},
    "meta blocks": {"meta_block_size": 4096},
    "locking": {"locking": "best-effort"},
    "core": {"driver": "core", "block_size": 1024},
    "stdio": {"driver": "stdio"},
    "sec2": {"driver": "sec2"},
}


def properties(file: h5py.File) -> dict[str, Any]:
    access, creation = file.id.get_access_plist(), file.id.get_create_plist()
    return {
        "mode": file.mode,
        "driver": file.driver,
        "swmr": file.swmr_mode,
        "libver": file.libver,
        "userblock": file.userblock_size,
        "meta": file.meta_block_size,
        "cache": access.get_cache(),
        "alignment": access.get_alignment(),
        "strategy": creation.get_file_space_strategy(),
        "page": creation.get_file_space_page_size(),
        "order": creation.get_link_creation_order(),
    }


@pytest.mark.parametrize("options", PROPERTIES.values(), ids=PROPERTIES.keys())
def test_the_arguments_of_h5py_mean_what_they_mean_there(options: dict[str, Any], target: Path) -> None:
    with h5py.File(target.with_name("plain.h5"), "w", **options) as plain:
        expected = properties(plain)
    with safeh5.File(target, "w", **options) as file:
        file["x"] = np.arange(1000)
        assert properties(file) == expected
    again = {key: options[key] for key in ("libver", "rdcc_nbytes") if key in options}
    with h5py.File(target.with_name("plain.h5"), "r+", **again) as plain:
        expected = properties(plain)
    with safeh5.File(target, "r+", **again) as file:
        assert {**properties(file), "driver": "sec2"} == expected


def test_a_large_attribute_under_latest_survives_a_checkpoint_and_a_kill(target: Path) -> None:
    run_script(
        """
        file = safeh5.File(target, "w", libver="latest")
        file.create_group("g").attrs["first"] = 1
        file.flush()
        file["g"].attrs["large"] = np.zeros(50_000)
        file.session.sync()
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        target,
    )
    safeh5.recover(target)
    with h5py.File(target) as file:
        assert file["g"].attrs["large"].shape == (50_000,)


WRONG: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "no such mode": (("q",), {}),
    "no such driver": (("w",), {"driver": "nothing"}),
    "no such libver": (("w",), {"libver": "v1"}),
    "no such argument": (("w",), {"nothing": 1}),
    "no such strategy": (("w",), {"fs_strategy": "nothing"}),
    "a strategy for a file that exists": (("r+",), {"fs_strategy": "page"}),
    "an odd userblock": (("w",), {"userblock_size": 1000}),
    "a userblock that is no number": (("w",), {"userblock_size": "a"}),
    "a userblock for r+": (("r+",), {"userblock_size": 512}),
    "another userblock": (("a",), {"userblock_size": 512}),
    "no such locking": (("w",), {"locking": "nothing"}),
    "x over a file": (("x",), {}),
    "w- over a file": (("w-",), {}),
}


@pytest.mark.parametrize(("args", "kwargs"), WRONG.values(), ids=WRONG.keys())
def test_what_h5py_refuses_is_refused_alike_and_leaves_nothing(
    args: tuple[Any, ...], kwargs: dict[str, Any], old: Path
) -> None:
    before = old.read_bytes()
    with pytest.raises(Exception) as expected:
        h5py.File(old, *args, **kwargs)
    old.write_bytes(before)
    with pytest.raises(type(expected.value)):
        safeh5.File(old, *args, **kwargs)
    assert only_the_target(old) and old.read_bytes() == before


@pytest.mark.parametrize("mode", ["r", "r+", "a", "w", "x"])
def test_a_directory_that_is_not_there_is_what_h5py_says_it_is(mode: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        safeh5.File(tmp_path / "none" / "run.h5", mode)
    assert error.value.errno == 2


@pytest.mark.parametrize("mode", ["r", "r+", "a", "w"])
def test_a_directory_at_the_path_is_what_h5py_says_it_is(mode: str, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as error:
        safeh5.File(tmp_path, mode)
    assert error.value.errno == 21


def test_what_is_no_hdf5_file_is_an_os_error_and_stays(target: Path) -> None:
    target.write_bytes(b"text, and no more")
    for mode in ("r", "r+", "a"):
        with pytest.raises(OSError):
            safeh5.File(target, mode)
    assert target.read_bytes() == b"text, and no more" and only_the_target(target)


def killed_after_a_flush(path: Path) -> None:
    program = f"import os, safeh5; f = safeh5.File({str(path)!r}, 'a'); f['x'] = 1; f.flush()"
    done = subprocess.run([sys.executable, "-c", program + "; os.kill(os.getpid(), 9)"], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("mode", ["a", "r+"])
def test_an_empty_file_becomes_an_hdf5_file_as_with_h5py(mode: str, target: Path) -> None:
    target.touch()  # as NamedTemporaryFile makes it
    with safeh5.File(target, mode) as file:
        file["x"] = 1
        assert not target.stat().st_size
    with h5py.File(target) as file:
        assert file["x"][()] == 1


def test_an_empty_file_whose_writer_was_killed_is_recovered(target: Path) -> None:
    target.touch()
    killed_after_a_flush(target)
    with safeh5.File(target, "a", resume=True) as file:
        file["y"] = 2
    with h5py.File(target) as file:
        assert set(file) == {"x", "y"}


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("", {}, "the name of the file is empty"),
        (b"r\xff.h5", {}, "is not UTF-8"),
        ("x" * 250, {}, "needs 44 more"),
        ("run.h5", {"lock_timeout": "long"}, "not a number of seconds"),
        ("run.h5", {"durability": "always"}, "is not one of 'record'"),
    ],
)
def test_what_a_file_cannot_be_named_or_opened_with_is_an_input_error_that_says_so(
    name: Any, options: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        safeh5.File(name, "w", **options)
    assert not list(tmp_path.iterdir())


def test_a_driver_that_does_not_exist_is_not_warned_of_but_refused(
    target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match="Unknown driver"):
        safeh5.File(target, "w", driver="sec3")
    assert not caplog.records


@pytest.mark.parametrize("mode", ["a", "r+", "w"])
def test_a_file_that_plain_h5py_has_open_for_writing_is_not_written_beside_it(mode: str, old: Path) -> None:
    with h5py.File(old, "r+") as plain:
        with pytest.raises(TargetIsOpenError, match="by h5py itself"):
            safeh5.File(old, mode)
        plain["kept"] = 1
    with h5py.File(old) as plain:
        assert "kept" in plain


def test_an_interrupted_session_names_both_ways_to_go_on(old: Path) -> None:
    killed_after_a_flush(old)
    with pytest.raises(InterruptedSessionError, match=r"safeh5 recover .* resume=True.*--rollback"):
        safeh5.File(old, "a")


def test_what_is_left_of_a_closed_file_fails_in_h5pys_words(old: Path, tmp_path: Path) -> None:
    def left(made: Any) -> tuple[Any, ...]:
        dataset = made["old"]
        made.close()
        with pytest.raises(ValueError) as caught:
            _ = dataset.file
        return dataset.id.id, str(caught.value), bool(dataset)

    assert left(safeh5.File(old, "a")) == left(h5py.File(old, "r"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_read_only_file_is_refused_as_by_h5py(old: Path) -> None:
    old.chmod(0o444)
    for mode in ("r+", "a", "w"):
        with pytest.raises(PermissionError):
            safeh5.File(old, mode)


# --- left to h5py -------------------------------------------------------------------------


def test_files_in_memory_and_file_objects_are_left_to_h5py(target: Path) -> None:
    with safeh5.File(target, "w", driver="core", backing_store=False) as file:
        file["x"] = 1
    assert os.listdir(target.parent) == []
    buffer = io.BytesIO()
    with safeh5.File(buffer, "w") as file:
        file["x"] = 1
    with safeh5.File(buffer, "r") as file:
        assert file["x"][()] == 1


def test_a_driver_of_many_files_is_left_to_h5py_with_a_warning(
    target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with safeh5.File(target.with_name("run-%d.h5"), "w", driver="family", memb_size=2**20) as file:
        file["x"] = 1
    assert "not journaled" in caplog.text


# --- closing ------------------------------------------------------------------------------


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


# --- the end of the program -----------------------------------------------------------------


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


# --- the same path twice ----------------------------------------------------------------------


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


# --- objects that have moved --------------------------------------------------------------------


def test_objects_below_a_group_that_moves_are_journaled_where_they_are(target: Path) -> None:
    done = run_script(
        f"""
        import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from tests.h5.test_file import moving
        file = safeh5.File(target, "w", durability="record")
        moving(file)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        target,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    safeh5.recover(target)
    with h5py.File(target) as file:
        assert file["a/q/x"][:].tolist() == [10, 20] and file["a/b/x"][:].tolist() == [2, 2]
        assert file["a/q/x"].attrs["mark"] == 6 and file["a/q/y"][()] == 3
        assert file["hard"] == file["a/q/x"] == file[file["reference"][()]]
        assert file[file["region"][()]] == file["hard"]


def moving(file: h5py.File) -> None:
    """Move groups above open objects, and go on with the objects."""
    inner = file.create_dataset("a/b/x", data=[1, 1])
    holder = file["a/b"]
    file.move("a", "c")
    file.create_dataset("a/b/x", data=[2, 2])  # another one, at the place of the first
    inner[0] = 10
    inner.attrs["mark"] = 1
    attribute = h5py.h5a.open(inner.id, b"mark")
    file.move("c/b", "a/q")
    attribute.write(np.array(5))
    for found in h5py.h5f.get_obj_ids(file.id, h5py.h5f.OBJ_ATTR):
        found.write(np.array(6))
    holder["y"] = 3
    file["reference"] = inner.ref
    file["region"] = inner.regionref[1:]
    file["hard"] = inner
    inner[1] = 20
    assert file.session.describe_reference(inner.ref).path in ("/a/q/x", "/hard")


def test_a_search_for_a_moved_object_is_made_once(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safeh5.h5 import native

    searches: list[Any] = []
    with safeh5.File(target, "w") as file:
        inner = file.create_dataset("a/b/x", data=[1, 1])
        file.move("a", "c")
        search = native.name_of_reference
        monkeypatch.setattr(native, "name_of_reference", lambda *args: searches.append(args) or search(*args))
        for i in range(10):
            inner[0] = i
    assert len(searches) == 1
    assert content(target) == {"c/b/x": [9, 1]}


def test_group_times_and_the_storage_of_attributes_are_journaled(target: Path) -> None:
    from h5py import h5d, h5g, h5p, h5s, h5t

    file = safeh5.File(target, "w", libver="latest")
    for kind, make in (
        (h5p.GROUP_CREATE, lambda plist: h5g.create(file.id, b"g", gcpl=plist)),
        (
            h5p.DATASET_CREATE,
            lambda plist: h5d.create(file.id, b"d", h5t.NATIVE_INT8, h5s.create(h5s.SCALAR), plist),
        ),
    ):
        plist = h5p.create(kind)
        plist.set_attr_phase_change(20, 10)
        plist.set_obj_track_times(True)
        make(plist)
    file.close()
    with h5py.File(target) as made:
        for name in ("g", "d"):
            assert made[name].id.get_create_plist().get_attr_phase_change() == (20, 10)
            assert h5py.h5g.get_objinfo(made[name].id).mtime > 0
