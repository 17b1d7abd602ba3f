"""Appends that fill chunks go past HDF5's cache: the file is the one that HDF5 would have written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.applier import coalesce
from safeh5.applier.chunks import WholeChunks

ITEM = 512  # of 8 bytes: 8 items are a chunk that is worth it
STEPS = [3, 5, 8, 1, 30, 7, 16, 2, 11]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The chunks that were written whole, by their first items."""
    found, write = [], WholeChunks.write

    def noted(self: WholeChunks, first: int, data: memoryview) -> None:
        found.append(first)
        write(self, first, data)

    monkeypatch.setattr(WholeChunks, "write", noted)
    return found


def make(target: Path, stored: str = "<f8", chunks: tuple[int, ...] = (8, ITEM), **options: Any) -> None:
    with h5py.File(target, "w") as file:
        file.create_dataset("a", (0, ITEM), stored, maxshape=(None, None), chunks=chunks, **options)


def append(target: Path, steps: list[int], dtype: str = "<f8") -> Any:
    """Appended in steps, each a record; returns what must be there."""
    values = np.random.default_rng(len(steps)).random((sum(steps), ITEM)).astype(dtype)
    with safeh5.open(target, durability="record") as session:
        stream, done = session.stream("/a"), 0
        for step in steps:
            stream.extend(values[done : done + step])
            done += step
    return values


def content(target: Path) -> Any:
    with h5py.File(target) as file:
        return file["a"][()]


@pytest.mark.parametrize("joined", [True, False])
def test_items_are_where_they_belong_however_chunks_and_records_lie(
    target: Path, written: list[int], joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalesce, "_SMALL", coalesce._SMALL if joined else 0)
    make(target)
    values = append(target, STEPS)
    assert np.array_equal(content(target), values)
    assert written, "no chunk was written whole"
    assert written == sorted(set(written)) and all(first % 8 == 0 for first in written)
    with h5py.File(target) as file:
        assert file["a"].id.get_num_chunks() == -(-sum(STEPS) // 8)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "gzip"},
        {"fletcher32": True},
        {"chunks": (8, ITEM // 2)},
        {"chunks": (8, 2 * ITEM)},
        {"chunks": (4, ITEM)},
    ],
    ids=str,
)
def test_what_hdf5_must_convert_filter_or_take_apart_goes_its_way(
    target: Path, written: list[int], options: dict[str, Any]
) -> None:
    make(target, **options)
    values = append(target, STEPS)
    assert np.array_equal(content(target), values)
    assert not written


def test_values_of_another_type_than_the_files_are_converted(target: Path, written: list[int]) -> None:
    twelve_bits = h5py.h5t.STD_U16LE.copy()
    twelve_bits.set_precision(12)
    with h5py.File(target, "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((64, ITEM))
        space = h5py.h5s.create_simple((0, ITEM), (h5py.h5s.UNLIMITED, ITEM))
        h5py.h5d.create(file.id, b"a", twelve_bits, space, plist)
    with safeh5.open(target, durability="record") as session:
        session.stream("/a").extend(np.full((128, ITEM), 60_000, "u2"))
    assert (content(target) == 4095).all(), "as HDF5 does with what is too large"
    assert not written


def test_bytes_are_kept_in_the_files_own_order(target: Path, written: list[int]) -> None:
    make(target, stored=">f8")
    values = append(target, STEPS, dtype=">f8")
    assert np.array_equal(content(target), values)
    assert written


def test_a_chunk_in_the_cache_does_not_come_back_over_one_that_was_written_whole(
    target: Path, written: list[int]
) -> None:
    make(target)
    with safeh5.open(target, durability="flush") as session:
        stream = session.stream("/a")
        stream.extend(np.full((5, ITEM), -1.0))
        stream.rewind(0)
        stream.extend(np.full((8, ITEM), 1.0))
        stream.write(2, np.full(ITEM, 2.0))
        stream.rewind(4)
        stream.extend(np.full((20, ITEM), 3.0))
    found = content(target)[:, 0].tolist()
    assert found == [1, 1, 2, 1, *[3] * 20]
    assert written


def test_a_dataset_that_was_made_anew_is_looked_at_anew(target: Path, written: list[int]) -> None:
    make(target)
    with safeh5.open(target, durability="flush") as session:
        stream = session.stream("/a")
        stream.extend(np.ones((16, ITEM)))
        session.write(
            safeh5.MicroDataset("a", np.zeros((8, ITEM), ">f8"), chunking=(8, ITEM), resizable=True),
            overwrite=True,
        )
        session.stream("/a").extend(np.full((16, ITEM), 2.0, ">f8"))
    assert content(target)[:, 0].tolist() == [0] * 8 + [2] * 16


def test_the_disk_has_begun_before_it_is_waited_for(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    monkeypatch.setattr(
        safeh5.storage.handles.RandomFile, "write_back", lambda *at: begun.append(at[1:]), raising=True
    )
    with safeh5.open(target, durability="flush", applier="inline") as session:
        stream = session.stream("/a", (ITEM,), "f8")
        for _ in range(25):
            stream.extend(np.zeros((100, ITEM)))
    assert begun and sum(size for _, size in begun) >= 5 << 20


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "run.h5"
