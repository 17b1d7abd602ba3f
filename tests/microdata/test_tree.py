"""Building trees: pycroscopy's classes, in any order, looked at only when written."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from safeh5.errors import InvalidTypeError
from safeh5.microdata import (
    EmptyMicroDataset,
    ExpandableMicroDataset,
    MicroData,
    MicroDataGroup,
    MicroDataset,
)
from tests.microdata.writing import write


def tutorial() -> MicroDataGroup:
    main = MicroDataset("Main_Data", data=np.random.rand(5, 7), parent="/")
    empty = MicroDataset("Empty_Data", data=[], dtype=np.float32, maxshape=[7, 5, 3])
    group = MicroDataGroup("Data_Group", parent="/")
    root = MicroDataGroup("/")
    group.add_children([empty])
    root.add_children([main, group])
    return root


def test_show_tree_prints_what_the_tutorial_shows(capsys: pytest.CaptureFixture[str]) -> None:
    tutorial().show_tree()
    assert capsys.readouterr().out == "///Main_Data\n///Data_Group\n///Data_Group/Empty_Data\n"


def test_show_tree_of_a_group_that_holds_itself_ends() -> None:
    group = MicroDataGroup("g")
    group.add_children(group)
    assert list(group.tree_lines()) == ["/g/g"]


def test_the_tutorial_tree_becomes_a_file_whose_empty_dataset_can_be_filled(tmp_path: Path) -> None:
    tree = tutorial()
    write(tree, tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        np.testing.assert_array_equal(file["Main_Data"][()], tree.children[0].data)
        empty = file["Data_Group/Empty_Data"]
        assert (empty.shape, empty.maxshape, empty.dtype) == ((7, 5, 3), (7, 5, 3), np.float32)
        empty[:] = np.random.rand(*empty.shape)


def test_groups_and_only_groups_say_where_and_when() -> None:
    group, dataset = MicroDataGroup("g"), MicroDataset("d", [1])
    assert group.attrs["machine_id"] == platform.node()
    assert re.fullmatch(r"\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d", group.attrs["timestamp"])
    assert dataset.attrs == {}


def test_stamps_that_the_user_gives_stay() -> None:
    given = {"machine_id": "microscope 3", "timestamp": "yesterday"}
    group = MicroDataGroup("g", attrs=given)
    assert group.attrs == given


def test_attributes_are_copied_so_that_two_nodes_may_be_given_the_same_dict() -> None:
    shared = {"a": 1}
    first, second = MicroDataGroup("a", attrs=shared), MicroDataset("b", [1], attrs=shared)
    first.attrs["b"] = 2
    assert shared == {"a": 1} == second.attrs


def test_children_may_be_one_node_or_a_list_or_come_with_the_group() -> None:
    group = MicroDataGroup("g", children=MicroDataset("a", [1]))
    group.add_children(MicroDataset("b", [1]))
    group.add_children(MicroDataset(name, [1]) for name in "cd")
    assert [child.name for child in group.children] == ["a", "b", "c", "d"]


def test_a_group_tells_its_children_their_parent_however_late_it_is_linked() -> None:
    dataset, inner, outer = MicroDataset("d", [1]), MicroDataGroup("i"), MicroDataGroup("o")
    inner.add_children(dataset)
    outer.add_children(inner)
    MicroDataGroup("/").add_children([outer])
    assert (outer.parent, inner.parent, dataset.parent) == ("/", "/o", "/o/i")
    assert dataset.path == "/o/i/d"


@pytest.mark.parametrize("child", ["name", 3, None, ["name"], [MicroDataset("a", [1]), np.zeros(3)]])
def test_a_child_that_is_no_node_is_refused_and_none_is_added(child: object) -> None:
    group = MicroDataGroup("g")
    with pytest.raises(InvalidTypeError, match="/g"):
        group.add_children(child)  # type: ignore[arg-type]
    assert group.children == []


def test_attributes_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(InvalidTypeError, match="/g"):
        MicroDataGroup("g", attrs=["a"])  # type: ignore[arg-type]


def test_the_two_helpers_stand_for_what_their_names_say(tmp_path: Path) -> None:
    empty = EmptyMicroDataset("empty", (4, 5), np.uint16, chunking=(2, 5), compression="gzip")
    grows = ExpandableMicroDataset("grows", np.zeros((1, 6), "c8"), maxshape=(None, 6), chunking=(1, 6))
    write([empty, grows], tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        assert (file["empty"].shape, file["empty"].dtype, file["empty"].chunks) == ((4, 5), "u2", (2, 5))
        assert (file["grows"].shape, file["grows"].maxshape) == ((1, 6), (None, 6))


def test_writing_a_tree_changes_none_of_its_nodes(tmp_path: Path) -> None:
    def state(node: MicroData) -> dict[str, object]:
        return {k: dict(v) if k == "attrs" else v for k, v in vars(node).items()}

    inner = MicroDataset("d", np.eye(3), attrs={"labels": ["a", "b", "c"], "none": None})
    group = MicroDataGroup("Results_", children=[inner])
    root = MicroDataGroup("/", children=[group])
    before = [state(node) for node in (root, group, inner)]
    plan = write(root, tmp_path / "f.h5")
    assert [state(node) for node in (root, group, inner)] == before
    assert plan.paths == {root: "/", group: "/Results_000", inner: "/Results_000/d"}
