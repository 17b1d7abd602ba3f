"""`safeh5.File` in the place of `h5py.File`: what it is, and what it finds at the path."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

import safeh5
from safeh5.errors import (
    InterruptedSessionError,
    TargetIsOpenError,
)
from tests.h5.files import content, killed_after_a_flush, only_the_target

# --- what it is ------------------------------------------------------------------------------------


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


# --- left to h5py ----------------------------------------------------------------------------------


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


# --- objects that have moved -----------------------------------------------------------------------


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


@pytest.mark.parametrize("driver", ["nonsense", "direct"])
def test_a_driver_that_h5py_does_not_have_is_refused_in_its_words(target: Path, driver: str) -> None:
    if driver in h5py.registered_drivers():
        pytest.skip("this h5py has it")
    with pytest.raises(ValueError, match="Unknown driver type"):
        safeh5.File(target, "w", driver=driver)
    assert not target.exists()
