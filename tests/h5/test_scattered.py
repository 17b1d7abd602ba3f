"""Selections in many pieces of a contiguous dataset: as h5py, and not a call for each piece."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.applier import scattered
from tests.h5.tape import three_ways

SHAPE = (40, 50)
MASK = np.random.default_rng(3).random(SHAPE) > 0.8
SELECTIONS: dict[str, Any] = {
    "a column": np.s_[:, 7],
    "steps": np.s_[3::3, 1::4],
    "a box": np.s_[4:33, 2:9],
    "a mask": MASK,
    "columns": np.s_[:, [1, 2, 30]],
    "rows by a mask": np.s_[MASK[:, 0], 5:],
    "the last axis": np.s_[..., ::2],
    "blocks": np.s_[h5py.MultiBlockSlice(start=1, count=8, stride=5, block=2), 3:40],
}
TYPES = [np.dtype("f8"), np.dtype(">i2"), np.dtype([("a", "i4"), ("b", "S3")])]


def numbers(count: int, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    raw = np.arange(count) % 100
    return raw.astype(dtype) if dtype.names is None else np.array([(n, b"%d" % n) for n in raw], dtype)


@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_pieces_are_written_and_read_as_by_h5py(selection: Any, dtype: np.dtype[Any], tmp_path: Path) -> None:
    def scenario(file: h5py.File) -> None:
        dataset = file.create_dataset("d", data=numbers(2000, dtype).reshape(SHAPE))
        with h5py.File("plain", "w", driver="core", backing_store=False) as plain:
            same = plain.create_dataset("d", data=dataset[:])
            new = same[selection][::-1].copy()
            for each in (dataset, same):
                each[selection] = new
            assert dataset[selection].tobytes() == same[selection].tobytes()
            assert dataset[:].tobytes() == same[:].tobytes()

    three_ways(scenario, tmp_path)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was transferred by rows."""
    made: list[str] = []
    for name in ("_read", "_write"):
        theirs = getattr(scattered, name)

        def counting(*args: Any, name: str = name, theirs: Any = theirs) -> None:
            made.append(name)
            theirs(*args)

        monkeypatch.setattr(scattered, name, counting)
    return made


def test_a_column_is_one_transfer_and_not_one_for_each_row(target: Path, calls: list[str]) -> None:
    with safeh5.File(target, "w") as file:
        dataset = file.create_dataset("d", data=np.zeros(SHAPE))
        dataset[:, 3] = np.arange(40)
        assert calls == ["_read", "_write"]
        assert dataset[:, 3].tolist() == list(range(40))
        assert calls == ["_read", "_write", "_read"]


def test_values_that_hdf5_converts_leave_what_is_between_them_alone(target: Path, calls: list[str]) -> None:
    with safeh5.File(target, "w") as file:
        dataset = file.create_dataset("d", data=np.full(SHAPE, 1 / 3))
        dataset[:, ::2] = np.full((40, 25), 0.5, "f4")
        assert calls == ["_read", "_write"]
        assert (dataset[:, 1::2] == 1 / 3).all() and (dataset[:, ::2] == 0.5).all()


def test_a_few_values_far_apart_are_left_to_hdf5(target: Path, calls: list[str]) -> None:
    with safeh5.File(target, "w") as file:
        dataset = file.create_dataset("d", (64, 1_000_000), "u1")
        dataset[::3, 5] = np.ones(22, "u1")
        assert dataset[:, 5].sum() == 22
    assert calls == []


def test_numbers_out_of_range_become_what_h5py_makes_of_them(tmp_path: Path) -> None:
    def scenario(file: h5py.File) -> None:
        dataset = file.create_dataset("d", SHAPE, "u1")
        dataset[:, ::3] = np.linspace(-500, 500, 40 * 17).reshape(40, 17)

    three_ways(scenario, tmp_path)


@pytest.mark.parametrize(
    "selection",
    [np.s_[::-1, 3], np.s_[:, 99], np.s_[:, :, ::2], np.s_[..., ..., ::2], np.s_[:, [3, 1]]],
    ids=str,
)
def test_a_selection_that_h5py_refuses_is_refused(target: Path, selection: Any) -> None:
    with safeh5.File(target, "w") as file:
        dataset = file.create_dataset("d", data=np.zeros(SHAPE))
        with pytest.raises((TypeError, ValueError, IndexError)):
            dataset[selection]


def test_what_is_seen_at_once_to_be_one_run_is_one() -> None:
    shape, parts = (4, 5, 40), [2, ..., slice(None), slice(1, 3), slice(0, 4, 2), [0, 3]]
    seen = 0
    for count in range(4):
        for args in itertools.product(parts, repeat=count):
            if sum(arg is ... for arg in args) <= 1 and scattered.is_one_run(args):
                assert not scattered.are_scattered(args, shape), args
                seen += 1
    assert seen > 10 and not scattered.is_one_run((slice(None), 1)) and not scattered.is_one_run(([0, 3],))
