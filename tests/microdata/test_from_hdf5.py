"""A tree read from a file makes an equal file."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from safeh5.errors import InvalidTreeError, InvalidTypeError
from safeh5.microdata import HardLink, MicroDataGroup, MicroDataset, Reference, SoftLink
from tests.microdata.writing import BUILDERS, assert_equal, h5diff, real_files, write, write_into

needs_h5diff = pytest.mark.skipif(shutil.which("h5diff") is None, reason="h5diff is not installed")
FILTERED = {"plugins", "layouts", "elsewhere"}
"""What h5diff has no filters for, or does not compare."""


def build(tmp_path: Path, kind: str, name: str = "source.h5") -> Path:
    with h5py.File(tmp_path / name, "w") as file:
        BUILDERS[kind](file)
    return tmp_path / name


@pytest.mark.parametrize("kind", BUILDERS)
def test_every_kind_of_thing_comes_out_as_it_was(tmp_path: Path, kind: str) -> None:
    source, made = build(tmp_path, kind), tmp_path / "made.h5"
    with h5py.File(source) as file:
        write(MicroDataGroup.from_hdf5(file), made)
    assert_equal(source, made)


@needs_h5diff
@pytest.mark.parametrize("kind", sorted(set(BUILDERS) - FILTERED))
def test_h5diff_finds_every_kind_of_thing_as_it_was(tmp_path: Path, kind: str) -> None:
    source, made = build(tmp_path, kind), tmp_path / "made.h5"
    with h5py.File(source) as file:
        write(MicroDataGroup.from_hdf5(file), made)
    h5diff(source, made)


@pytest.mark.parametrize("source", real_files(), ids=lambda path: path.name)
def test_real_files_come_out_as_they_were(tmp_path: Path, source: Path) -> None:
    with h5py.File(source) as file:
        write(MicroDataGroup.from_hdf5(file), tmp_path / "made.h5")
    assert_equal(source, tmp_path / "made.h5")
    if shutil.which("h5diff"):
        h5diff(source, tmp_path / "made.h5")


@pytest.mark.parametrize("source", real_files(), ids=lambda path: path.name)
def test_real_files_come_out_of_a_group_they_were_put_in(tmp_path: Path, source: Path) -> None:
    """Twice moved: every reference and link must have followed."""
    with h5py.File(source) as file:
        write(MicroDataGroup.from_hdf5(file, name="within"), tmp_path / "moved.h5")
    with h5py.File(tmp_path / "moved.h5") as file, h5py.File(source) as original:
        assert_equal(original, file["within"])
        write(MicroDataGroup.from_hdf5(file["within"], name="/"), tmp_path / "back.h5")
    assert_equal(source, tmp_path / "back.h5")


def test_data_are_read_when_the_tree_is_written_not_before(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "source.h5", "w") as file:
        dataset = file.create_dataset("d", data=np.zeros(3))
        tree = MicroDataGroup.from_hdf5(file)
        dataset[:] = 7
        write(tree, tmp_path / "made.h5")
    with h5py.File(tmp_path / "made.h5") as file:
        assert list(file["d"]) == [7, 7, 7]


def test_a_tree_from_a_file_has_no_stamps_and_no_indexed_groups(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_group("Results_")
        tree = MicroDataGroup.from_hdf5(file)
        assert tree.attrs == {} == tree.children[0].attrs
        write(tree, tmp_path / "made.h5")
    assert_equal(tmp_path / "f.h5", tmp_path / "made.h5")


def test_a_tree_from_a_file_may_be_changed_and_added_to(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["g/d"], file["g"].attrs["a"], file["g"].attrs["b"] = 1, 1, 1
        tree = MicroDataGroup.from_hdf5(file)
        group = tree.children[0]
        assert isinstance(group, MicroDataGroup)
        group.attrs["a"] = "changed"
        del group.attrs["b"]
        group.add_children(MicroDataset("new", [1], attrs={"ref": group.children[0]}))
        tree.add_children(SoftLink("s", group.children[0]))
        write(tree, tmp_path / "made.h5")
    with h5py.File(tmp_path / "made.h5") as file:
        assert dict(file["g"].attrs) == {"a": "changed"}
        assert file[file["g/new"].attrs["ref"]] == file["g/d"] == file["s"]


def test_one_dataset_of_a_file_is_a_tree(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("g/d", data=np.arange(5.0), chunks=(2,), compression="gzip").attrs["unit"] = "V"
        write(MicroDataset.from_hdf5(file["g/d"]), tmp_path / "made.h5")
        with h5py.File(tmp_path / "made.h5") as made:
            assert_equal(file["g"], made)


def test_a_file_may_be_merged_into_itself_under_another_name(tmp_path: Path) -> None:
    path = build(tmp_path, "references")
    with h5py.File(path, "a") as file:
        copy = MicroDataGroup.from_hdf5(file["group"], name="copy")
        write_into(file, copy)
        assert_equal(file["group"], file["copy"])


def test_a_reference_out_of_the_group_needs_that_object_in_the_file_written(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as source:
        source["outside"] = 1
        source.create_group("g").attrs["ref"] = source["outside"].ref
        tree = MicroDataGroup.from_hdf5(source["g"])
        with pytest.raises(InvalidTreeError, match="/outside") as caught:
            write(tree, tmp_path / "without.h5")
        assert caught.value.dataset == "/g"
        with h5py.File(tmp_path / "with.h5", "w") as file:
            file["outside"] = 2
            write_into(file, tree)
            assert file[file["g"].attrs["ref"]] == file["outside"]


def test_a_hard_link_out_of_the_group_becomes_an_object_of_its_own(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as source:
        source["outside"] = 1
        source["g/inside"] = source["outside"]
        write(MicroDataGroup.from_hdf5(source["g"]), tmp_path / "made.h5")
    with h5py.File(tmp_path / "made.h5") as file:
        assert file["g/inside"][()] == 1


def test_a_dangling_reference_is_written_as_null_and_said_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as source:
        source["gone"] = 1
        source.attrs["ref"] = source["gone"].ref
        del source["gone"]
        write(MicroDataGroup.from_hdf5(source), tmp_path / "made.h5")
    with h5py.File(tmp_path / "made.h5") as file:
        assert not file.attrs["ref"]
    assert "dangling" in caplog.text


def test_lossy_chunks_are_copied_without_a_second_loss(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(64, 64)).astype("f4")
    with h5py.File(tmp_path / "f.h5", "w") as source:
        source.create_dataset("zfp", data=data, chunks=(16, 32), compression=hdf5plugin.Zfp(rate=4))
        source.create_dataset("scaled", data=data, chunks=(16, 32), scaleoffset=1)
        for generation in range(3):
            path = tmp_path / f"{generation}.h5"
            with h5py.File(tmp_path / (f"{generation - 1}.h5" if generation else "f.h5")) as file:
                write(MicroDataGroup.from_hdf5(file), path)
    assert_equal(tmp_path / "f.h5", tmp_path / "2.h5")


def test_a_sparse_dataset_stays_sparse(tmp_path: Path) -> None:
    source, made = build(tmp_path, "spaces"), tmp_path / "made.h5"
    with h5py.File(source) as file:
        write(MicroDataGroup.from_hdf5(file), made)
    with h5py.File(source) as left, h5py.File(made) as right:
        for name in ("never written", "never written either", "hardly written"):
            assert right[name].id.get_storage_size() == left[name].id.get_storage_size()
    assert made.stat().st_size < 200_000


def test_external_raw_data_stay_where_they_are(tmp_path: Path) -> None:
    raw = tmp_path / "data.raw"
    np.arange(4, dtype="<i4").tofile(raw)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("d", (4,), "<i4", external=[(str(raw), 0, 16)])
    before = raw.stat().st_mtime_ns
    with h5py.File(tmp_path / "f.h5") as file:
        write(MicroDataGroup.from_hdf5(file), tmp_path / "made.h5")
    assert raw.stat().st_mtime_ns == before
    assert_equal(tmp_path / "f.h5", tmp_path / "made.h5")


def test_virtual_sources_of_the_same_file_follow_it_into_a_group(tmp_path: Path) -> None:
    source = build(tmp_path, "elsewhere")
    with h5py.File(source) as file:
        write(MicroDataGroup.from_hdf5(file, name="in"), tmp_path / "made.h5")
    with h5py.File(tmp_path / "made.h5") as file:
        np.testing.assert_array_equal(file["in/virtual"][0], np.arange(12).reshape(3, 4))


def test_a_hard_link_node_says_which_node_it_means(tmp_path: Path) -> None:
    source = build(tmp_path, "links")
    with h5py.File(source) as file:
        tree = MicroDataGroup.from_hdf5(file)
    by_name = {child.name: child for child in tree.children}
    assert isinstance(by_name["again"], HardLink) and by_name["again"].target is by_name["a"]


@pytest.mark.parametrize("wrong", [None, "f.h5", 3])
def test_only_h5py_objects_are_read(wrong: object) -> None:
    with pytest.raises(InvalidTypeError):
        MicroDataGroup.from_hdf5(wrong)
    with pytest.raises(InvalidTypeError):
        MicroDataset.from_hdf5(wrong)


def test_a_region_of_a_read_dataset_can_be_referred_to(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as source:
        source["d"] = np.arange(6)
        tree = MicroDataGroup.from_hdf5(source)
        tree.attrs["r"] = Reference(tree.children[0], slice(2, 4))
        write(tree, tmp_path / "made.h5")
    with h5py.File(tmp_path / "made.h5") as file:
        assert list(file["d"][file.attrs["r"]]) == [2, 3]
