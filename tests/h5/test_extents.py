"""Shapes are remembered between changes: they are never older than the file."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.h5 import virtual


def test_a_shape_that_was_asked_for_is_the_new_one_after_a_resize_through_another_object(
    tmp_path: Path,
) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        data = file.create_dataset("d", (4,), "i4", maxshape=(None,), chunks=(4,))
        other = file["d"]
        for length in (6, 3, 9):
            data[0] = 1  # now the shape of `data` is known
            other.resize((length,))
            assert data.shape == other.shape == (length,)
            other[-1] = length
            assert data.shape == (length,) and data[-1] == length
            data.id.extend((length + 1,))
            assert data.shape == other.shape == (length + 1,)


def test_a_shape_that_was_asked_for_follows_a_stream_of_the_session(tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        frames = file.session.stream("/frames", shape=(2,), dtype="i4")
        frames.append(np.zeros(2, "i4"))
        data = file["frames"]
        for length in (1, 2, 3):
            assert data.shape == (length, 2)
            data[0] = length
            frames.append(np.zeros(2, "i4"))


def test_a_shape_that_was_asked_for_follows_a_dataset_that_was_unlinked(tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        data = file.create_dataset("d", (4,), "i4", maxshape=(None,), chunks=(4,))
        data[:] = 1
        del file["d"]
        data.resize((7,))
        assert data.shape == (7,)


def test_a_resize_that_hdf5_refuses_leaves_the_shape(tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        data = file.create_dataset("d", (4,), "i4", maxshape=(8,), chunks=(4,))
        data[:] = 1
        with pytest.raises((ValueError, OSError, RuntimeError)):
            data.resize((9,))
        assert data.shape == (4,)


def test_a_batch_that_was_cancelled_takes_its_shapes_along(tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        file.create_dataset("d", (4,), "i4", maxshape=(None,), chunks=(4,))
        with pytest.raises(KeyError), file.session.batch():
            file["d"].resize((9,))
            raise KeyError
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["d"].shape == (4,)


def test_a_dataset_of_a_file_that_was_closed_has_no_shape_as_in_h5py(tmp_path: Path) -> None:
    for kind in (h5py.File, safeh5.File):
        with kind(tmp_path / "run.h5", "w") as file:
            data = file.create_dataset("d", (4,), "i4", maxshape=(None,), chunks=(4,))
            data[:] = 1
            assert data.shape == (4,)
        with pytest.raises((ValueError, RuntimeError)):
            data.id.shape  # noqa: B018


def test_appending_blocks_asks_hdf5_for_the_shape_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    shape = virtual.shape
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        data = file.create_dataset("d", (0, 2), "f8", maxshape=(None, 2), chunks=(8, 2))
        monkeypatch.setattr(virtual, "shape", lambda dataset: asked.append(None) or shape(dataset))
        for number in range(20):
            data.resize(data.shape[0] + 8, axis=0)
            data[-8:] = number
        assert data.shape == (160, 2) and len(asked) == 1
        assert np.array_equal(data[::8, 0], np.arange(20))
