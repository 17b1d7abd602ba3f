"""ioHDF5 and HDFwriter: old and newer spellings, appending, ending."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5.pycroscopy as px
from safeh5.errors import InvalidOptionError, InvalidTypeError, ObjectExistsError
from safeh5.h5 import is_journaled, journaled_file


def tree(name: str = "Results_", **attrs: object) -> px.MicroDataGroup:
    group = px.MicroDataGroup(name, attrs=attrs)
    group.add_children([px.MicroDataset("x", np.arange(3))])
    return group


def test_the_older_spellings_write_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = px.MicroDataGroup("")
    root.addChildren(tree("g"))
    root.showTree()
    assert capsys.readouterr().out == "//g\n//g/x\n"
    hdf = px.ioHDF5(tmp_path / "run.h5")
    refs = hdf.writeData(root, print_log=True)
    assert capsys.readouterr().out.startswith("Wrote attributes of file / \n\nCreated Group /g\n")
    assert [obj.name for obj in refs] == ["/", "/g/x", "/g"]
    hdf.close()
    with h5py.File(tmp_path / "run.h5") as made:
        assert made["g/x"][:].tolist() == [0, 1, 2]


def test_the_newer_spellings_write_the_same(tmp_path: Path) -> None:
    root = px.VirtualGroup("/", children=[px.VirtualDataset("x", np.arange(3), resizable=True)])
    with px.HDFwriter(tmp_path / "run.h5") as writer:
        [_, dataset] = writer.write(root)
        dataset.resize((5,))
        dataset[3:] = 9
    with h5py.File(tmp_path / "run.h5") as made:
        assert made["x"][:].tolist() == [0, 1, 2, 9, 9]


def test_writing_again_adds_to_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "run.h5"
    for opening in range(2):
        hdf = px.ioHDF5(target)
        for _ in range(2):
            [group, dataset] = hdf.write_data(tree(opening=opening))
            dataset.attrs["late"] = True
            assert is_journaled(group) and is_journaled(dataset)
        hdf.close()
    with h5py.File(target) as made:
        assert list(made) == [f"Results_{i:03d}" for i in range(4)]
        assert [made[name].attrs["opening"] for name in made] == [0, 0, 1, 1]
        assert all(made[name]["x"].attrs["late"] for name in made)


def test_a_group_that_exists_is_added_to_and_a_dataset_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hdf = px.ioHDF5(tmp_path / "run.h5")
    hdf.write_data(tree("g"))
    more = px.MicroDataGroup("g", attrs={"more": 1}, children=[px.MicroDataset("y", np.arange(2))])
    hdf.write_data(more, print_log=True)
    assert capsys.readouterr().out.startswith("Group already exists: /g\n")
    with pytest.raises(ObjectExistsError):
        hdf.write_data(tree("g"))
    with pytest.raises(ValueError, match="/g/x"):
        hdf.write_data(tree("g"))
    hdf.write_data(tree("g"), overwrite=True)
    assert set(hdf.file["g"]) == {"x", "y"} and hdf.file["g"].attrs["more"] == 1
    hdf.close()


def test_the_log_tells_of_labels_links_and_attributes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safeh5 import SoftLink

    attrs = {
        "quantity": "V",
        "unset": None,
        "labels": {"a": (slice(0, 1), slice(None)), "b": (slice(1, 2), slice(None))},
    }
    dataset = px.MicroDataset("d", np.eye(2), attrs=attrs)
    group = px.MicroDataGroup("g", attrs={"machine_id": None, "timestamp": None}, children=[dataset])
    group.add_children(SoftLink("link", "/g/d"))
    with px.ioHDF5(tmp_path / "run.h5") as hdf:
        refs = hdf.write_data(group, print_log=True)
        assert px.io.hdf_utils.get_region(refs[1], "b").tolist() == [0, 1]
    out = capsys.readouterr().out
    assert out == (
        "Created group /g\nWrote attributes to group: g \n\n"
        "Created Dataset /g/d\nWriting attribute: quantity with value: V\nWrote Attributes of Dataset d \n\n"
        "Wrote Region Reference:a to Dataset /g/d\nWrote Region Reference:b to Dataset /g/d\n"
        "Writing header attributes: labels\nWrote Region References of Dataset d\n"
        "Created Link /g/link\n"
        "Finished writing to h5 file.\nRight now you got yourself a fancy folder structure. \n"
        "Make sure you do some reference linking to take advantage of the full power of HDF5.\n"
    )


def test_nothing_is_printed_when_nothing_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hdf = px.ioHDF5(tmp_path / "run.h5")
    hdf.write_data(tree("g"))
    with pytest.raises(ObjectExistsError):
        hdf.write_data(tree("g"), print_log=True)
    assert capsys.readouterr().out == ""
    with pytest.raises(InvalidTypeError):
        hdf.write_data({"not": "a tree"})  # type: ignore[arg-type]
    hdf.close()


def test_a_file_opened_by_h5py_is_refused_and_a_journaled_one_is_taken(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "plain.h5", "w") as plain, pytest.raises(InvalidOptionError, match="path"):
        px.ioHDF5(plain)
    hdf = px.ioHDF5(tmp_path / "run.h5")
    again = px.ioHDF5(hdf.file)
    again.write_data(tree("g"))
    assert "g" in hdf.file and again.session is hdf.session
    hdf.close()


def test_an_exception_in_with_suspends_and_resume_goes_on(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    with pytest.raises(ZeroDivisionError), px.ioHDF5(target) as hdf:
        hdf.write_data(tree("first"))
        raise ZeroDivisionError
    assert not target.exists()
    with px.ioHDF5(target, resume=True) as hdf:
        hdf.write_data(tree("second"))
    with h5py.File(target) as made:
        assert set(made) == {"first", "second"}
    assert os.listdir(tmp_path) == ["run.h5"]


def test_force_new_replaces_the_file_at_close(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    with h5py.File(target, "w") as old:
        old["old"] = 1
    writer = px.HDFwriter(target, force_new=True)
    writer.write(tree("new"))
    with h5py.File(target) as still:
        assert "old" in still
    writer.close()
    writer.close()
    with h5py.File(target) as made:
        assert set(made) == {"new"}


def test_clear_empties_the_file(tmp_path: Path) -> None:
    hdf = px.ioHDF5(tmp_path / "run.h5")
    hdf.write_data(tree("g"))
    hdf.file.attrs["a"] = 1
    hdf.clear()
    hdf.write_data(tree("after"))
    hdf.close()
    with h5py.File(tmp_path / "run.h5") as made:
        assert set(made) == {"after"} and not made.attrs


def test_what_is_written_through_the_references_survives_without_close(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    hdf = px.ioHDF5(target)
    [_, dataset] = hdf.write_data(tree("g"))
    dataset[1] = 50
    px.io.hdf_utils.link_h5_objects_as_attrs(hdf.file["g"], dataset)
    journaled_file(hdf.session)["g"].create_dataset("more", data=[7])
    hdf.flush()
    hdf.session.suspend()
    import safeh5

    safeh5.recover(target)
    with h5py.File(target) as made:
        assert made["g/x"][:].tolist() == [0, 50, 2] and made["g/more"][0] == 7
        assert made[made["g"].attrs["x"]] == made["g/x"]
