"""Trees of many small objects: few records, the same file, all or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5 import MicroDataGroup, MicroDataset
from safeh5.applier import Applier
from safeh5.errors import ApplyError, InvalidTreeError, JournalError
from safeh5.journal import Kind, frames, scan
from safeh5.microdata import FileNamespace, plan_write
from safeh5.operations import codec, model
from safeh5.operations.many import put_together, taken_apart
from safeh5.session.packing import Packer
from safeh5.storage import Storage
from safeh5.testing.compare import differences


def forest(count: int, **options: Any) -> MicroDataGroup:
    values = {"i": 3, "f": 2.5, "b": True, "s": "text", "u": "größe µm", "l": [1, 2, 3], "m": [1, 2.5]}
    values |= {"a": np.arange(4, dtype=">i2"), "x": np.float32(3), "e": "", "n": np.arange(0.0), "t": "a\nb"}
    values |= {"w": ["x", "yy"], "c": 1 + 2j, "g": [True, False], "k": 2**63, "z": np.zeros((2, 3), "f4")}
    return MicroDataGroup(
        "Forest",
        children=[
            MicroDataGroup(
                f"g{n}",
                children=[MicroDataset("d", np.arange(64.0) + n, attrs=values, **options)],
                attrs={"machine_id": "m", "timestamp": "t", "number": n},
            )
            for n in range(count)
        ],
    )


def plain(path: Path, tree: MicroDataGroup) -> None:
    """The tree as its operations make it one by one, each value asked of h5py."""
    with h5py.File(path, "w") as file:
        applier = Applier(file.id)
        for operation, payload in plan_write(tree, FileNamespace(file)).operations():
            applier.apply(operation, payload)
        applier.release()


def by_h5py(path: Path, tree: MicroDataGroup) -> None:
    with h5py.File(path, "w") as file:
        top = file.create_group("Forest")
        for name in ("machine_id", "timestamp"):
            top.attrs[name] = tree.attrs[name]
        for child in tree.children:
            group = top.create_group(child.name)
            group.attrs.update(child.attrs)
            dataset = group.create_dataset("d", data=child.children[0].data)
            dataset.attrs.update(child.children[0].attrs)


@pytest.mark.parametrize("applier", ["inline", "process"])
def test_a_tree_of_small_objects_is_few_records_and_the_file_that_h5py_writes(
    target: Path, tmp_path: Path, applier: str
) -> None:
    tree = forest(60)
    with safeh5.open(target, applier=applier) as session:
        session.write(tree)
        storage = Storage()
        kinds = [frame.kind for frame in frames(storage, scan(storage, f"{target}.safeh5"))]
        assert kinds.count(Kind.OPERATION) <= 4
        assert session.file["Forest/g7/d"].attrs["s"] == "text"
    by_h5py(tmp_path / "plain.h5", tree)
    assert not list(differences(target, tmp_path / "plain.h5"))


def test_what_was_planned_quickly_is_what_h5py_makes_of_each_value(tmp_path: Path) -> None:
    values = [3, -(2**62), 2.5, float("nan"), True, False, "text", "ü" * 300, "a\x01b", [1, 2], [1.5], [True]]
    values += [np.arange(5).astype(code) for code in ("i1", ">u2", "<f4", ">f8", "?", "f2")]
    values += [np.int16(-3), np.uint64(2**64 - 1), np.float32(1.5), np.bool_(True), np.ones((2, 1, 3))]
    values += [
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(10)[::2],
        np.array(7),
        [2**63],
        (1, 2),
    ]
    for number, value in enumerate([*values, *values]):
        path = tmp_path / f"{number}.h5"
        with safeh5.open(path) as session:
            session.write(MicroDataset("d", np.arange(3), attrs={"first": value, "value": value}))
        with h5py.File(tmp_path / "plain.h5", "w") as file:
            file["d"] = np.arange(3)
            file["d"].attrs["first"] = value
            file["d"].attrs["value"] = value
        assert not list(differences(path, tmp_path / "plain.h5")), value


def test_a_killed_session_with_packed_records_is_replayed_to_the_same_file(
    target: Path, tmp_path: Path
) -> None:
    tree = forest(30, compression="gzip")
    session = safeh5.open(target)
    session.write(tree)
    session._abandon()
    safeh5.open(target, recover="replay").rollback()
    plain(tmp_path / "plain.h5", tree)
    assert not list(differences(target, tmp_path / "plain.h5"))


def test_a_tree_whose_data_fail_late_leaves_nothing(target: Path) -> None:
    def blocks() -> Any:
        yield np.zeros((2, 3))
        raise ZeroDivisionError

    with safeh5.open(target) as session:
        session.write(MicroDataset("before", np.arange(3)))
        with pytest.raises(ZeroDivisionError):
            session.write([forest(20), MicroDataset("late", blocks())])
        with pytest.raises(InvalidTreeError):
            session.write([forest(20), MicroDataset("nowhere", np.arange(3), parent="/no/such")])
        session.write(MicroDataset("after", np.arange(3)))
    with h5py.File(target) as file:
        assert sorted(file) == ["after", "before"]


def test_two_trees_in_one_batch_see_each_other(target: Path) -> None:
    with safeh5.open(target) as session, session.batch():
        for _ in range(3):
            session.write(MicroDataGroup("Point_", children=[MicroDataset("d", np.arange(4))]))
    with h5py.File(target) as file:
        assert sorted(file) == ["Point_000", "Point_001", "Point_002"]


def test_data_may_be_changed_as_soon_as_write_returns(target: Path) -> None:
    data = np.arange(64.0)
    with safeh5.open(target) as session:
        session.write(MicroDataset("d", data, attrs={"a": data}))
        data[:] = -1
    with h5py.File(target) as file:
        assert file["d"][3] == file["d"].attrs["a"][3] == 3


def test_a_refused_part_is_named(tmp_path: Path) -> None:
    made = [(model.CreateGroup(path=f"/a/{name}"), b"") for name in "xyx"]
    operation, payload = put_together(made)
    assert operation.path == "/a"
    with h5py.File(tmp_path / "f.h5", "w") as file, pytest.raises(ApplyError, match="create group of /a/x"):
        Applier(file.id).apply(codec.decode(codec.encode(operation)), payload)


def test_sizes_that_do_not_fit_the_payload_are_refused() -> None:
    operation, _ = put_together([(model.CreateGroup(path="/a"), b"")] * 2)
    with pytest.raises(JournalError, match="does not fit"):
        list(taken_apart(operation, b"x"))


def test_only_what_libhdf5_is_sure_to_take_waits() -> None:
    sure: list[bool] = []

    def record(operation: Any, payload: Any, is_sure: bool) -> int:
        sure.append(is_sure)
        return 0

    packer = Packer(record)
    i4 = h5py.h5t.NATIVE_INT32.encode()
    space = h5py.h5s.create_simple((4,)).encode()
    doubtful = [
        model.Delete(path="/a"),
        model.WriteData(path="/there", type=i4),
        model.CreateDataset(path="/b", type=i4, space=space, committed_type="/t"),
        model.CreateDataset(path="/c", type=i4, space=space, layout=model.Layout(filters=(model.Filter(6),))),
        model.SetAttribute(path="/", name="r", type=h5py.h5t.STD_REF_OBJ.encode(), space=space, packed=True),
        model.CreateHardLink(path="/h", target="/a"),
    ]
    for operation in doubtful:
        packer.take([(operation, b"")])
    assert sure == [False] * len(doubtful)
    for operation in (
        model.CreateGroup(path="/g"),
        model.CreateDataset(path="/g/d", type=i4, space=space),
        model.WriteData(path="/g/d", type=i4),
        model.SetAttribute(path="/g", name="a", type=i4, space=space),
    ):
        packer.take([(operation, b"")])
    assert len(sure) == len(doubtful)
    packer.flush()
    assert sure[len(doubtful) :] == [True] * 4
