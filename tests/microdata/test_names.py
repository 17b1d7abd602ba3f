"""Where nodes go: parents, indexed groups, merging, and what is refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from safeh5.errors import InvalidTreeError, InvalidTypeError, ObjectExistsError
from safeh5.microdata import HardLink, MicroData, MicroDataGroup, MicroDataset, SoftLink
from tests.microdata.writing import write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "f.h5"


def names(path: Path, group: str = "/") -> list[str]:
    with h5py.File(path) as file:
        return sorted(file[group])


def test_an_indexed_group_counts_up_with_every_write(path: Path) -> None:
    for i in range(3):
        plan = write(MicroDataGroup("Results_"), path, "a")
        assert list(plan.paths.values()) == [f"/Results_{i:03d}"]


def test_indexed_groups_of_one_tree_count_up_among_each_other(path: Path) -> None:
    root = MicroDataGroup("/", children=[MicroDataGroup("Results_") for _ in range(3)])
    write(root, path)
    assert names(path) == ["Results_000", "Results_001", "Results_002"]


def test_an_index_is_past_all_in_use_whatever_carries_them(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name in ("Scan_007", "Scan_x", "Scan_", "Scan_0100x", "My_Scan_900"):
            file.create_group(name)
        file["Scan_0012"] = 1
        file["Scan_0013"] = h5py.SoftLink("/nowhere")
    root = MicroDataGroup("/", children=[MicroDataGroup("Scan_"), MicroDataset("Scan_014", [1])])
    assert "/Scan_015" in write(root, path, "a").paths.values()


def test_an_index_past_999_keeps_counting(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("S_999")
    assert list(write(MicroDataGroup("S_"), path, "a").paths.values()) == ["/S_1000"]


def test_only_groups_are_indexed_and_only_if_not_told_otherwise(path: Path) -> None:
    write(
        [MicroDataset("d_", [1]), MicroDataGroup("g_", indexed=False), MicroDataGroup("h", indexed=True)],
        path,
    )
    assert names(path) == ["d_", "g_", "h000"]


def test_existing_groups_are_merged_with(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["g/old"], file["g"].attrs["old"], file["g"].attrs["both"] = 1, 1, "old"
    tree = MicroDataGroup("g", attrs={"both": "new"}, children=[MicroDataset("new", [2])])
    write(tree, path, "a")
    with h5py.File(path) as file:
        assert set(file["g"]) == {"old", "new"}
        assert file["g"].attrs["old"] == 1
        assert file["g"].attrs["both"] == "new"


def test_a_node_alone_goes_to_its_parent(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("a/b")
    write(MicroDataset("d", [1], parent="/a/b/"), path, "a")
    write(MicroDataGroup("g", parent="a"), path, "a")
    assert names(path, "a/b") == ["d"] and names(path, "a") == ["b", "g"]


def test_a_parent_reached_by_a_soft_link_is_a_parent(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("a/b")
        file["soft"] = h5py.SoftLink("/a/b")
    write(MicroDataset("d", [1], parent="/soft"), path, "a")
    assert names(path, "a/b") == ["d"]


def test_several_trees_are_one_plan_and_later_ones_may_stand_in_earlier_ones(path: Path) -> None:
    trees = [
        MicroDataGroup("a"),
        MicroDataset("d", [1], parent="/a"),
        MicroDataGroup("r_"),
        MicroDataGroup("r_"),
    ]
    write(trees, path)
    assert names(path) == ["a", "r_000", "r_001"] and names(path, "a") == ["d"]


def refused(tree: object, path: Path, error: type[InvalidTreeError], where: str, **options: bool) -> str:
    """The message of the error that names `where`; the file must not have changed."""
    if not path.exists():
        h5py.File(path, "w").close()
    before = path.read_bytes()
    with pytest.raises(error) as caught, h5py.File(path, "r") as file:
        from safeh5.microdata import FileNamespace, plan_write

        plan_write(tree, FileNamespace(file), **options)  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert caught.value.dataset is not None and where in caught.value.dataset, caught.value
    assert where in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["", ".", "a/b", "/a", "a/", "/", "a\0b", "\ud800"])
@pytest.mark.parametrize("kind", ["dataset", "group", "link"])
def test_a_name_that_hdf5_cannot_hold_is_refused(path: Path, name: str, kind: str) -> None:
    node: MicroData = {
        "dataset": MicroDataset(name, [1]),
        "group": MicroDataGroup(name),
        "link": SoftLink(name, "/x"),
    }[kind]
    refused(
        MicroDataGroup("/", children=[MicroDataGroup("g", children=[node])]), path, InvalidTreeError, "/g"
    )


@pytest.mark.parametrize("name", [None, 3, b"bytes", ("a",)])
def test_a_name_that_is_no_string_is_refused(path: Path, name: object) -> None:
    node = MicroDataset(name, [1])  # type: ignore[arg-type]
    refused(MicroDataGroup("g", children=[node]), path, InvalidTypeError, "/g")


def test_two_nodes_of_one_name_are_refused(path: Path) -> None:
    tree = MicroDataGroup("g", children=[MicroDataset("d", [1]), MicroDataGroup("d")])
    refused(tree, path, InvalidTreeError, "/g/d")


def test_the_same_node_twice_is_refused(path: Path) -> None:
    node = MicroDataset("d", [1])
    tree = MicroDataGroup(
        "/", children=[MicroDataGroup("a", children=[node]), MicroDataGroup("b", children=[node])]
    )
    message = refused(tree, path, InvalidTreeError, "/b/d")
    assert "/a/d" in message and "HardLink" in message


def test_a_cycle_is_refused(path: Path) -> None:
    outer, inner = MicroDataGroup("outer"), MicroDataGroup("inner")
    outer.add_children(inner)
    inner.add_children(outer)
    assert "cycle" in refused(outer, path, InvalidTreeError, "/outer/inner")
    root = MicroDataGroup("/")
    root.add_children(root)
    assert "cycle" in refused(root, path, InvalidTreeError, "/")


def test_a_child_that_is_no_node_is_refused_when_it_got_in_by_the_list(path: Path) -> None:
    group = MicroDataGroup("g")
    group.children.append("x")  # type: ignore[arg-type]
    refused(group, path, InvalidTypeError, "/g")


@pytest.mark.parametrize("tree", [None, "x", {"a": 1}, [MicroDataGroup("g"), 3], np.zeros(3)])
def test_what_is_no_tree_is_refused(path: Path, tree: object) -> None:
    from safeh5.microdata import FileNamespace, plan_write

    with h5py.File(path, "w") as file, pytest.raises(InvalidTypeError, match="no tree"):
        plan_write(tree, FileNamespace(file))  # type: ignore[arg-type]


@pytest.mark.parametrize("parent", ["/nowhere", "/data", "/data/x", "/dangling", "/outside"])
def test_a_parent_that_is_no_group_of_the_file_is_refused(path: Path, parent: str) -> None:
    with h5py.File(path, "w") as file:
        file["data"], file["dangling"] = 1, h5py.SoftLink("/gone")
        file["outside"] = h5py.ExternalLink("other.h5", "/")
    refused(MicroDataset("d", [1], parent=parent), path, InvalidTreeError, f"{parent}/d")


@pytest.mark.parametrize("standing", ["group", "dataset", "type", "dangling", "outside"])
@pytest.mark.parametrize("node", ["group", "dataset", "link"])
def test_what_stands_at_a_path_already_is_refused_unless_both_are_groups(
    path: Path, standing: str, node: str
) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("group")
        file["dataset"], file["type"] = 1, np.dtype("f4")
        file["dangling"], file["outside"] = h5py.SoftLink("/gone"), h5py.ExternalLink("other.h5", "/")
    child: MicroData = {
        "group": MicroDataGroup(standing),
        "dataset": MicroDataset(standing, [1]),
        "link": SoftLink(standing, "/x"),
    }[node]
    if (standing, node) == ("group", "group"):
        write(child, path, "a")
        return
    refused(MicroDataGroup("/", children=[child]), path, ObjectExistsError, f"/{standing}")


def test_a_group_is_never_replaced_and_never_takes_a_datasets_place(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["group/d"], file["dataset"] = 1, 1
    for node in (MicroDataset("group", [1]), MicroDataGroup("dataset"), SoftLink("group", "/x")):
        refused(node, path, ObjectExistsError, node.path, overwrite=True, exist_ok=True)


def test_a_tree_a_thousand_groups_deep_is_written(path: Path) -> None:
    top = inner = MicroDataGroup("g", attrs={"machine_id": "", "timestamp": ""})
    for _ in range(999):
        inner.add_children(MicroDataGroup("g"))
        inner = inner.children[0]  # type: ignore[assignment]
    plan = write(top, path)
    assert len(plan.paths) == len(list(top.tree_lines())) + 1 == 1000


def test_a_hard_link_gives_a_node_a_second_name(path: Path) -> None:
    data = MicroDataset("d", [1, 2])
    late = MicroDataGroup("z", children=[data])
    write(MicroDataGroup("/", children=[HardLink("a", data), late, HardLink("b", "/z/d")]), path)
    with h5py.File(path) as file:
        assert file["a"] == file["b"] == file["z/d"]
