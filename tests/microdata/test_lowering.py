"""The operations of a plan: their order, their size, what they cost, and the way through a session."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import safeh5
from safeh5.microdata import (
    FileNamespace,
    HardLink,
    MicroDataGroup,
    MicroDataset,
    MicroDatatype,
    Reference,
    plan_write,
)
from safeh5.microdata.blocks import boxes, slices
from safeh5.operations import model
from tests.microdata.writing import BUILDERS, assert_equal, real_files, write, write_into

STRUCTURE = (
    model.CreateGroup,
    model.CreateDataset,
    model.CommitDatatype,
    model.CreateHardLink,
    model.CreateSoftLink,
    model.Delete,
)
DATA = (model.WriteData, model.AppendData, model.WriteChunk)


@given(st.data())
def test_boxes_cover_an_extent_once_in_whole_chunks_within_the_limit(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 12), max_size=3), label="shape"))
    chunks = tuple(data.draw(st.integers(1, 5)) for _ in shape) if data.draw(st.booleans()) else None
    limit, item = data.draw(st.integers(1, 400), label="limit"), data.draw(st.integers(1, 8), label="item")
    seen = np.zeros(shape, int)
    for box in boxes(shape, item, limit, chunks):
        seen[slices(box)] += 1
        unit = chunks or (1,) * len(shape)
        assert math.prod(box.count) * item <= max(limit, item * math.prod(unit))
        for start, count, n, c in zip(box.start, box.count, shape, unit, strict=True):
            assert start % c == 0 and (count % c == 0 or start + count == n)
    assert (seen == 1).all()


def tree() -> MicroDataGroup:
    kind = MicroDatatype("z", "f4")
    data = MicroDataset("d", np.zeros(3), kind, attrs={"a": 1})
    late = MicroDataGroup("late", children=[data, MicroDataset("refs", [data, Reference("/late")])])
    first = MicroDataGroup("first", attrs={"ref": data}, children=[HardLink("h", data)])
    return MicroDataGroup("/", children=[first, late, kind])


def test_structure_comes_before_data_and_data_before_attributes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        kinds = [type(op) for op, _ in plan_write(tree(), FileNamespace(file)).operations()]
    ranks = [0 if k in STRUCTURE else 1 if k in DATA else 2 for k in kinds]
    assert ranks == sorted(ranks) and set(ranks) == {0, 1, 2}


def test_a_plan_gives_the_same_operations_every_time(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        root = tree()
        first = [(op, bytes(p)) for op, p in plan_write(root, FileNamespace(file)).operations(10)]
        plan = plan_write(root, FileNamespace(file))
        for _ in range(2):
            assert [(op, bytes(p)) for op, p in plan.operations(10)] == first


def test_an_array_that_lies_in_one_piece_is_not_copied(tmp_path: Path) -> None:
    array = np.arange(1000.0)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        plan = plan_write(MicroDataset("d", array), FileNamespace(file))
        payloads = [p for op, p in plan.operations(1000) if isinstance(op, model.WriteData)]
    assert len(payloads) == 8
    assert all(np.shares_memory(np.frombuffer(p, "u1"), array) for p in payloads)


class Endless:
    """64 MiB that exist only where they are looked at."""

    shape, dtype, chunks = (64, 1024, 1024), np.dtype("u1"), None

    def __getitem__(self, index: Any) -> Any:
        return np.zeros(tuple(s.stop - s.start for s in index), "u1")


def test_a_tree_larger_than_memory_goes_through_in_frames(tmp_path: Path) -> None:
    root = MicroDataGroup("/", children=[MicroDataset(name, Endless()) for name in "abcd"])
    with h5py.File(tmp_path / "f.h5", "w") as file:
        tracemalloc.start()
        try:
            plan = plan_write(root, FileNamespace(file))
            total = sum(memoryview(payload).nbytes for _, payload in plan.operations(1 << 20))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert total > 256 << 20
    assert peak < 8 << 20


def test_chunks_of_a_lossy_filter_are_never_written_in_pieces(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(100, 64)).astype("f4")
    options = {"compression": hdf5plugin.Zfp(rate=4)}
    write(MicroDataset("d", data, chunking=(16, 32), **options), tmp_path / "ours.h5", frame_bytes=3000)
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file.create_dataset("d", data=data, chunks=(16, 32), **options)
    assert_equal(tmp_path / "ours.h5", tmp_path / "plain.h5")
    with h5py.File(tmp_path / "plain.h5") as file:
        again = MicroDataset("d", file["d"], chunking=(16, 32), **options)
        write(again, tmp_path / "again.h5", frame_bytes=3000)
        with h5py.File(tmp_path / "expected.h5", "w") as expected:
            expected.create_dataset("d", data=file["d"][()], chunks=(16, 32), **options)
    assert_equal(tmp_path / "again.h5", tmp_path / "expected.h5")


def test_scales_may_be_written_again(tmp_path: Path) -> None:
    for _ in range(2):
        scale = MicroDataset("x", [1, 2], scale="the x axis")
        data = MicroDataset("d", [1, 2], scales={0: scale}, axis_labels=["x"])
        write(MicroDataGroup("/", children=[scale, data]), tmp_path / "f.h5", "a", exist_ok=True)
    with h5py.File(tmp_path / "f.h5") as file:
        assert len(file["d"].dims[0]) == 1 and file["d"].dims[0][0] == file["x"]


# --- through a session ------------------------------------------------------------------


@pytest.mark.parametrize("kind", BUILDERS)
def test_every_kind_of_thing_comes_through_a_session(tmp_path: Path, kind: str) -> None:
    with h5py.File(tmp_path / "source.h5", "w") as file:
        BUILDERS[kind](file)
    with h5py.File(tmp_path / "source.h5") as file, safeh5.open(tmp_path / "made.h5") as session:
        session.write(MicroDataGroup.from_hdf5(file))
    assert_equal(tmp_path / "source.h5", tmp_path / "made.h5")


@pytest.mark.parametrize("source", real_files(), ids=lambda path: path.name)
def test_real_files_come_through_a_session(tmp_path: Path, source: Path) -> None:
    with h5py.File(source) as file, safeh5.open(tmp_path / "made.h5") as session:
        session.write(MicroDataGroup.from_hdf5(file))
    assert_equal(source, tmp_path / "made.h5")


def test_what_is_refused_leaves_a_session_as_it_was(tmp_path: Path) -> None:
    with safeh5.open(tmp_path / "f.h5") as session:
        session.write(MicroDataset("good", [1]))
        before = session.last_lsn
        with pytest.raises(safeh5.errors.InvalidTreeError):
            session.write([MicroDataset("fine", [1]), MicroDataset("bad", object())])
        assert session.last_lsn == before
        assert list(session.file) == ["good"]


def test_an_iterator_that_fails_takes_its_whole_tree_back(tmp_path: Path) -> None:
    def camera() -> Any:
        yield np.zeros((2, 3))
        raise ConnectionError("the camera is gone")

    with safeh5.open(tmp_path / "f.h5") as session:
        session.write(MicroDataset("good", [1]))
        with pytest.raises(ConnectionError):
            session.write(MicroDataGroup("Scan_", children=[MicroDataset("frames", camera())]))
        assert list(session.file) == ["good"]
        assert session.write(MicroDataGroup("Scan_")).paths
    with h5py.File(tmp_path / "f.h5") as file:
        assert sorted(file) == ["Scan_000", "good"]


def test_references_to_the_sessions_own_file_are_understood(tmp_path: Path) -> None:
    with safeh5.open(tmp_path / "f.h5") as session:
        session.write(MicroDataset("d", np.arange(4)))
        write_ref = session.file["d"].ref
        session.write(MicroDataGroup("g", attrs={"r": write_ref, "o": session.file["d"]}))
    with h5py.File(tmp_path / "f.h5") as file:
        assert file[file["g"].attrs["r"]] == file["d"] == file[file["g"].attrs["o"]]


def test_plans_can_be_made_and_applied_without_a_session(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        plan = write_into(file, tree())
    assert [step.path for step in plan.steps] == list(plan.paths.values())


def test_an_enum_that_is_asked_for_is_not_taken_for_the_numbers_it_is_stored_as(tmp_path: Path) -> None:
    enum = h5py.enum_dtype({"A": 1, "B": 2}, "i4")
    root, values = MicroDataGroup("/"), np.arange(3, dtype="i4")
    for turn in range(2):
        for name, dtype in (("numbers", np.dtype("i4")), ("enum", enum)):
            for options in ({}, {"compression": "gzip", "chunking": (3,)}):
                root.add_children(
                    [MicroDataset(f"{name}{turn}{len(options)}", values, dtype=dtype, **options)]
                )
    with safeh5.open(tmp_path / "run.h5") as session:
        session.write(root)
    with h5py.File(tmp_path / "run.h5") as file:
        for name, dataset in file.items():
            assert h5py.check_enum_dtype(dataset.dtype) == (
                {"A": 1, "B": 2} if name.startswith("enum") else None
            )
