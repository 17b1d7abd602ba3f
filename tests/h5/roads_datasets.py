"""What is done through h5py to datasets."""

from __future__ import annotations

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from tests.h5.tape import Scenario


def layouts(f: h5py.File) -> None:
    data = np.random.default_rng(7).integers(0, 9, (20, 30)).astype("i4")
    f.create_dataset("contiguous", data=data)
    f.create_dataset("chunked", data=data, chunks=(7, 9), maxshape=(None, 40))
    f.create_dataset("gzip", data=data, compression=9, shuffle=True, fletcher32=True)
    f.create_dataset("lzf", data=data, compression="lzf")
    f.create_dataset("scaleoffset", data=data, scaleoffset=0)
    f.create_dataset("filled", (5,), "f4", fillvalue=3.5)
    f.create_dataset("strings", (5,), h5py.string_dtype(), fillvalue="none")
    f.create_dataset("fixed", (5,), "S7", fillvalue=b"none")
    f.create_dataset("tracked", (2,), "u1", track_order=True)
    f.create_dataset("empty", data=h5py.Empty("f8"))
    f.create_dataset("nothing", (0, 3), "f8", maxshape=(None, 3))
    f.create_dataset("scalar", data=5)
    f.create_dataset_like("like", f["gzip"])
    f.require_dataset("required", (2, 2), "i2")
    dcpl = h5p.create(h5p.DATASET_CREATE)
    dcpl.set_layout(h5d.COMPACT)
    dcpl.set_fill_time(h5d.FILL_TIME_ALLOC)
    h5d.create(f.id, b"compact", h5t.NATIVE_INT16, h5s.create_simple((4,)), dcpl)


def virtual_datasets(f: h5py.File) -> None:
    f.create_dataset("source", data=np.arange(8.0))
    layout = h5py.VirtualLayout((8,), "f8")
    layout[:4] = h5py.VirtualSource(f["source"])[4:]
    layout[4:] = h5py.VirtualSource("elsewhere.h5", "x", (8,))[:4]
    f.create_virtual_dataset("virtual", layout, fillvalue=-1)


def types(f: h5py.File) -> None:
    f["bool"] = np.array([True, False])
    f["complex"] = np.array([1 + 2j])
    f["big_endian"] = np.arange(3, dtype=">i8")
    f["half"] = np.arange(3, dtype="f2")
    f["text"] = "text"
    f["bytes"] = b"bytes"
    f["texts"] = ["one", "zwei", "\u4e09"]
    f["opaque"] = np.array([b"abc"], dtype="V3")
    enum = h5py.enum_dtype({"off": 0, "on": 1}, "u1")
    f.create_dataset("enum", data=np.array([0, 1, 1], "u1"), dtype=enum)
    f.create_dataset("array", (4,), "(3,)f4")[...] = np.arange(12.0).reshape(4, 3)
    ragged = f.create_dataset("ragged", (3,), h5py.vlen_dtype("i4"))
    ragged[0] = [1, 2, 3]
    ragged[1:] = [np.array([4]), np.array([], "i4")]
    words = f.create_dataset("words", (2,), h5py.vlen_dtype(h5py.string_dtype()))
    words[0] = np.array(["a", "bc"], object)
    words[1] = np.array([], object)


def compounds(f: h5py.File) -> None:
    dtype = np.dtype([("x", "f8"), ("name", h5py.string_dtype()), ("pair", "i4", (2,))])
    d = f.create_dataset("d", (3,), dtype)
    d[0] = (1.5, "first", (1, 2))
    d["x"] = [1.0, 2.0, 3.0]
    name = h5t.create(h5t.COMPOUND, 8)
    name.insert(b"name", 0, h5t.PYTHON_OBJECT)
    d.id.write(h5s.create_simple((3,)), d.id.get_space(), np.array(["p", "q", "r"], object), name)
    d[2, "pair"] = np.array([8, 9])
    plain = f.create_dataset("plain", (4,), [("a", "i2"), ("b", "f4"), ("c", "u1")])
    plain["b"] = np.arange(4)
    some = np.zeros(4, [("c", "u1"), ("a", "i2")])
    some["a"], some["c"] = 5, 6
    plain["a", "c"] = some


def selections(f: h5py.File) -> None:
    d = f.create_dataset("d", data=np.zeros((10, 12)), chunks=(3, 5))
    d[2] = np.arange(12)
    d[:, 3] = 5
    d[1:9:3, ::4] = np.arange(9).reshape(3, 3)
    d[[1, 4, 6], 2] = [7, 8, 9]
    d[3, [0, 5, 11]] = 1
    mask = np.zeros((10, 12), bool)
    mask[::3, 1::5] = True
    d[mask] = np.arange(mask.sum())
    none = np.zeros((10, 12), bool)
    d[none] = np.array([])
    d[...] = d[...] + 1
    d[5:8, 2:4] = [[1], [2], [3]]
    d[h5py.MultiBlockSlice(start=1, count=2, stride=4, block=2), 0] = [11, 12, 13, 14]
    d[0:0] = 1
    s = f.create_dataset("scalar", (), "i4")
    s[()] = 3
    s[...] = 4


def broadcasts(f: h5py.File) -> None:
    d = f.create_dataset("d", (6, 4, 5), "f4")
    d[...] = 2
    d[1:5] = np.arange(5)
    d[::2] = np.arange(20).reshape(4, 5)
    d[1:4, 2] = np.arange(5)
    d[:, :, 0] = 9


def direct_writes(f: h5py.File) -> None:
    d = f.create_dataset("d", (6, 8), "f8", chunks=(3, 4))
    source = np.arange(80.0).reshape(8, 10)
    d.write_direct(source, np.s_[1:7, 2:10], np.s_[:, :])
    d.write_direct(source, np.s_[::4, 1], np.s_[0, 0:2])
    d.id.write_direct_chunk((3, 4), np.full((3, 4), 7.0))
    d.id.write_direct_chunk((0, 4), np.full((3, 4), 8.0).tobytes())
    space = d.id.get_space()
    space.select_elements([(0, 0), (5, 7), (2, 2)])
    d.id.write(h5s.create_simple((3,)), space, np.array([1.0, 2.0, 3.0]))
    memory = h5s.create_simple((4, 4))
    memory.select_hyperslab((0, 0), (2, 1), (2, 1), (1, 2))
    memory.select_hyperslab((3, 3), (1, 1), op=h5s.SELECT_OR)
    target = d.id.get_space()
    target.select_hyperslab((4, 0), (1, 5))
    d.id.write(memory, target, np.arange(16.0).reshape(4, 4))


def growth(f: h5py.File) -> None:
    d = f.create_dataset("d", (2, 3), "i4", maxshape=(None, 10), chunks=(4, 4))
    d.resize((5, 3))
    d.resize(7, axis=1)
    d.shape = (6, 7)
    d[5] = 9
    d.id.extend((4, 8))
    d.id.set_extent((3, 8))


def values_given_as_other_types(f: h5py.File) -> None:
    d = f.create_dataset("d", (4,), "i2")
    d[...] = np.array([1.9, -2.9, 70000.0, -70000.0])
    d[1:3] = np.array([1, 2], ">u8")
    s = f.create_dataset("s", (2,), "S4")
    s[...] = [b"ab", b"abcdefg"]
    s[1] = "xy"
    t = f.create_dataset("t", (2,), h5py.string_dtype())
    t[...] = np.array([b"ab", b"cd"])
    if h5py.version.version_tuple[:2] >= (3, 14):
        t[...] = np.array(["ef", "gh"], dtype="T")
        s[...] = np.array(["ij", "kl"], dtype="T")
    e = f.create_dataset("e", (2,), h5py.enum_dtype({"a": 1, "b": 2}))
    e[...] = [1, 2]
    b = f.create_dataset("b", (2,), bool)
    b[...] = [True, False]


ROADS: tuple[Scenario, ...] = (
    layouts,
    virtual_datasets,
    types,
    compounds,
    selections,
    broadcasts,
    direct_writes,
    growth,
    values_given_as_other_types,
)
