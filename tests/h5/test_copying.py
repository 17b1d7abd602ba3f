"""Copies within, between and by way of other files: journaled, with every flag."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.h5.tape import three_ways

Copy = Callable[[h5py.File, h5py.File], object]


def _other(path: Path) -> None:
    with h5py.File(path.with_name("third.h5"), "w") as third:
        third["far"] = [7, 8]
        third.create_group("farther")["x"] = 5
    with h5py.File(path, "w", track_order=True) as file:
        group = file.create_group("g", track_order=True)
        group.create_dataset("d", data=np.arange(40.0), chunks=(8,), compression="gzip", fillvalue=3.0)
        group.attrs["note"] = "kept"
        group.create_dataset("text", data=["a", "bc"], dtype=h5py.string_dtype())
        group.create_group("deep/er")["x"] = np.arange(3)
        group["soft"] = h5py.SoftLink("/elsewhere")
        group["external"] = h5py.ExternalLink("third.h5", "far")
        group["deep/external"] = h5py.ExternalLink("third.h5", "farther")
        group["dangling"] = h5py.ExternalLink("no such file.h5", "x")
        file["elsewhere"] = [1, 2, 3]
        group["references"] = np.array([group["d"].ref, file["elsewhere"].ref], dtype=h5py.ref_dtype)
        file["type"] = np.dtype("i4")
        group.create_dataset("typed", (2,), file["type"])


COPIES: dict[str, Copy] = {
    "a dataset": lambda f, o: f.copy(o["g/d"], "d"),
    "a dataset by its path": lambda f, o: o.copy("g/d", f, "into/d"),
    "a group": lambda f, o: f.copy(o["g"], f.create_group("below")),
    "a file": lambda f, o: f.copy(o, "all"),
    "shallow": lambda f, o: f.copy(o["g"], "g", shallow=True),
    "without attributes": lambda f, o: f.copy(o["g"], "g", without_attrs=True),
    "what soft links lead to": lambda f, o: f.copy(o["g"], "g", expand_soft=True),
    "what external links lead to": lambda f, o: f.copy(o["g"], "g", expand_external=True),
    "a named type": lambda f, o: f.copy(o["type"], "type"),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_from_another_file_is_journaled(copy: Copy, tmp_path: Path) -> None:
    _other(tmp_path / "other.h5")

    def scenario(file: h5py.File) -> None:
        with h5py.File(tmp_path / "other.h5", "r") as other:
            copy(file, other)

    three_ways(scenario, tmp_path)


def test_a_copy_of_what_references_lead_to_holds_it_once(tmp_path: Path) -> None:
    _other(tmp_path / "other.h5")

    def scenario(file: h5py.File) -> None:
        with h5py.File(tmp_path / "other.h5", "r") as other:
            file.copy(other["g"], "g", expand_refs=True)
            file.copy(other["g"], "again", expand_refs=True)
        for name in ("g", "again"):
            inside, outside = file[name]["references"]
            assert file[inside] == file[name]["d"]
            assert file[outside][:].tolist() == [1, 2, 3]
            # HDF5 links it in the root group, under a name made of its address.
            at = file[outside].name
            file.move(at, f"{name}'s elsewhere")
        for name in [name for name in file if name.startswith("~")]:
            del file[name]
        assert sorted(file) == ["again", "again's elsewhere", "g", "g's elsewhere"]

    three_ways(scenario, tmp_path)


def test_copies_within_the_file_by_way_of_links_into_others_are_journaled(tmp_path: Path) -> None:
    _other(tmp_path / "other.h5")

    def scenario(file: h5py.File) -> None:
        file["out"] = h5py.ExternalLink("other.h5", "g/d")
        file.create_group("g")["out"] = h5py.ExternalLink("other.h5", "elsewhere")
        file.copy("out", "d", expand_external=True)
        file.copy("g", "expanded", expand_external=True)
        file.copy("g", "kept")
        assert file["expanded/out"].file == file["expanded"].file

    three_ways(scenario, tmp_path)


@pytest.mark.parametrize(
    "flags",
    [{}, {"expand_external": True}, {"expand_refs": True}, {"expand_refs": True, "without_attrs": True}],
    ids=str,
)
def test_a_copy_within_a_file_keeps_references_as_hdf5_does(flags: dict[str, bool], tmp_path: Path) -> None:
    _other(tmp_path / "other.h5")

    def scenario(file: h5py.File) -> None:
        group = file.create_group("g")
        file["outside"], group["d"], group["type"] = [1, 2], np.arange(4), np.dtype("i4")
        references = np.array([group["d"].ref, file["outside"].ref], dtype=h5py.ref_dtype)
        record = np.zeros(2, [("n", "i4"), ("to", h5py.ref_dtype)])
        record["to"] = references
        group["references"], group["records"] = references, record
        group["regions"] = np.array([group["d"].regionref[1:3]], dtype=h5py.regionref_dtype)
        group["external"] = h5py.ExternalLink("third.h5", "far")
        group["type"].attrs["itself"] = group["type"].ref
        group.attrs.create("several", references, dtype=h5py.ref_dtype)
        group["d"].attrs["region"] = group["d"].regionref[:2]
        file.copy("g", "copied", **flags)
        for name in [name for name in file if name.startswith("~")]:
            file.move(name, "what a reference leads to")  # HDF5 names it after an address

    three_ways(scenario, tmp_path)
