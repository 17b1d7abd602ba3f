"""Writing trees with the applier alone, and HDF5 files that hold every kind of thing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from safeh5.applier import Applier
from safeh5.microdata import FileNamespace, MicroData, WritePlan, plan_write
from safeh5.operations.codec import decode, encode
from safeh5.testing.compare import differences

FRAME_BYTES = 4096
"""Small, so that data of tests are cut into many frames."""


def write(
    tree: MicroData | list[MicroData],
    path: Path,
    mode: str = "w",
    *,
    frame_bytes: int = FRAME_BYTES,
    **options: bool,
) -> WritePlan:
    """Plan, encode, decode and apply: what a session does, without the journal."""
    with h5py.File(path, mode) as file:
        return write_into(file, tree, frame_bytes=frame_bytes, **options)


def write_into(
    file: h5py.File, tree: MicroData | list[MicroData], *, frame_bytes: int = FRAME_BYTES, **options: bool
) -> WritePlan:
    plan = plan_write(tree, FileNamespace(file), **options)
    applier = Applier(file.id)
    for operation, payload in plan.operations(frame_bytes):
        applier.apply(decode(encode(operation)), payload)
    applier.release()
    return plan


def assert_equal(left: Path, right: Path, **options: Any) -> None:
    """Equal for the package's own comparison and, where it is installed, for h5diff."""
    found = differences(left, right, **options)
    assert not found, "\n".join(map(str, found))


def h5diff(left: Path, right: Path) -> None:
    done = subprocess.run(["h5diff", "-v", str(left), str(right)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def data_folder() -> Path | None:
    """The folder of real files, if this machine has it."""
    given = os.environ.get("SAFEH5_DATA")
    folder = Path(given) if given else Path(__file__).resolve().parents[3] / "shared" / "data"
    return folder if folder.is_dir() else None


def real_files() -> list[Path]:
    folder = data_folder()
    return [] if folder is None else sorted(p for p in folder.iterdir() if h5py.is_hdf5(p))


# --- files that hold every kind of thing --------------------------------------------

Build = Callable[[h5py.File], None]
BUILDERS: dict[str, Build] = {}


def builder(function: Build) -> Build:
    BUILDERS[function.__name__] = function
    return function


def _store(group: h5py.Group, values: Iterable[tuple[str, Any, Any]]) -> None:
    for name, data, dtype in values:
        group.create_dataset(name, data=data, dtype=dtype)
        if data is not None and not isinstance(data, h5py.Empty):
            group.attrs.create(name, data, dtype=dtype)


@builder
def numbers(file: h5py.File) -> None:
    for code in ("i1", "<i2", ">i4", "<u8", "<f2", ">f4", "f8", "c8", "c16", "?"):
        array = np.arange(24).reshape(2, 3, 4).astype(code)
        _store(file, [(code.replace("?", "bool").strip("<>"), array, None)])
    _store(file, [("long", np.arange(3, dtype=np.longdouble), None), ("scalar", 1.5, None)])


@builder
def strings(file: h5py.File) -> None:
    ascii_, utf8 = h5py.string_dtype("ascii"), h5py.string_dtype("utf-8")
    _store(
        file,
        [
            ("fixed", np.array([b"ab", b"", b"abc"]), None),
            ("fixed utf8", np.array(["é".encode(), b"x"], h5py.string_dtype("utf-8", 5)), None),
            ("vlen", np.array(["", "häß", "x" * 300], dtype=object), utf8),
            ("vlen ascii", np.array([[b"a"], [b"b"]], dtype=object), ascii_),
            ("scalar vlen", "text", None),
            ("scalar fixed", np.bytes_(b"text"), None),
            ("opaque", np.array([b"\0\1", b"\2\3"], dtype="V2"), None),
        ],
    )


@builder
def compounds(file: h5py.File) -> None:
    plain = np.dtype(
        {"names": ["a", "b"], "formats": ["<f4", "(2,3)<i2"], "offsets": [4, 12], "itemsize": 30}
    )
    nested = np.dtype([("n", plain), ("s", h5py.string_dtype()), ("v", h5py.vlen_dtype("<i4")), ("ok", "?")])
    rows = np.zeros(4, dtype=nested)
    rows["n"]["a"], rows["ok"] = np.arange(4), [True, False, True, False]
    rows["s"] = ["a", "b", "", "d"]
    for i in range(4):
        rows["v"][i] = np.arange(i, dtype="<i4")
    _store(file, [("plain", np.ones(3, plain), None), ("nested", rows, None)])


@builder
def ragged(file: h5py.File) -> None:
    kinds = {
        "ints": "<i2",
        "floats": ">f8",
        "complex": ">c8",
        "strings": h5py.string_dtype(),
        "pairs": [("x", "f4"), ("y", "i1")],
    }
    for name, base in kinds.items():
        dtype = h5py.vlen_dtype(np.dtype(base))
        values = np.empty((2, 2), dtype=dtype)
        for i, index in enumerate(np.ndindex(2, 2)):
            row = ["s" * n for n in range(i)] if name == "strings" else range(1, i + 1)
            # h5py before 3.15 cannot read an empty row of a compound.
            pairs = [(n, n) for n in range(i + 1)] if name == "pairs" else list(row)
            values[index] = np.array(pairs, dtype=base)
        _store(file, [(name, values, dtype)])
    inner = h5py.vlen_dtype(np.dtype(">i4"))
    rows, nested = np.empty(2, inner), np.empty(1, h5py.vlen_dtype(inner))
    rows[0], rows[1] = np.array([1], ">i4"), np.array([2, 3], ">i4")
    nested[0] = rows
    table = np.zeros(1, [("rows", inner), ("x", ">f4")])
    table["rows"][0] = np.array([1, 2], ">i4")
    _store(file, [("nested", nested, None), ("table", table, None)])


@builder
def enums(file: h5py.File) -> None:
    dtype = h5py.enum_dtype({"RED": 0, "GREEN": 1, "BLUE": 42}, basetype="i2")
    _store(file, [("enum", np.array([[0, 42]], dtype=dtype), dtype)])
    file.create_dataset("pairs", (3,), np.dtype(("f4", (2, 2))))[1] = np.ones((2, 2))


@builder
def spaces(file: h5py.File) -> None:
    file["null"], file.attrs["null"] = h5py.Empty("f4"), h5py.Empty("S10")
    file["no rows"], file.attrs["no rows"] = np.empty((0, 3), "i2"), np.empty((0, 3), "i2")
    file.create_dataset("no strings", (0,), h5py.string_dtype(), maxshape=(None,))
    file.create_dataset("grows", (3, 4), "f4", maxshape=(None, 9), chunks=(2, 2))
    file.create_dataset("never written", (10**6, 10**3), "f8", chunks=(1000, 1000))
    file.create_dataset("never written either", (10**4, 10**4), "f8")
    sparse = file.create_dataset("hardly written", (1000, 1000), "f8", chunks=(7, 100))
    sparse[3, 5], sparse[999, 999] = 1, 2
    file["limited"] = np.arange(3)
    shrunk = file.create_dataset("shrunk", data=np.arange(100), chunks=(10,), maxshape=(None,))
    shrunk.resize((45,))


@builder
def layouts(file: h5py.File) -> None:
    data = np.arange(60, dtype="<i4").reshape(10, 6)
    file.create_dataset(
        "gzip", data=data, chunks=(3, 4), compression="gzip", compression_opts=9, shuffle=True
    )
    file.create_dataset("lzf", data=data, chunks=True, compression="lzf", fletcher32=True)
    file.create_dataset("szip", data=data, chunks=(5, 6), compression="szip")
    file.create_dataset("scaleoffset", data=data.astype("f4") / 7, chunks=(5, 3), scaleoffset=2)
    file.create_dataset("integers scaled", data=data, chunks=(5, 3), scaleoffset=True)
    file.create_dataset(
        "strings", data=["a", "b"] * 4, chunks=(3,), compression="gzip", dtype=h5py.string_dtype()
    )
    file.create_dataset("fill", (4,), "f4", fillvalue=np.nan)
    file.create_dataset("fill text", (4,), h5py.string_dtype(), fillvalue="none")
    file.create_dataset("fill fixed", (4,), "S5", fillvalue=b"none")
    never = h5p.create(h5p.DATASET_CREATE)
    never.set_fill_time(h5d.FILL_TIME_NEVER)
    h5d.create(file.id, b"fill never", h5t.STD_I32LE, h5s.create_simple((4,)), never)
    file.create_dataset("ordered", data=data, track_order=True).attrs.update({"z": 1, "a": 2})
    file.create_dataset("timed", data=1, track_times=True)
    compact = h5p.create(h5p.DATASET_CREATE)
    compact.set_layout(h5d.COMPACT)
    made = h5d.create(file.id, b"compact", h5t.STD_I16BE, h5s.create_simple((3,)), compact)
    made.write(h5s.ALL, h5s.ALL, np.arange(3, dtype=">i2"))


@builder
def plugins(file: h5py.File) -> None:
    data = np.linspace(0, 1, 600, dtype="f4").reshape(20, 30)
    filters = [hdf5plugin.Blosc(), hdf5plugin.Bitshuffle(), hdf5plugin.Zstd(), hdf5plugin.LZ4()]
    filters += [hdf5plugin.Blosc2(), hdf5plugin.BZip2(), hdf5plugin.Zfp(rate=8), hdf5plugin.SZ3(absolute=0.1)]
    filters += [hdf5plugin.Sperr(rate=4)]
    for one in filters:
        file.create_dataset(type(one).__name__, data=data, chunks=(7, 30), compression=one)


@builder
def links(file: h5py.File) -> None:
    file["a/b/data"] = np.arange(3)
    file["a/also"] = file["a/b/data"]
    file["again"] = file["a"]
    file["a/b/up"] = file["a"]
    file["a/b/root"] = file["/"]
    file["soft"] = h5py.SoftLink("/a/b")
    file["dangling"] = h5py.SoftLink("nowhere/at all")
    file["outside"] = h5py.ExternalLink("other.h5", "/x")
    ordered = file.create_group("ordered", track_order=True)
    for name in "zyxabc":
        ordered.create_group(name)
        ordered.attrs[name] = name
    ordered["first of all"] = file["again"]
    file["unicode é/$\\sqrt E$ 漢"] = 1


@builder
def references(file: h5py.File) -> None:
    data = file.create_dataset("group/data", data=np.arange(50).reshape(5, 10))
    group, regions = file["group"], [data.regionref[1:3], data.regionref[:, 4], data.regionref[[0, 2], 3:7:2]]
    file.attrs["object"], file.attrs["region"] = data.ref, regions[0]
    file.attrs.create("objects", np.array([data.ref, group.ref, file.ref], object), dtype=h5py.ref_dtype)
    file.create_dataset("objects", data=np.array([data.ref, group.ref], object), dtype=h5py.ref_dtype)
    file.create_dataset("unset", (3,), h5py.ref_dtype)
    file.create_dataset("regions", data=np.array(regions, object), dtype=h5py.regionref_dtype)
    table = np.zeros(2, dtype=[("r", h5py.ref_dtype), ("n", "i4")])
    table["r"] = [data.ref, group.ref]
    file["table"], file.attrs["table"] = table, table
    rows = np.empty(2, dtype=h5py.vlen_dtype(h5py.ref_dtype))
    rows[0], rows[1] = np.array([data.ref], object), np.array([group.ref, data.ref], object)
    file.create_dataset("rows", data=rows, dtype=h5py.vlen_dtype(h5py.ref_dtype))
    points = data.id.get_space()
    points.select_elements([(0, 0), (4, 9)])
    data.attrs["points"] = h5py.h5r.create(data.id, b".", h5py.h5r.DATASET_REGION, points)


@builder
def scales(file: h5py.File) -> None:
    data = file.create_dataset("data", data=np.zeros((3, 4)))
    for axis, name in enumerate(["x", "y"]):
        file[name] = np.arange(3 + axis)
        file[name].make_scale(f"the {name} axis")
        data.dims[axis].attach_scale(file[name])
        data.dims[axis].label = name


@builder
def committed(file: h5py.File) -> None:
    file["data"] = 0
    file["z type"] = np.dtype([("a", "f4"), ("b", "i2")])
    file["z type"].attrs["note"] = "of a type"
    file.create_dataset("before its type", (2,), file["z type"])
    file.attrs.create("with type", np.zeros(2, file["z type"].dtype), dtype=file["z type"])


@builder
def comments(file: h5py.File) -> None:
    file.create_group("said")
    h5py.h5o.set_comment(file["said"].id, b"what was said")


@builder
def elsewhere(file: h5py.File) -> None:
    file.create_dataset("here", data=np.arange(12).reshape(3, 4))
    layout = h5py.VirtualLayout((2, 3, 4), "i8")
    layout[0] = h5py.VirtualSource(".", "here", shape=(3, 4))
    layout[1, :2] = h5py.VirtualSource("missing.h5", "there", shape=(3, 4))[:2]
    file.create_virtual_dataset("virtual", layout, fillvalue=-1)
