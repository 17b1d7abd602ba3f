"""The helpers around written objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from safeh5.errors import InvalidTypeError
from safeh5.pycroscopy.io import hdf_utils


@pytest.fixture
def file(tmp_path: Path) -> Iterator[h5py.File]:
    with h5py.File(tmp_path / "x.h5", "w") as made:
        made.create_dataset("a/Main", data=np.arange(3))
        made.create_dataset("b/Main", data=np.arange(4))
        made.create_group("Main-Fit_000")
        yield made


def test_objects_are_found_by_name_in_the_order_of_the_names(file: h5py.File) -> None:
    refs = [file["b/Main"], file["a"], file["a/Main"], None]
    found = hdf_utils.get_h5_obj_refs(["a", "Main"], refs)
    assert [obj.name for obj in found] == ["/a", "/b/Main", "/a/Main"]
    assert hdf_utils.getH5DsetRefs("nothing", refs) == []
    assert hdf_utils.get_h5_obj_refs("a", file["a"]) == [file["a"]]
    assert hdf_utils.get_group_refs("Main-Fit", list(file.values())) == [file["Main-Fit_000"]]
    assert [d.name for d in hdf_utils.find_dataset(file, "Main")] == ["/a/Main", "/b/Main"]


def test_attributes_are_given_as_text(file: h5py.File) -> None:
    file.attrs["bytes"], file.attrs["texts"], file.attrs["number"] = b"raw", np.array([b"a", b"b"]), 3
    assert hdf_utils.get_attributes(file) == {"bytes": "raw", "texts": ["a", "b"], "number": 3}
    assert hdf_utils.get_attributes(file, "number") == {"number": 3}
    with pytest.raises(KeyError, match="nothing"):
        hdf_utils.get_attr(file, "nothing")


def test_objects_are_linked_by_attributes_and_found_again(file: h5py.File, tmp_path: Path) -> None:
    hdf_utils.link_h5_objects_as_attrs(file["a"], [file["a/Main"], file["b"]])
    hdf_utils.link_h5_obj_as_alias(file["a"], file["b/Main"], "alias")
    found = hdf_utils.get_auxiliary_datasets(file["a"])
    assert {d.name for d in found} == {"/a/Main", "/b/Main"}
    assert hdf_utils.get_auxiliary_datasets(file["a"], "alias") == [file["b/Main"]]
    with h5py.File(tmp_path / "y.h5", "w") as other, pytest.raises(InvalidTypeError):
        hdf_utils.link_h5_objects_as_attrs(file, other)
    with pytest.raises(InvalidTypeError):
        hdf_utils.link_h5_obj_as_alias(file, 3, "x")


def test_attributes_are_written_copied_and_printed(
    file: h5py.File, capsys: pytest.CaptureFixture[str]
) -> None:
    hdf_utils.write_simple_attrs(file["a"], {"x": 1, "unset": None}, "group", verbose=True)
    assert capsys.readouterr().out == (
        "Writing attribute: x with value: 1\nWrote all (simple) attributes to group: a\n\n"
    )
    file["a"].attrs["ref"] = file.ref
    hdf_utils.copy_attributes(file["a"], file["b"])
    assert dict(file["b"].attrs) == {"x": 1}
    hdf_utils.copy_attributes(file["a"], file["b"], skip_refs=False)
    assert "ref" in file["b"].attrs


def test_the_tree_is_printed(file: h5py.File, capsys: pytest.CaptureFixture[str]) -> None:
    hdf_utils.print_tree(file["a"])
    assert capsys.readouterr().out == "/a\n├ Main\n"
    hdf_utils.print_tree(file, rel_paths=True)
    assert capsys.readouterr().out == "/\nMain-Fit_000\na\na/Main\nb\nb/Main\n"
