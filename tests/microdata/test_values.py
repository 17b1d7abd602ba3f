"""What a dataset or attribute becomes: the same as when plain h5py makes it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from safeh5.microdata import (
    EmptyMicroDataset,
    MicroDataGroup,
    MicroDataset,
    MicroDatatype,
)
from safeh5.testing.compare import assert_same
from tests.microdata.writing import write

UTF8, ASCII = h5py.string_dtype(), h5py.string_dtype("ascii")
COMPOUND = np.dtype([("x", "<f4"), ("name", UTF8), ("rows", h5py.vlen_dtype("i2")), ("ok", "?")])


def ragged(*rows: Any, base: Any = "i4") -> np.ndarray:
    out = np.empty(len(rows), dtype=h5py.vlen_dtype(np.dtype(base)))
    for i, row in enumerate(rows):
        out[i] = np.array(row, base)
    return out


def records() -> np.ndarray:
    out = np.zeros(3, COMPOUND)
    out["name"], out["ok"] = ["a", "", "ü"], [True, False, True]
    for i in range(3):
        out["rows"][i] = np.arange(i, dtype="i2")
    return out


def same(tmp_path: Path, node: MicroDataset, plain: Callable[[h5py.File], Any]) -> None:
    """`node` at ``/d`` is what `plain` makes."""
    write(node, tmp_path / "ours.h5")
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        plain(file)
    assert_same(tmp_path / "ours.h5", tmp_path / "plain.h5")


DATA: dict[str, Any] = {
    "float": np.linspace(0, 1, 5000).reshape(50, 100),
    "big endian": np.arange(5, dtype=">u2"),
    "half": np.array([1, 0.1, np.nan, np.inf], "f2"),
    "complex": np.array([1 + 2j, 3], "c8"),
    "bool": np.array([True, False]),
    "bytes": np.array([b"a", b"bcd"]),
    "opaque": np.array([b"\0a"], "V2"),
    "compound": np.zeros(4, [("a", "i1"), ("b", "<f8", (2, 3))]),
    "fortran order": np.asfortranarray(np.arange(600.0).reshape(20, 30)),
    "view": np.arange(1000)[::-3],
    "no elements": np.empty((0, 3)),
    "scalar": 3,
    "float scalar": np.float32(1.5),
    "text": "häß",
    "raw text": b"abc",
    "list": [[1, 2], [3, 4]],
    "null": h5py.Empty("i2"),
    "records": records(),
    "ragged": ragged([1, 2], [], [3]),
    "ragged floats": ragged([1.5], [2, 3], base=">f8"),
    "strings": np.array(["a", "", "ü" * 200], UTF8),
    "ascii": np.array([b"a", b"b"], ASCII),
    "enum": np.array([0, 42], h5py.enum_dtype({"RED": 0, "BLUE": 42})),
}


@pytest.mark.parametrize("kind", DATA)
def test_data_mean_what_h5py_makes_of_them(tmp_path: Path, kind: str) -> None:
    same(tmp_path, MicroDataset("d", DATA[kind]), lambda f: f.create_dataset("d", data=DATA[kind]))


@pytest.mark.parametrize("kind", sorted(set(DATA) - {"float"}))
def test_attributes_mean_what_h5py_makes_of_them(tmp_path: Path, kind: str) -> None:
    def plain(file: h5py.File) -> None:
        file["d"] = 1
        file["d"].attrs["a"] = DATA[kind]

    same(tmp_path, MicroDataset("d", 1, attrs={"a": DATA[kind]}), plain)


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (np.arange(300.0) + 0.9, "i4"),
        (np.arange(300) * 10, "u1"),
        (np.arange(300) * 0.1, "f2"),
        ([1.9, 2], "i2"),
        (["a", "b"], UTF8),
        ([0, 42], h5py.enum_dtype({"RED": 0, "BLUE": 42})),
        (np.array(["a", "bc"], object), UTF8),
        (True, "?"),
        ("text", ASCII),
    ],
)
def test_data_are_converted_to_the_type_that_is_wanted_as_h5py_does(
    tmp_path: Path, data: Any, dtype: Any
) -> None:
    same(tmp_path, MicroDataset("d", data, dtype), lambda f: f.create_dataset("d", data=data, dtype=dtype))


@pytest.mark.parametrize(
    ("data", "dtype", "stored", "expected"),
    [
        (np.array(["a", "ü"]), None, UTF8, ["a", "ü"]),
        (["a", "ü"], None, UTF8, ["a", "ü"]),
        (np.array(["a", "ü"], object), None, UTF8, ["a", "ü"]),
        (np.array(["a", "ü"]), str, UTF8, ["a", "ü"]),
        (np.array(["a", "ü"]), h5py.string_dtype("utf-8", 4), h5py.string_dtype("utf-8", 4), ["a", "ü"]),
        (np.array([b"a", b"bc"]), UTF8, UTF8, ["a", "bc"]),
        (np.array([1.0, 2.0]), "c16", "c16", [1, 2]),
        ([[1, 2], [3]], h5py.vlen_dtype("i4"), h5py.vlen_dtype("i4"), [[1, 2], [3]]),
        (np.array([1, 2], object), "i8", "i8", [1, 2]),
        ([[1, 2], [3, 4]], h5py.vlen_dtype("i4"), h5py.vlen_dtype("i4"), [[1, 2], [3, 4]]),
    ],
)
def test_what_h5py_refuses_for_no_good_reason_is_taken(
    tmp_path: Path, data: Any, dtype: Any, stored: Any, expected: Any
) -> None:
    write(MicroDataset("d", data, dtype), tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        dataset = file["d"]
        assert dataset.dtype == stored
        strings = h5py.check_string_dtype(dataset.dtype) is not None
        values = dataset.asstr()[()] if strings else dataset[()]
        assert [list(v) if isinstance(v, np.ndarray) else v for v in values] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.str_("é"), "é"),
        (np.array(["a", "é"]), ["a", "é"]),
        (["a", "é"], ["a", "é"]),
        (enum.IntEnum("E", {"A": 7}).A, 7),  # type: ignore[attr-defined]
    ],
)
def test_attributes_take_numpys_own_strings_and_enums(tmp_path: Path, value: Any, expected: Any) -> None:
    write(MicroDataGroup("g", attrs={"a": value, "no": None}), tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        found = file["g"].attrs["a"]
        assert (list(found) if isinstance(found, np.ndarray) else found) == expected
        assert "no" not in file["g"].attrs


ROUND = np.arange(6000, dtype="i4").reshape(100, 60)
STORAGE: dict[str, dict[str, Any]] = {
    "guessed chunks": {"chunks": True},
    "gzip": {"compression": "gzip"},
    "gzip level": {"compression": 7, "chunks": (7, 60)},
    "gzip options": {"compression": "gzip", "compression_opts": 1, "shuffle": True, "fletcher32": True},
    "lzf": {"compression": "lzf", "chunks": (33, 60)},
    "szip": {"compression": "szip", "compression_opts": ("ec", 8)},
    "scaleoffset": {"scaleoffset": 0},
    "scaleoffset auto": {"scaleoffset": True},
    "fill": {"fillvalue": -7},
    "times": {"track_times": True},
    "order": {"track_order": True},
    "blosc": {"compression": hdf5plugin.Blosc(cname="zstd"), "chunks": (10, 60)},
    "blosc spread": dict(hdf5plugin.Blosc()),
    "bitshuffle": {"compression": hdf5plugin.Bitshuffle()},
    "bitshuffle zstd": {"compression": hdf5plugin.Bitshuffle(cname="zstd")},
    "zstd": {"compression": hdf5plugin.Zstd(), "shuffle": True},
    "by number": {"compression": 32004, "compression_opts": (0,)},
}


@pytest.mark.parametrize("kind", STORAGE)
def test_storage_options_are_h5pys(tmp_path: Path, kind: str) -> None:
    options = dict(STORAGE[kind])
    ours = {"chunking" if name == "chunks" else name: value for name, value in options.items()}
    same(tmp_path, MicroDataset("d", ROUND, **ours), lambda f: f.create_dataset("d", data=ROUND, **options))


@pytest.mark.parametrize("lossy", [hdf5plugin.Zfp(rate=8), hdf5plugin.SZ3(absolute=0.1)])
def test_lossy_filters_are_h5pys(tmp_path: Path, lossy: Any) -> None:
    data = np.linspace(0, 1, 400, dtype="f4").reshape(20, 20)
    options = {"compression": lossy}
    # One frame holds it whole: a chunk written in two pieces would lose twice.
    write(MicroDataset("d", data, **options), tmp_path / "ours.h5", frame_bytes=1 << 20)
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file.create_dataset("d", data=data, **options)
    assert_same(tmp_path / "ours.h5", tmp_path / "plain.h5")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("never", h5py.h5d.FILL_TIME_NEVER),
        ("alloc", h5py.h5d.FILL_TIME_ALLOC),
        ("ifset", h5py.h5d.FILL_TIME_IFSET),
    ],
)
def test_the_fill_time_is_what_was_asked_for(tmp_path: Path, name: str, code: int) -> None:
    write(EmptyMicroDataset("d", (4,), "f4", fill_time=name), tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        assert file["d"].id.get_create_plist().get_fill_time() == code


def test_a_fill_value_of_text_stands_where_nothing_was_written(tmp_path: Path) -> None:
    nodes = [
        EmptyMicroDataset("vlen", (2,), UTF8, fillvalue="none"),
        EmptyMicroDataset("fixed", (2,), "S6", fillvalue=b"none"),
        EmptyMicroDataset("compound", (2,), [("a", "i4")], fillvalue=np.array((7,), [("a", "i4")])),
    ]
    write(nodes, tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        assert list(file["vlen"].asstr()[()]) == ["none"] * 2
        assert list(file["fixed"][()]) == [b"none"] * 2
        assert list(file["compound"]["a"]) == [7, 7]


# --- shapes -------------------------------------------------------------------------

GROWS: dict[str, Any] = {"resizable": True, "maxshape": (None, 8)}
SHAPES: list[tuple[dict[str, Any], tuple[int, ...], tuple[int | None, ...]]] = [
    ({"data": [], "dtype": "f4", "maxshape": [7, 5, 3]}, (7, 5, 3), (7, 5, 3)),
    ({"data": None, "dtype": "f4", "maxshape": 4}, (4,), (4,)),
    ({"data": [], "dtype": "f4"}, (0,), (0,)),
    ({"data": np.ones((2, 3)), "resizable": True}, (2, 3), (None, None)),
    ({"data": np.ones((2, 3)), "resizable": True, "maxshape": (None, 3)}, (2, 3), (None, 3)),
    ({"data": np.ones((2, 3)), "maxshape": (4, 3)}, (4, 3), (4, 3)),
    ({"data": None, "dtype": "f4", **GROWS}, (0, 8), (None, 8)),
    ({"data": [], "dtype": "f4", **GROWS}, (0, 8), (None, 8)),
    ({"data": None, "dtype": "f4", **GROWS, "chunking": (2, 8)}, (2, 8), (None, 8)),
    ({"data": np.empty((0, 8)), **GROWS, "chunking": (2, 8)}, (0, 8), (None, 8)),
    ({"data": [], "dtype": "i2", "resizable": True}, (0,), (None,)),
    ({"data": None, "dtype": "i2", "shape": (3, 4)}, (3, 4), (3, 4)),
]


@pytest.mark.parametrize(("options", "shape", "maxshape"), SHAPES)
def test_shapes_are_pycroscopys(
    tmp_path: Path, options: dict[str, Any], shape: tuple[int, ...], maxshape: tuple[int | None, ...]
) -> None:
    write(MicroDataset("d", **options), tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        assert (file["d"].shape, file["d"].maxshape) == (shape, maxshape)
        assert (file["d"].chunks is not None) == bool(options.get("resizable"))
        if isinstance(options["data"], np.ndarray):
            given = options["data"]
            box = tuple(slice(n) for n in given.shape)
            np.testing.assert_array_equal(file["d"][box], given)
            assert file["d"][()].sum() == given.sum()


def test_a_list_of_tuples_with_text_and_rows_is_a_table(tmp_path: Path) -> None:
    write(MicroDataset("d", [(1, "a", [1, 2], True), (2, "", [], False)], COMPOUND), tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        assert [[r["x"], r["name"], list(r["rows"]), r["ok"]] for r in file["d"]] == [
            [1, b"a", [1, 2], True],
            [2, b"", [], False],
        ]


# --- types and scales -----------------------------------------------------------------


def test_datasets_share_a_committed_type(tmp_path: Path) -> None:
    kind = MicroDatatype("z kind", [("a", "f4")], attrs={"unit": "V"})
    nodes = [MicroDataset("a", None, kind, maxshape=3), kind, MicroDataset("b", [(1,)], kind)]
    write(MicroDataGroup("/", children=nodes), tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5", "a") as file:
        assert file["z kind"].attrs["unit"] == "V"
        for name in "ab":
            assert file[name].id.get_type().committed()
            assert h5py.h5i.get_name(file[name].id.get_type()) == b"/z kind"
        write_again = MicroDataset("c", [(2,)], file["z kind"])
        from tests.microdata.writing import write_into

        write_into(file, write_again)
        assert h5py.h5i.get_name(file["c"].id.get_type()) == b"/z kind"


def test_dimension_scales_are_hdf5s(tmp_path: Path) -> None:
    x, y = MicroDataset("x", [1, 2], scale="the x axis"), MicroDataset("y", [1, 2, 3])
    other = MicroDataset("other", [1, 2, 3], scale=True)
    data = MicroDataset("data", np.eye(2, 3), scales={0: x, 1: [y, "/other"]}, axis_labels=("", "why"))
    write(MicroDataGroup("/", children=[data, x, y, other]), tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        dims = file["data"].dims
        assert [d.label for d in dims] == ["", "why"]
        assert dims[0][0] == file["x"] and dims[0].keys() == ["the x axis"]
        assert [dims[1][0], dims[1][1]] == [file["y"], file["other"]]
        assert file["y"].is_scale and file["x"].is_scale
