"""What stands in the file: kept with `exist_ok`, replaced with `overwrite`, else refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from safeh5.errors import ObjectExistsError
from safeh5.microdata import (
    ExternalLink,
    HardLink,
    MicroDataGroup,
    MicroDataset,
    MicroDatatype,
    SoftLink,
)
from safeh5.microdata.place import Action
from tests.microdata.writing import assert_equal, write, write_into


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("d", data=np.arange(6, dtype="i4").reshape(2, 3), maxshape=(None, 3))
        dataset.attrs["old"] = 1
        file["s"] = ["a", "b"]
        file["soft"], file["external"] = h5py.SoftLink("/d"), h5py.ExternalLink("o.h5", "/x")
        file["hard"], file["type"] = file["d"], np.dtype("f4")
    return tmp_path / "f.h5"


def new(value: int = 7, **options: Any) -> MicroDataset:
    return MicroDataset("d", np.full((2, 3), value, "i4"), attrs={"new": 2}, **options)


def test_a_dataset_that_exists_is_refused_with_a_way_out(path: Path) -> None:
    before = path.read_bytes()
    with (
        h5py.File(path, "r") as file,
        pytest.raises(ObjectExistsError, match=r"overwrite=True.*exist_ok=True"),
    ):
        write_into(file, new())
    assert path.read_bytes() == before


def test_exist_ok_writes_data_and_attributes_into_what_stands_there(path: Path) -> None:
    plan = write(new(), path, "a", exist_ok=True)
    assert [step.action for step in plan.steps] == [Action.KEEP]
    with h5py.File(path) as file:
        assert (file["d"][()] == 7).all() and file["d"].maxshape == (None, 3)
        assert dict(file["d"].attrs) == {"old": 1, "new": 2}
        assert file["d"] == file["hard"]


def test_exist_ok_makes_what_is_missing(path: Path) -> None:
    root = MicroDataGroup("/", children=[new(), MicroDataset("e", [1]), MicroDataGroup("g")])
    assert [step.action for step in write(root, path, "a", exist_ok=True).steps] == [
        Action.MERGE,
        Action.KEEP,
        Action.CREATE,
        Action.CREATE,
    ]


@pytest.mark.parametrize(
    "node",
    [
        MicroDataset("d", np.zeros((3, 3), "i4")),
        MicroDataset("d", np.zeros((2, 3), "i8")),
        MicroDataset("d", h5py.Empty("i4")),
        SoftLink("soft", "/s"),
        SoftLink("d", "/s"),
        ExternalLink("external", "o.h5", "/y"),
        HardLink("hard", "/s"),
        MicroDatatype("type", "f8"),
        MicroDataset("type", [1]),
    ],
)
def test_exist_ok_refuses_what_does_not_fit(path: Path, node: Any) -> None:
    before = path.read_bytes()
    with h5py.File(path, "r") as file, pytest.raises(ObjectExistsError) as caught:
        write_into(file, node, exist_ok=True)
    assert caught.value.dataset == node.path
    assert path.read_bytes() == before


def test_exist_ok_takes_the_same_tree_again(path: Path) -> None:
    with h5py.File(path, "a") as file:
        tree = MicroDataGroup.from_hdf5(file)
        write_into(file, tree, exist_ok=True)
    nodes = [SoftLink("soft", "/d"), ExternalLink("external", "o.h5", "/x"), HardLink("hard", "/d")]
    nodes += [MicroDatatype("type", "f4"), MicroDataset("s", ["c", "d"])]  # type: ignore[list-item]
    write(MicroDataGroup("/", children=nodes), path, "a", exist_ok=True)
    with h5py.File(path) as file:
        assert list(file["s"].asstr()) == ["c", "d"]
        assert isinstance(file.get("soft", getlink=True), h5py.SoftLink)


def test_overwrite_makes_the_dataset_anew(path: Path, tmp_path: Path) -> None:
    node = MicroDataset("d", [1.5], attrs={"new": 2})
    assert [step.action for step in write(node, path, "a", overwrite=True).steps] == [Action.REPLACE]
    with h5py.File(path) as file:
        assert list(file["d"]) == [1.5] and dict(file["d"].attrs) == {"new": 2}
        assert file["hard"].shape == (2, 3)  # the old one lives on under its other name


def test_overwrite_replaces_links_not_what_they_lead_to(path: Path) -> None:
    for name in ("soft", "external", "hard", "type"):
        write(MicroDataset(name, [1]), path, "a", overwrite=True)
    with h5py.File(path) as file:
        assert file["d"].shape == (2, 3)
        assert [list(file[name]) for name in ("soft", "external", "hard", "type")] == [[1]] * 4
        assert file.get("soft", getlink=True).__class__ is h5py.HardLink


def test_a_dataset_may_be_overwritten_with_its_own_values(path: Path, tmp_path: Path) -> None:
    with h5py.File(path, "a") as file:
        tree = MicroDataset("d", file["d"], "f8", compression="gzip", chunking=(1, 3))
        write_into(file, tree, overwrite=True)
        np.testing.assert_array_equal(file["d"], np.arange(6).reshape(2, 3))
        assert file["d"].compression == "gzip"


def test_a_whole_file_may_be_overwritten_with_itself(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/d"] = np.arange(5)
        file.attrs["r"] = file["g/d"].ref
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["g/d"] = "something else"
    with h5py.File(tmp_path / "a.h5") as file:
        write(MicroDataGroup.from_hdf5(file), tmp_path / "b.h5", "a", overwrite=True)
    assert_equal(tmp_path / "a.h5", tmp_path / "b.h5")
