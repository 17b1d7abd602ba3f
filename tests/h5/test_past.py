"""Values that are read past HDF5: the same as HDF5 gives, and as new."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t

import safeh5
from safeh5.applier import direct
from safeh5.h5 import past
from safeh5.storage.handles import RandomFile
from safeh5.storage.staging import StagingFile

SIDE = 128
SELECTIONS: list[Any] = [
    (), ..., 0, 3, -1, True, np.int64(2), slice(None), slice(1, 3), slice(3, 1), slice(0, 4, 2),
    slice(-2, None), slice(1, 99), slice(None, None, -1), slice(1.5, 2), (1, 2), (slice(None), 1),
    (1, slice(None)), (slice(1, 2), slice(2, 4)), (0, ..., 1), (..., 1), (slice(0, 2), 0), (slice(0, 2), ...),
    (slice(2, 4), slice(None)), [0, 2], np.array([True, False, True, False]), 99, -99, 1.5, (0, 0, 0, 0, 0),
    (slice(0, 1),), (3, slice(0, SIDE)), (2, slice(0, SIDE), slice(None)), (slice(0, 2), slice(0, SIDE)),
]  # fmt: skip


def _twelve_bits() -> h5t.TypeID:
    made = h5t.STD_U16LE.copy()
    made.set_precision(12)
    made.set_offset(2)
    return made


def _made_below(file: h5py.File, name: str, tid: h5t.TypeID, alloc: int | None = None) -> h5py.Dataset:
    dcpl = h5p.create(h5p.DATASET_CREATE)
    if alloc is not None:
        dcpl.set_alloc_time(alloc)
    made = h5d.create(file.id, name.encode(), tid, h5s.create_simple((4, 4)), dcpl)
    return h5py.Dataset(made)


def _fill(file: h5py.File) -> None:
    """One dataset of each kind that might be, or must not be, read past HDF5."""
    rng = np.random.default_rng(1)
    for kind in ("i1", "u2", "i8", "f2", "f4", "f8", "g", "?", "c8", ">i4", "S3"):
        file[f"of_{kind.strip('>?')}_{ord(kind[0])}"] = rng.integers(0, 2, (4, 5)).astype(kind)
    file["row"] = np.arange(4.0)
    file["cube"] = np.arange(4 * 3 * 5, dtype="u2").reshape(4, 3, 5)
    file["none"] = np.empty((0, 3))
    file["scalar"] = 3.0
    file["named"] = np.dtype("i4")
    file.create_dataset("of_named", data=np.arange(8).reshape(4, 2), dtype=file["named"])
    _made_below(file, "bits", _twelve_bits())[:] = np.arange(16).reshape(4, 4)
    _made_below(file, "early", h5t.NATIVE_INT32, h5d.ALLOC_TIME_EARLY)
    file.create_dataset("filled", (4, 2), "f8", fillvalue=7)
    shape = (4, SIDE + 1, SIDE)
    values = rng.integers(0, 99, shape, "u4")
    filters = {"packed": {"compression": "lzf"}, "checked": {"fletcher32": True}, "mixed": {"shuffle": True}}
    for name, options in {"frames": {}, **filters}.items():
        file.create_dataset(name, data=values, chunks=(1, SIDE, SIDE), maxshape=(None, *shape[1:]), **options)
    holes = file.create_dataset("holes", (4, SIDE, SIDE), "u4", chunks=(1, SIDE, SIDE), fillvalue=5)
    holes[1] = 1
    file.create_dataset("deep", data=values[:, :SIDE], chunks=(2, SIDE, SIDE))


def _outcome(dataset: h5py.Dataset, args: Any) -> Any:
    """What reading gives: the values with all that can be seen of them, or the error."""
    try:
        found = dataset[args]
    except (IndexError, OSError, RuntimeError, TypeError, ValueError) as error:
        return type(error), str(error)
    flags = (found.flags.owndata, found.flags.writeable) if isinstance(found, np.ndarray) else None
    return type(found), np.shape(found), getattr(found, "dtype", None), flags, np.asarray(found).tobytes()


def _require_same(file: h5py.File, plain: h5py.File) -> None:
    for name in plain:
        if isinstance(plain[name], h5py.Dataset):
            ours, theirs = file[name], plain[name]
            for args in SELECTIONS * 2:  # the second time the reader is another one
                assert _outcome(ours, args) == _outcome(theirs, args), (name, args)


@pytest.fixture
def read_past(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The bytes of every read that went past HDF5."""
    sizes: list[int] = []
    read_values = StagingFile.read_values

    def noted(self: StagingFile, view: memoryview, offset: int) -> None:
        sizes.append(len(view))
        read_values(self, view, offset)

    monkeypatch.setattr(StagingFile, "read_values", noted)
    yield sizes


@pytest.mark.parametrize("userblock", [0, 512])
def test_what_is_read_is_what_h5py_reads_with_the_same_errors(
    userblock: int, tmp_path: Path, read_past: list[int]
) -> None:
    options = {"userblock_size": userblock}
    with h5py.File(tmp_path / "plain.h5", "w", **options) as plain:
        _fill(plain)
        with safeh5.File(tmp_path / "run.h5", "w", **options) as file:
            _fill(file)
            _require_same(file, plain)
            assert not read_past
            file.flush()
            _require_same(file, plain)
            assert (len(read_past) > 100) is (userblock == 0)
        with safeh5.File(tmp_path / "run.h5", "a") as file:
            read_past.clear()
            _require_same(file, plain)
            assert (len(read_past) > 100) is (userblock == 0)
            file["row"][0] = 0.0
            read_past.clear()
            _require_same(file, plain)
            assert not read_past


def test_numbers_and_whole_chunks_of_a_flushed_file_are_read_past_hdf5(
    tmp_path: Path, read_past: list[int]
) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        _fill(file)
        file.flush()
        assert file["row"][1] == 1 and file["cube"][1, 1].tolist() == [20, 21, 22, 23, 24]
        assert read_past == [8, 10]
        frames = file["deep"]
        first = frames[:2]
        assert np.array_equal(frames[:2], first) and read_past[2:] == [first.nbytes]


def _change(file: h5py.File, number: int) -> None:
    """Change the values of `row` and of the second of `frames` to `number`, in one of many ways."""
    ways = (_by_slices, _by_others, _by_chunks, _by_points, _in_a_batch)
    ways[number % len(ways)](file, number)


def _by_slices(file: h5py.File, number: int) -> None:
    file["row"][:] = number
    file["frames"][1] = number


def _by_others(file: h5py.File, number: int) -> None:
    file["/"]["row"].write_direct(np.full(4, float(number)))
    file["row"].parent["frames"][1:2, :, :] = number


def _by_chunks(file: h5py.File, number: int) -> None:
    file["row"][...] = number
    for start in (0, SIDE):
        file["frames"].id.write_direct_chunk((1, start, 0), np.full((SIDE, SIDE), number, "u4"))


def _by_points(file: h5py.File, number: int) -> None:
    file["row"][np.array([True] * 4)] = number
    file["frames"][1, [*range(SIDE + 1)]] = np.full((SIDE + 1, SIDE), number)


def _in_a_batch(file: h5py.File, number: int) -> None:
    with file.session.batch():
        _by_slices(file, number)


@pytest.mark.parametrize("durability", ["record", "interval", "flush"])
def test_what_is_read_is_never_older_than_what_was_written(durability: str, tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "run.h5", "w", durability=durability) as file:
        _fill(file)
        row, frames = file["row"], file["frames"]
        for number in range(10):
            _change(file, number)
            for _ in range(3):
                assert row[0] == row[3] == number and file["row"][:].tolist() == [number] * 4
                assert np.all(frames[1, :SIDE] == number) and np.all(frames[1] == number)
                if number % 3:
                    file.flush()


def test_values_of_a_dataset_that_was_unlinked_are_as_new(tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        _fill(file)
        deep = file["deep"]
        del file["deep"]
        file.flush()
        for number in range(3):
            deep[:2] = number
            assert np.all(deep[:2] == number) and np.all(deep[:2] == number)
            deep.id.write_direct_chunk((0, 0, 0), np.full((2, SIDE, SIDE), number + 9, "u4"))
            assert np.all(deep[:2] == number + 9)


def test_frames_of_a_session_that_was_resumed_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with pytest.raises(KeyError), safeh5.File(path, "w") as file:
        _fill(file)
        file.flush()
        file["deep"][:2] = 777
        raise KeyError
    with safeh5.File(path, "a", resume=True) as file:
        deep = file["deep"]
        for _ in range(3):
            assert np.all(deep[:2] == 777) and np.all(deep[2:4] != 777)


def test_what_compiled_code_may_have_written_is_asked_of_hdf5(tmp_path: Path, read_past: list[int]) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        _fill(file)
        file.flush()
        assert file["row"].id.id
        assert file["row"][1] == 1 and not read_past


def test_nothing_is_read_past_hdf5_from_the_first_moment_of_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[bool] = []

    def stopped(*_: Any) -> None:
        settled.append(past.settled(dataset.id) is not None)
        raise KeyError("in the middle")

    with pytest.raises(KeyError, match="middle"), safeh5.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(4.0)
        file.flush()
        dataset = file["x"]
        settled.append(past.settled(dataset.id) is not None)
        monkeypatch.setattr(direct.Attribute, "apply", stopped)
        dataset.attrs["a"] = 1
    assert settled[:2] == [True, False] and not any(settled[1:])


def test_a_read_that_the_disk_refuses_is_an_error_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        _fill(file)
        file.flush()
        row = file["row"]
        assert row[1] == 1

        def broken(self: RandomFile, view: memoryview, offset: int) -> int:
            raise OSError(errno.EIO, "the disk is gone")

        with monkeypatch.context() as patch:
            patch.setattr(RandomFile, "read_into", broken)
            with pytest.raises(OSError, match="cannot be read"):
                row[1]
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["row"][1] == 1


def test_only_boxes_whose_elements_follow_each_other_are_one_read() -> None:
    shape = (3, 4, 5)
    grid = np.arange(60).reshape(shape)
    for args in [(1,), (1, 2), (1, 2, 3), (slice(1, 3),), (1, slice(1, 3)), (1, 2, slice(2, 4)), ()]:
        box = past._box(args, shape)
        assert box is not None and past._run(box, shape) == grid[args].flat[0]
    for args in [
        (slice(1, 3), 1),
        (slice(None), slice(1, 2)),
        (1, slice(1, 3), 2),
        (slice(0, 2), slice(None), 0),
    ]:
        box = past._box(args, shape)
        assert box is not None and past._run(box, shape) is None
