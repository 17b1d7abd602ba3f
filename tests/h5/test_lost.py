"""Objects whose HDF5 file was made again under them: every use says so, until the session ends."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import DiskFullError, ObjectLostError
from safeh5.testing.faults import Fault, FaultyStorage

Objects = dict[str, Any]

USES: dict[str, Callable[[Objects], Any]] = {
    "names of the file": lambda held: list(held["file"]),
    "an object of the file": lambda held: held["file"]["d"],
    "a value in the file": lambda held: held["file"].__setitem__("new", 1),
    "a group in the file": lambda held: held["file"].create_group("new"),
    "a removal": lambda held: held["file"].__delitem__("d"),
    "a copy": lambda held: held["file"].copy("d", "e"),
    "names of a group": lambda held: list(held["group"]),
    "number of names": lambda held: len(held["group"]),
    "a dataset in a group": lambda held: held["group"].create_dataset("new", data=1),
    "a link to an object": lambda held: held["group"].__setitem__("new", held["dataset"]),
    "reading": lambda held: held["dataset"][:],
    "reading into an array": lambda held: held["dataset"].read_direct(np.zeros(3)),
    "writing": lambda held: held["dataset"].__setitem__(0, 1),
    "shape": lambda held: held["dataset"].shape,
    "resizing": lambda held: held["dataset"].resize((9,)),
    "an attribute": lambda held: held["dataset"].attrs["a"],
    "setting an attribute": lambda held: held["dataset"].attrs.__setitem__("a", 2),
    "removing an attribute": lambda held: held["dataset"].attrs.__delitem__("a"),
    "names of attributes": lambda held: list(held["file"].attrs),
    "a scale": lambda held: held["dataset"].make_scale("x"),
    "an identifier of a dataset": lambda held: held["dataset"].id.get_space(),
    "an identifier of a group": lambda held: held["group"].id.get_num_objs(),
    "an identifier of a file": lambda held: held["file"].id.get_access_plist(),
    "an identifier of an attribute": lambda held: held["attribute"].write(np.array(3)),
    "a function of h5d": lambda held: h5py.h5d.open(held["group"].id, b"in"),
    "a named type": lambda held: held["type"].dtype,
}


def objects(file: h5py.File) -> Objects:
    held = {"file": file, "dataset": file.create_dataset("d", data=np.arange(3.0), maxshape=(None,))}
    held["group"] = file.create_group("g")
    held["group"]["in"] = 1
    held["dataset"].attrs["a"] = 1
    held["attribute"] = held["dataset"].attrs.get_id("a")
    file["t"] = np.dtype("i4")
    held["type"] = file["t"]
    return held


@pytest.mark.parametrize("use", USES)
def test_after_a_batch_that_is_cancelled_every_use_of_an_object_says_what_to_do(
    use: str, target: Path
) -> None:
    file = safeh5.File(target, "w")
    held = objects(file)
    with pytest.raises(ZeroDivisionError), file.session.batch():
        file["half"] = 1
        raise ZeroDivisionError
    with pytest.raises(ObjectLostError, match=r"safeh5\.File\(path") as lost:
        USES[use](held)
    assert lost.value.path == str(target)
    assert isinstance(lost.value, ValueError)  # as h5py's error for what is closed
    with safeh5.File(target, "a") as again:
        assert "half" not in again
        USES[use](objects_of(again))
    file.close()
    with h5py.File(target) as made:
        assert made["g/in"][()] == 1


def objects_of(file: h5py.File) -> Objects:
    dataset = file["d"]
    held = {"file": file, "dataset": dataset, "group": file["g"], "type": file["t"]}
    return {**held, "attribute": dataset.attrs.get_id("a")}


@pytest.mark.parametrize("use", ["names of the file", "reading", "an attribute", "writing"])
def test_after_a_disk_under_the_hdf5_file_was_full_every_use_says_so_too(use: str, target: Path) -> None:
    storage = FaultyStorage()
    file = safeh5.File(target, "w", storage=storage)
    held = objects(file)
    storage.replan(Fault("write_at", path="staging", times=None, error=errno.ENOSPC))
    with pytest.raises(DiskFullError):
        for i in range(50):
            file[f"large{i}"] = np.full(200_000, i)
    storage.mend()
    with pytest.raises(ObjectLostError):
        USES[use](held)
    file.close()
    with h5py.File(target) as made:
        assert made["d"][:].tolist() == [0, 1, 2]


def test_once_the_session_has_ended_what_was_lost_is_closed_as_with_h5py(target: Path) -> None:
    file = safeh5.File(target, "w")
    held = objects(file)
    with pytest.raises(ZeroDivisionError), file.session.batch():
        file["half"] = 1
        raise ZeroDivisionError
    assert not held["dataset"] and not held["group"]
    assert repr(held["dataset"]) == "<Closed HDF5 dataset>"
    file.close()
    assert not file
    with pytest.raises((ValueError, KeyError)) as closed:
        file["d"]
    assert not isinstance(closed.value, ObjectLostError)
    assert list(h5py.File(target)) == ["d", "g", "t"]


def test_objects_of_other_files_stay_as_they_are(target: Path, tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "other.h5", "w") as other:
        other["x"] = 1
        file = safeh5.File(target, "w")
        with pytest.raises(ZeroDivisionError), file.session.batch():
            file["half"] = 1
            raise ZeroDivisionError
        other["y"] = other["x"][()] + 1
        file.close()
    with h5py.File(tmp_path / "other.h5") as made:
        assert made["y"][()] == 2
