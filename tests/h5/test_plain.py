"""Plain values take a short way: the outcome is that of the long one, all or nothing, whatever is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.applier import direct
from safeh5.h5 import journaled_file, remembered
from safeh5.journal import Kind, frames, scan
from safeh5.operations import codec
from safeh5.storage import Storage
from tests.h5.tape import Tape, three_ways

VALUES: dict[str, Any] = {
    "int": 5, "negative": -3, "largest": 2**63 - 1, "too large": 2**63, "float": 2.5, "bool": True,
    "string": "V", "unicode": "\u00b5m", "empty string": "", "bytes": b"raw",
    "int8": np.int8(3), "float16": np.float16(1.5), "big endian": np.array([1, 2], ">i4"),
    "longdouble": np.longdouble(1.25), "complex": 1 + 2j, "list": [1, 2, 3], "strings": ["a", "bc"],
    "floats": [1.0, 2], "tuple": (1, 2), "nested": [[1, 2], [3, 4]], "large ints": [2**63, 1],
    "no list": [], "bool list": [True, False], "bytes list": [b"a", b"bc"], "numpy bool": np.bool_(True),
    "objects": np.array(["a", "bc"], object), "fixed": np.array([b"a", b"bc"]),
    "long list": list(range(2000)),
    "array": np.arange(6.0).reshape(2, 3), "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "every other": np.arange(9)[::2], "no elements": np.zeros((0, 3)), "booleans": np.array([True, False]),
    "scalar array": np.array(7, "u2"), "masked": np.ma.masked_array([1, 2], mask=[False, True]),
    "enum": np.array([1, 0], h5py.enum_dtype({"OFF": 0, "ON": 1}, "i4")),
    "compound": np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]), "large": np.arange(5000.0),
}  # fmt: skip

NEVER_FILLED: list[dict[str, Any]] = (
    [{"fill_time": "never"}] if h5py.version.version_tuple[:2] >= (3, 12) else []
)
ARGUMENTS: list[dict[str, Any]] = [
    {}, {"chunks": (2, 2)}, {"chunks": True}, {"maxshape": (None, 6)}, {"compression": "gzip"},
    {"compression": "gzip", "compression_opts": 1, "shuffle": True}, {"compression": 1}, {"chunks": (1, 6)},
    {"fletcher32": True}, {"scaleoffset": 2}, {"track_times": True}, {"track_order": True},
    {"fillvalue": 3}, {"fillvalue": 3.0}, {"fillvalue": -0.0}, {"fillvalue": 0.0}, {"fillvalue": True},
    {"fillvalue": float("nan"), "dtype": "f8"}, {"fillvalue": np.float32(2)}, {"fillvalue": 0},
    {"dtype": "f4"}, {"shape": (6, 4)}, *NEVER_FILLED,
    {"shape": (4, 6), "dtype": "f4"}, {"dtype": ">i2"}, {"dtype": "f2"}, {"dtype": float},
    {"compression": "lzf"}, {"maxshape": (4, 6)}, {"rdcc_nbytes": 4096}, {"track_order": False},
]  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(remembered, "_datasets", {})
    monkeypatch.setattr(remembered, "_groups", {})
    yield


def test_values_of_every_kind_give_what_they_give_in_h5py(tmp_path: Path) -> None:
    def scenario(f: h5py.File) -> None:
        for turn in ("first", "second"):
            group = f.create_group(turn)
            for name, value in VALUES.items():
                group.attrs[name] = value
                group.attrs[name.encode()] = value
                made = group.create_dataset(name, data=value)
                made.attrs["of"] = value
                assert made.parent == group and made.name == f"/{turn}/{name}"

    three_ways(scenario, tmp_path)


@pytest.mark.parametrize("dtype", ["f4", np.uint8, ">i4", bool, np.dtype("f2"), "S4", h5py.string_dtype()])
def test_a_dtype_that_is_asked_for_is_the_one_that_is_stored(dtype: Any, tmp_path: Path) -> None:
    def scenario(f: h5py.File) -> None:
        for turn in range(2):
            values = ("4",) if np.dtype(dtype).kind in "SO" else (4, 2.75, [0, 2], np.arange(3.0), np.True_)
            for number, value in enumerate(values):
                f.attrs.create(f"{number} {turn}", value, dtype=dtype)
                f.attrs.create(f"{number} in shape {turn}", value, np.asarray(value).shape, dtype)
                if dtype is not bool and value is not np.True_:
                    f.create_dataset(f"{number} {turn}", data=value, dtype=dtype)

    three_ways(scenario, tmp_path)


@pytest.mark.parametrize("order", [False, True])
def test_arguments_remembered_give_what_they_gave_the_first_time(order: bool, tmp_path: Path) -> None:
    values = np.arange(24.0).reshape(4, 6)

    def scenario(f: h5py.File) -> None:
        with _order(order):
            for turn in ("a", "b"):
                for number, arguments in enumerate(ARGUMENTS):
                    f.create_dataset(f"{turn}/{number}", data=values, **arguments)
                    f.create_dataset(f"{turn}/{number}i", data=values.astype("i4"), **arguments)
                    f.create_dataset(f"{turn}/{number}l", data=values.tolist(), **arguments)
                    f.create_dataset(f"{turn}/{number}e", **{"shape": (4, 6), "dtype": "i4", **arguments})
                for number, arguments in enumerate(({}, {"track_order": True}, {"track_order": False})):
                    group = f.create_group(f"{turn}{number}", **arguments)
                    for name in ("z", "a"):
                        group.create_group(name).attrs[name] = number
                    f.create_group(f"above{turn}/{number}/below", **arguments)

    three_ways(scenario, tmp_path)


class _order:
    """h5py's default for the order of attributes, for the time of a block."""

    def __init__(self, order: bool) -> None:
        self.order = order

    def __enter__(self) -> None:
        self.before = h5py.get_config().track_order
        h5py.get_config().track_order = self.order

    def __exit__(self, *error: object) -> None:
        h5py.get_config().track_order = self.before


def test_names_mean_what_they_mean_in_h5py(tmp_path: Path) -> None:
    def scenario(f: h5py.File) -> None:
        f["soft"] = h5py.SoftLink("/g")
        for turn in range(2):
            g = f.require_group("g")
            for name in (
                "a",
                "b/c",
                "/g/absolute",
                "//odd",
                "./here",
                "gr\u00fcn/\u7eff",
                "b/./d",
                "with space",
            ):
                parent, _, leaf = name.rpartition("/")
                made = g.create_dataset(f"{parent}/{leaf}{turn}" if parent else f"{leaf}{turn}", data=1.5)
                made.attrs["turn"] = turn
            f.create_dataset(f"soft/by_link{turn}", data="x")
            f.create_dataset(f"top{turn}", data=3)

    three_ways(scenario, tmp_path)


def test_a_dataset_and_its_values_are_one_record(tmp_path: Path) -> None:
    def scenario(f: h5py.File) -> None:
        for number in range(3):
            f.create_dataset(f"d{number}", data=np.arange(3), chunks=(3,)).attrs["n"] = number

    assert three_ways(scenario, tmp_path).kinds == [
        "CreateDataset", "WriteData", "SetAttribute", *["Many", "SetAttribute"] * 2
    ]  # fmt: skip


MAKERS: dict[str, Callable[[h5py.File, str], Any]] = {
    "a value": lambda f, name: f.create_dataset(name, data=1.0),
    "no value": lambda f, name: f.create_dataset(name, (3,), "i4"),
    "a group": lambda f, name: f.create_group(name),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
@pytest.mark.parametrize("name", ["taken", "taken/below", "g", "."])
def test_what_h5py_refuses_is_refused_alike_however_often_it_was_made_before(
    name: str, make: Callable[[h5py.File, str], Any], tmp_path: Path
) -> None:
    def furnish(f: h5py.File) -> None:
        f.create_group("g")
        for other in ("taken", "other"):
            f.create_dataset(other, data=1.0)
            make(f, f"{other}_too")

    with h5py.File(tmp_path / "plain.h5", "w") as plain:
        furnish(plain)
        try:
            expected: Any = make(plain, name)
        except Exception as error:
            expected = error
    tape = Tape(tmp_path / "live.h5")
    with journaled_file(tape) as file:
        furnish(file)
        before = list(tape.records)
        if isinstance(expected, Exception):
            with pytest.raises(type(expected)):
                make(file, name)
            assert tape.records == before
        else:
            assert type(make(file, name)) is type(expected)


def test_values_that_hdf5_refuses_leave_neither_a_dataset_nor_a_record(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError("Can't write data (refused)")

    with safeh5.File(target, "w") as file:
        group = file.create_group("g")
        for name in ("first", "second"):
            group.create_dataset(name, data=1.0)
        with monkeypatch.context() as patch:
            patch.setattr(direct, "_write", refuse)
            with pytest.raises(OSError, match="refused"):
                group.create_dataset("third", data=1.0)
        assert sorted(group) == ["first", "second"]
        group.create_dataset("third", data=3.0)
        assert group["third"][()] == 3.0
    with h5py.File(target) as plain:
        assert plain["g/third"][()] == 3.0


def test_a_dataset_in_a_group_that_has_moved_is_recorded_where_the_group_is(tmp_path: Path) -> None:
    def scenario(f: h5py.File) -> None:
        g = f.create_group("old")
        for number in range(2):
            g.create_dataset(f"d{number}", data=number)
        f.move("old", "new")
        late = g.create_dataset("late", data=2)
        late.attrs["x"] = late.name

    tape = three_ways(scenario, tmp_path)
    assert tape.operations[-2].path == "/new/late"


def test_in_a_batch_that_is_cancelled_no_dataset_is_left(target: Path) -> None:
    session = safeh5.open(target, "w")
    file = journaled_file(session)
    for number in range(2):
        file.create_dataset(f"kept{number}", data=number)
    with pytest.raises(RuntimeError, match="changed my mind"), session.batch():
        file.create_dataset("dropped", data=2)
        file["kept0"].attrs["dropped"] = 1
        raise RuntimeError("changed my mind")
    session.commit()
    with h5py.File(target) as plain:
        assert sorted(plain) == ["kept0", "kept1"] and not plain["kept0"].attrs


KILLED = """
    import os, signal, sys
    import numpy as np
    import safeh5
    from safeh5.storage import handles

    left = int(sys.argv[1])
    write = handles.AppendFile._do_write

    def killed(self, views):
        global left
        left -= len(views) and "journal-" in self.path
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(self, views)

    file = safeh5.File(sys.argv[2], "w")
    file.create_dataset("d000", data=np.arange(3))
    handles.AppendFile._do_write = killed
    for number in range(1, 100):
        print(number, flush=True)
        file.create_dataset(f"d{number:03}", data=np.arange(3) + number).attrs["n"] = number
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("writes", [0, 1, 2, 3, 17])
def test_a_kill_at_any_write_leaves_datasets_with_their_values_and_loses_none_that_was_made(
    writes: int, target: Path
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(writes), str(target)]
    done = subprocess.run(command, check=False, timeout=100, stdout=subprocess.PIPE)
    assert done.returncode == -signal.SIGKILL
    begun = int(done.stdout.split()[-1])
    safeh5.recover(target)
    with h5py.File(target) as plain:
        names = sorted(plain)
        assert len(names) in (begun, begun + 1)
        for number, name in enumerate(names):
            assert plain[name][:].tolist() == [number, number + 1, number + 2]
        assert all(plain[name].attrs["n"] == int(name[1:]) for name in names[1:begun])


@pytest.mark.parametrize("durability", ["record", "interval", "flush"])
def test_every_durability_journals_the_same(durability: str, target: Path) -> None:
    with safeh5.File(target, "w", durability=durability) as file:
        for number in range(3):
            file.create_dataset(f"d{number}", data=number).attrs["n"] = "x"
        file.flush()
        storage = Storage()
        found = frames(storage, scan(storage, f"{target}.safeh5"))
        kinds = [type(codec.decode(each.meta)).__name__ for each in found if each.kind is Kind.OPERATION]
    assert kinds == ["CreateDataset", "WriteData", "SetAttribute", *["Many", "SetAttribute"] * 2]
    with h5py.File(target) as plain:
        assert [plain[f"d{n}"][()] for n in range(3)] == [0, 1, 2]


def test_an_object_at_the_address_of_one_that_was_removed_is_recorded_by_its_own_path(target: Path) -> None:
    file = safeh5.File(target, "w")
    for number in range(20):
        name = f"g{number}"
        file.create_group(name)
        file[name].attrs["n"] = number  # by another identifier, which does not know its path
        if number % 2:
            del file[name]
    file.move("g0", "moved")
    file["moved"].attrs["n"] = "moved"
    file["moved"].create_dataset("d", data=1)
    file.session._abandon()
    safeh5.recover(target)
    with h5py.File(target) as plain:
        assert sorted(plain) == sorted([*(f"g{n}" for n in range(2, 20, 2)), "moved"])
        assert all(plain[f"g{n}"].attrs["n"] == n for n in range(2, 20, 2))
        assert plain["moved"].attrs["n"] == "moved" and list(plain["moved"]) == ["d"]
