"""Virtual datasets of journaled files: read while they are open, as h5py reads them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from tests.h5.tape import three_ways


@pytest.fixture
def source(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file["data"] = np.arange(10)
        file["record"] = np.zeros(4, [("a", "i4"), ("b", "S2")])
    return tmp_path / "source.h5"


def _layout(*sources: tuple[str, str]) -> h5py.VirtualLayout:
    layout = h5py.VirtualLayout((len(sources), 10), "i8")
    for i, (file, name) in enumerate(sources):
        layout[i] = h5py.VirtualSource(file, name, shape=(10,))
    return layout


@pytest.mark.parametrize("name", ["source.h5", "absolute"])
def test_a_virtual_dataset_shows_its_sources_in_other_files_while_it_is_open(
    source: Path, name: str, tmp_path: Path
) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        name = str(source) if name == "absolute" else name
        made = file.create_virtual_dataset("v", _layout((name, "data")), fillvalue=-1)
        file["data"] = np.arange(10) * 100  # of the same name as in the source
        for _ in range(2):
            assert np.array_equal(made[0], np.arange(10))
            assert np.array_equal(file["v"].astype("f4")[0], np.arange(10.0))
            into = np.zeros((1, 10), "i8")
            file["v"].read_direct(into)
            assert np.array_equal(into[0], np.arange(10))
            file.flush()
    with h5py.File(tmp_path / "run.h5") as file:
        assert np.array_equal(file["v"][0], np.arange(10))


def test_a_virtual_dataset_over_its_own_file_and_another_shows_both(source: Path, tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        file["group/data"] = np.arange(10) * 2
        made = file.create_virtual_dataset("v", _layout(("source.h5", "data"), (".", "group/data")))
        assert np.array_equal(made[:], [np.arange(10), np.arange(10) * 2])


def test_a_source_that_is_missing_reads_as_the_fill_value(tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        made = file.create_virtual_dataset("v", _layout(("missing.h5", "data")), fillvalue=-1)
        assert np.array_equal(made[0], np.full(10, -1))


def test_a_virtual_dataset_of_records_shows_its_source(source: Path, tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        layout = h5py.VirtualLayout((4,), [("a", "i4"), ("b", "S2")])
        layout[:] = h5py.VirtualSource(str(source), "record", shape=(4,))
        assert file.create_virtual_dataset("v", layout)["a"].tolist() == [0] * 4


@pytest.mark.skipif(
    h5py.version.hdf5_version_tuple < (2, 0), reason="HDF5 1.14 takes it for one that is not virtual"
)
def test_a_virtual_dataset_without_a_source_is_journaled(tmp_path: Path) -> None:
    def scenario(file: h5py.File) -> None:
        with file.build_virtual_dataset("v", (10, 20), np.int32):
            pass
        assert file["v"].is_virtual and file["v"].virtual_sources() == []

    three_ways(scenario, tmp_path)


def _unlimited_layout(folder: Path) -> h5py.VirtualLayout:
    """A dataset of 5 x 4 in source.h5, and a virtual one over it that says 3 x 4 of itself."""
    with h5py.File(folder / "source.h5", "w") as file:
        file.create_dataset("data", data=np.arange(20).reshape(5, 4), maxshape=(None, 4))
    layout = h5py.VirtualLayout((3, 4), "i8", maxshape=(None, 4))
    source = h5py.VirtualSource("source.h5", "data", shape=(3, 4), maxshape=(None, 4))
    layout[: h5py.h5s.UNLIMITED, :] = source[: h5py.h5s.UNLIMITED, :]
    return layout


def test_the_shape_of_an_unlimited_virtual_dataset_is_right_before_anything_was_written(
    tmp_path: Path,
) -> None:
    with safeh5.File(tmp_path / "run.h5", "w", libver="latest") as file:
        made = file.create_virtual_dataset("v", _unlimited_layout(tmp_path))
        assert (made.shape, made.id.shape, made.id.get_space().shape) == ((5, 4),) * 3


def test_an_unlimited_virtual_dataset_is_as_large_as_its_sources_in_other_files(tmp_path: Path) -> None:
    layout = _unlimited_layout(tmp_path)
    with safeh5.File(tmp_path / "run.h5", "w", libver="latest") as file:
        # Of the same name in the file itself, where HDF5 would find it.
        file.create_dataset("data", data=np.zeros((9, 4), "i8"), maxshape=(None, 4))
        file.create_virtual_dataset("v", layout, fillvalue=-1)
        for _ in range(2):
            made = file["v"]
            assert (made.shape, made.id.shape, made.maxshape, len(made)) == ((5, 4), (5, 4), (None, 4), 5)
            assert np.array_equal(made[:], np.arange(20).reshape(5, 4))
            file.flush()
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["v"].shape == (5, 4)
