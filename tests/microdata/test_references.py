"""Labels and references lead to what they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from safeh5.microdata import (
    MicroDataGroup,
    MicroDataset,
    Reference,
)
from tests.microdata.writing import write

# --- labels and references --------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "regions", "order"),
    [
        (["X", "Y"], {"X": np.s_[0:1, :], "Y": np.s_[1:2, :]}, [b"X", b"Y"]),
        (["A", "B", "Ü"], {"B": np.s_[:, 1:2], "Ü": np.s_[:, 2:3]}, [b"A", b"B", "Ü".encode()]),
        ({"Y": np.s_[1:2, :], "X": np.s_[0:1, :]}, {"X": np.s_[0:1, :]}, [b"X", b"Y"]),
        ({"b": np.s_[:, 1], "a": np.s_[:, 0]}, {"b": np.s_[:, 1]}, [b"a", b"b"]),
        ({"all": np.s_[:, :], "every": np.s_[...]}, {"all": np.s_[...]}, [b"all", b"every"]),
        ({"odd": np.s_[::2, 1:]}, {"odd": np.s_[::2, 1:]}, [b"odd"]),
        ({"tail": [slice(0, 99), slice(None)]}, {"tail": np.s_[:, :]}, [b"tail"]),
    ],
)
def test_labels_become_region_references_and_a_list_of_names(
    tmp_path: Path, labels: Any, regions: dict[str, Any], order: list[bytes]
) -> None:
    data = np.arange(6).reshape(2, 3)
    write(MicroDataset("d", data, attrs={"labels": labels, "units": "V"}), tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        dataset = file["d"]
        assert list(dataset.attrs["labels"]) == order
        assert dataset.attrs["labels"].dtype.kind == "S"
        assert set(dataset.attrs) == {"units", "labels", *(name.decode() for name in order)}
        for name, region in regions.items():
            np.testing.assert_array_equal(dataset[dataset.attrs[name]].ravel(), data[region].ravel())


def test_a_list_of_labels_names_rows_when_both_fit(tmp_path: Path) -> None:
    write(MicroDataset("d", np.eye(2), attrs={"labels": ["a", "b"]}), tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        np.testing.assert_array_equal(file["d"][file["d"].attrs["b"]], [[0, 1]])


def test_labels_that_are_no_list_or_dict_are_a_plain_attribute(tmp_path: Path) -> None:
    write(MicroDataset("d", np.eye(2), attrs={"labels": np.array([b"a", b"b"])}), tmp_path / "f.h5")
    write(MicroDataGroup("g", attrs={"labels": ["x"]}), tmp_path / "f.h5", "a")
    with h5py.File(tmp_path / "f.h5") as file:
        assert list(file["d"].attrs) == ["labels"]
        assert list(file["g"].attrs["labels"]) == ["x"]


def test_a_one_dimensional_dataset_takes_a_bare_slice(tmp_path: Path) -> None:
    write(MicroDataset("d", np.arange(9), attrs={"labels": {"end": slice(7, None)}}), tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        np.testing.assert_array_equal(file["d"][file["d"].attrs["end"]], [7, 8])


def test_references_lead_to_nodes_wherever_they_stand(tmp_path: Path) -> None:
    data, group = MicroDataset("data", np.arange(10)), MicroDataGroup("Results_")
    table = np.zeros(2, [("r", h5py.ref_dtype), ("n", "i4")])
    table["r"] = [data, Reference("/a")]
    rows = np.empty(2, h5py.vlen_dtype(h5py.ref_dtype))
    rows[0], rows[1] = np.array([data], object), np.array([group, data], object)
    first = MicroDataset("a", [data, None, group])
    first.attrs = {
        "one": data,
        "many": [data, group],
        "by path": Reference("/Results_000/data"),
        "region": Reference(data, np.s_[2:5]),
        "regions": [Reference(data, 3), Reference(data, [1, 5, 6])],
        "table": table,
    }
    second = MicroDataset("regions", [Reference(data, slice(1, 3)), None], h5py.regionref_dtype)
    third = MicroDataset("rows", rows, h5py.vlen_dtype(h5py.ref_dtype))
    group.add_children(data)
    write(MicroDataGroup("/", children=[first, second, third, group]), tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        target, results, attrs = file["Results_000/data"], file["Results_000"], file["a"].attrs
        assert file[attrs["one"]] == target == file[attrs["by path"]]
        assert [file[r] for r in attrs["many"]] == [target, results]
        assert [bool(r) for r in file["a"]] == [True, False, True] and file[file["a"][2]] == results
        np.testing.assert_array_equal(target[attrs["region"]], [2, 3, 4])
        np.testing.assert_array_equal(target[attrs["regions"][1]], [1, 5, 6])
        np.testing.assert_array_equal(target[file["regions"][0]], [1, 2])
        assert file[attrs["table"]["r"][1]] == file["a"] and file[file["rows"][1][0]] == results


def test_references_lead_to_objects_that_the_file_has_already(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["old"] = np.arange(5)
    with h5py.File(tmp_path / "f.h5", "a") as file:
        from tests.microdata.writing import write_into

        old = file["old"]
        attrs = {
            "a": old,
            "b": old.ref,
            "c": old.regionref[1:3],
            "d": Reference(old, 4),
            "e": Reference("old"),
        }
        write_into(file, MicroDataGroup("new", attrs=attrs))
    with h5py.File(tmp_path / "f.h5") as file:
        old, found = file["old"], file["new"].attrs
        assert [file[found[k]] for k in "abe"] == [old] * 3
        np.testing.assert_array_equal(old[found["c"]], [1, 2])
        np.testing.assert_array_equal(old[found["d"]], [4])
