"""Data are read when they are written, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from safeh5.microdata import (
    MicroDataset,
)
from tests.microdata.writing import write

# --- laziness ---------------------------------------------------------------------------


class Counted:
    """A large array that exists only where it is looked at."""

    def __init__(self, shape: tuple[int, ...], chunks: tuple[int, ...] | None) -> None:
        self.shape, self.dtype, self.chunks, self.read = shape, np.dtype("f8"), chunks, []

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        size = tuple(s.stop - s.start for s in index)
        self.read.append(int(np.prod(size)) * 8)
        return np.full(size, index[0].start, "f8")


def test_a_lazy_array_is_read_only_when_written_and_block_by_block(tmp_path: Path) -> None:
    lazy = Counted((1000, 40), (50, 40))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        from safeh5.microdata import FileNamespace, plan_write

        plan = plan_write(MicroDataset("d", lazy), FileNamespace(file))
        assert lazy.read == []
        for i, (_, payload) in enumerate(plan.operations(50 * 40 * 8)):
            assert len(lazy.read) == i and len(payload) <= 50 * 40 * 8
    assert len(lazy.read) == 20


class OnlyArray:
    def __init__(self) -> None:
        self.calls = 0

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        self.calls += 1
        return np.arange(6.0).reshape(2, 3)


def test_whatever_has_an_array_method_is_data(tmp_path: Path) -> None:
    write(MicroDataset("d", OnlyArray(), "f4"), tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        np.testing.assert_array_equal(file["d"], np.arange(6.0).reshape(2, 3))


def test_a_dataset_of_another_file_is_data_with_its_exact_type(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other.create_dataset("a", data=np.arange(5000, dtype=">i2"), chunks=(7,), compression="gzip")
        other["s"] = np.array(["x", "yy"], object)
        other["n"] = h5py.Empty("f8")
        nodes = [MicroDataset(name, other[name]) for name in other]
        nodes.append(MicroDataset("converted", other["a"], "f4", resizable=True))
        write(nodes, tmp_path / "f.h5")
        with h5py.File(tmp_path / "f.h5") as file:
            assert file["a"].dtype == ">i2" and file["a"].chunks is None
            np.testing.assert_array_equal(file["a"], other["a"])
            np.testing.assert_array_equal(file["converted"], other["a"])
            assert list(file["s"].asstr()) == ["x", "yy"] and file["n"].shape is None


def blocks(*lengths: int, width: int = 3) -> Iterator[np.ndarray]:
    start = 0
    for length in lengths:
        yield np.arange(start * width, (start + length) * width, dtype="i4").reshape(length, width)
        start += length


@pytest.mark.parametrize(
    ("options", "shape", "maxshape"),
    [
        ({}, (6, 3), (None, 3)),
        ({"resizable": True}, (6, 3), (None, None)),
        ({"resizable": True, "maxshape": (10, 3)}, (6, 3), (10, 3)),
        ({"shape": (6, 3)}, (6, 3), (6, 3)),
        ({"maxshape": (9, 3)}, (9, 3), (9, 3)),
        ({"shape": (6, 3), "resizable": True, "compression": "gzip"}, (6, 3), (None, None)),
        ({"dtype": "f8"}, (6, 3), (None, 3)),
    ],
)
def test_an_iterator_of_blocks_is_joined_along_the_first_axis(
    tmp_path: Path, options: dict[str, Any], shape: Any, maxshape: Any
) -> None:
    write(MicroDataset("d", blocks(2, 0, 3, 1), **options), tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        assert (file["d"].shape, file["d"].maxshape) == (shape, maxshape)
        np.testing.assert_array_equal(file["d"][:6], np.arange(18).reshape(6, 3))


def test_a_large_block_of_an_iterator_is_cut_into_frames(tmp_path: Path) -> None:
    write(MicroDataset("d", blocks(3000, 5)), tmp_path / "f.h5", frame_bytes=1000)
    write(MicroDataset("e", blocks(2, width=3000)), tmp_path / "f.h5", "a", frame_bytes=1000)
    with h5py.File(tmp_path / "f.h5") as file:
        np.testing.assert_array_equal(file["d"], np.arange(3005 * 3).reshape(-1, 3))
        np.testing.assert_array_equal(file["e"], np.arange(6000).reshape(2, -1))


def test_an_iterator_of_text_is_joined_too(tmp_path: Path) -> None:
    write(MicroDataset("d", iter([["a", "b"], ["c"]]), h5py.string_dtype()), tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        assert list(file["d"].asstr()) == ["a", "b", "c"]
