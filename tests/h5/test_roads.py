"""Whatever is done through h5py gives, played from the journal alone, what plain h5py gives."""

from __future__ import annotations

import itertools
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5p, h5r, h5s, h5t

from tests.h5.tape import Scenario, three_ways

_SCENARIOS: list[Scenario] = []


def road(scenario: Scenario) -> Scenario:
    _SCENARIOS.append(scenario)
    return scenario


# --- groups and links ---------------------------------------------------------------


@road
def groups(f: h5py.File) -> None:
    f.create_group("a/b/c")
    f.create_group("/absolute//odd/./name/")
    f["a"].require_group("b").require_group("d")
    f.create_group("tracked", track_order=True).create_group("x/y")
    f.create_group("gr\u00fcn/\u7eff")
    assert f["a/b"].parent == f["a"]
    assert f["a/b"].parent.create_group("by_parent").name == "/a/by_parent"
    assert f["a/b"].file.create_group("by_file").name == "/by_file"


@road
def links(f: h5py.File) -> None:
    d = f.create_dataset("g/d", data=np.arange(3))
    f["hard"] = d
    f["new/hard"] = d
    f["g/soft"] = h5py.SoftLink("/g/d")
    f["dangling"] = h5py.SoftLink("nowhere")
    f["g/external"] = h5py.ExternalLink("other.h5", "/x")
    f["by_soft_group"] = h5py.SoftLink("/g")
    f["by_soft_group/made_there"] = 5
    f.id.links.create_hard(b"low", f.id, b"/g/d")
    f.id.link(b"/g/d", b"lower")
    f.id.link(b"/g/d", b"lower_soft", h5g.LINK_SOFT)
    del f["hard"]
    del f["dangling"]
    f.id.unlink(b"lower")


@road
def moves_and_copies(f: h5py.File) -> None:
    f.create_dataset("g/d", data=np.arange(3))
    f["g"].attrs["x"] = 1
    f.move("g", "moved")
    f["moved"].move("d", "deep/er/d")
    f["moved"].id.move(b"deep", b"shallow")
    f.copy("moved", "copied")
    f.copy(f["moved/shallow"], f.create_group("into"), name="named")
    f.copy("moved", "bare", without_attrs=True, shallow=True)


@road
def an_object_open_while_a_group_above_it_is_renamed(f: h5py.File) -> None:
    d = f.create_dataset("g/sub/d", data=np.arange(4))
    other = f.create_dataset("other", data=np.zeros(4))
    f.move("g", "renamed")
    d[1] = 100
    d.attrs["where"] = "renamed"
    f["g/sub/d"] = other
    d[2] = 200


@road
def an_object_with_two_names_when_one_goes(f: h5py.File) -> None:
    d = f.create_dataset("first", data=np.arange(4))
    f["second"] = d
    del f["first"]
    d[0] = 7
    f["first"] = np.zeros(4)
    d[1] = 8


@road
def comments(f: h5py.File) -> None:
    f.create_group("g")
    h5o.set_comment(f["g"].id, b"one")
    f.id.set_comment(b"g", b"two")
    h5o.set_comment(f.id, b"three", obj_name=b"g")


# --- datasets -----------------------------------------------------------------------


@road
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


@road
def virtual_datasets(f: h5py.File) -> None:
    f.create_dataset("source", data=np.arange(8.0))
    layout = h5py.VirtualLayout((8,), "f8")
    layout[:4] = h5py.VirtualSource(f["source"])[4:]
    layout[4:] = h5py.VirtualSource("elsewhere.h5", "x", (8,))[:4]
    f.create_virtual_dataset("virtual", layout, fillvalue=-1)


@road
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


@road
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


@road
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


@road
def broadcasts(f: h5py.File) -> None:
    d = f.create_dataset("d", (6, 4, 5), "f4")
    d[...] = 2
    d[1:5] = np.arange(5)
    d[::2] = np.arange(20).reshape(4, 5)
    d[1:4, 2] = np.arange(5)
    d[:, :, 0] = 9


@road
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


@road
def growth(f: h5py.File) -> None:
    d = f.create_dataset("d", (2, 3), "i4", maxshape=(None, 10), chunks=(4, 4))
    d.resize((5, 3))
    d.resize(7, axis=1)
    d.shape = (6, 7)
    d[5] = 9
    d.id.extend((4, 8))
    d.id.set_extent((3, 8))


@road
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


# --- attributes ---------------------------------------------------------------------


@road
def attributes(f: h5py.File) -> None:
    for owner in (f, f.create_group("g"), f.create_dataset("d", data=1)):
        a = owner.attrs
        a["number"] = 1
        a["number"] = 2.5
        a["text"] = "gr\u00fcn"
        a["bytes"] = b"raw"
        a["texts"] = ["a", "b"]
        a["array"] = np.arange(12).reshape(3, 4)
        a["bool"] = np.array([True, False])
        a["empty"] = h5py.Empty("i4")
        a["nothing"] = np.zeros((0, 2))
        a["ref"] = f.ref
        a["\u7eff"] = 1
        a.create("typed", [1, 2, 3], dtype="u1")
        a.create("shaped", np.arange(6), shape=(2, 3))
        a.create("arrays", np.ones((2, 3)), dtype="(3,)f4")
        a.create("ragged", np.array([np.arange(2), np.arange(3)], object), dtype=h5py.vlen_dtype("i4"))
        a.modify("number", 7)
        a.modify("fresh", 8)
        del a["text"]
        h5a.rename(owner["/"].id if owner is f else owner.id, b"array", b"renamed")
        a.update({"u1": 1, "u2": 2})
        a.pop("u1")


@road
def attributes_at_the_low_level(f: h5py.File) -> None:
    g = f.create_group("g")
    space = h5s.create_simple((3,))
    made = h5a.create(g.id, b"made", h5t.NATIVE_INT32, space)
    h5a.create(g.id, b"never_written", h5t.NATIVE_DOUBLE, space)
    h5a.create(g.id, b"texts", h5t.py_create(h5py.string_dtype(), logical=True), space)
    made.write(np.array([1, 2, 3], "i4"))
    h5a.open(g.id, b"made").write(np.array([4.0, 5.0, 6.0]))
    h5a.create(f.id, b"from_above", h5t.NATIVE_INT8, h5s.create(h5s.SCALAR), obj_name=b"g")
    h5a.delete(g.id, b"never_written")
    h5a.delete(f.id, index=0, obj_name=b"g")


@road
def many_and_large_attributes(f: h5py.File) -> None:
    g = f.create_group("g", track_order=True)
    for i in range(40):
        g.attrs[f"n{i}"] = i
    g.attrs["large"] = np.arange(20_000.0)
    g.attrs["large"] = np.arange(30_000.0)
    del g.attrs["n3"]


# --- datatypes, references, scales ----------------------------------------------------


@road
def committed_types(f: h5py.File) -> None:
    f["t"] = np.dtype("f4")
    f["types/compound"] = np.dtype([("a", "i4"), ("b", "f8")])
    f["t"].attrs["unit"] = "nm"
    f.create_dataset("shared", (3,), f["t"])
    f["shared"].attrs.create("also", np.ones(2), dtype=f["t"])
    h5py.Datatype(f["shared"].id.get_type()).attrs["by_dataset"] = 1
    h5t.open(f.id, b"t").committed()


@road
def references(f: h5py.File) -> None:
    d = f.create_dataset("d", data=np.arange(20).reshape(4, 5))
    r = f.create_dataset("refs", (4,), h5py.ref_dtype)
    r[0], r[1] = d.ref, f.ref
    r[2:] = np.array([f.create_group("g").ref, d.ref], dtype=h5py.ref_dtype)
    regions = f.create_dataset("regions", (3,), h5py.regionref_dtype)
    regions[0] = d.regionref[1:3, ::2]
    regions[1] = d.regionref[[0, 3], 1]
    f[r[0]][0, 0] = 77
    f[r[0]].attrs["seen"] = True
    d.attrs["regions"] = d.regionref[0]
    mixed = f.create_dataset("mixed", (1,), [("n", "i4"), ("ref", h5py.ref_dtype)])
    mixed[0] = np.array([(3, d.ref)], mixed.dtype)[0]


@road
def dimension_scales(f: h5py.File) -> None:
    d = f.create_dataset("d", data=np.ones((3, 4)))
    for i, name in enumerate(("rows", "columns")):
        f[name] = np.arange(d.shape[i])
        f[name].make_scale(name)
        d.dims[i].label = name
        d.dims[i].attach_scale(f[name])
    f["second"] = np.arange(3)
    f["second"].make_scale()
    d.dims[0].attach_scale(f["second"])
    d.dims[0].detach_scale(f["rows"])
    d.dims[1][0][0] = 42
    d.dims[1]["columns"].attrs["by_scale"] = 1
    for _, scale in d.dims[0].items():
        scale.attrs["by_items"] = 2


# --- ways to reach an object ------------------------------------------------------------


@road
def every_way_to_an_object(f: h5py.File) -> None:
    d = f.create_dataset("g/d", data=np.arange(5))
    count = itertools.count()

    def note(obj: h5py.HLObject) -> None:
        obj.attrs[f"way{next(count)}"] = 1

    ways = [
        f["g/d"], f["g"]["d"], f.get("g/d"), f["g"].get("d"), *f["g"].values(), f[d.ref],
        f[d.ref].file["g/d"],
        h5py.Dataset(d.id), h5py.Dataset(h5d.open(f.id, b"g/d")), h5py.Dataset(h5o.open(f.id, b"g/d")),
        h5py.Dataset(h5r.dereference(d.ref, f.id)), d.parent["d"], h5py.Group(f["g"].id)["d"],
        h5py.File(d.id)["g/d"], dict(f["g"].items())["d"], f.require_dataset("g/d", (5,), d.dtype),
        h5py.Group(h5g.open(f.id, b"g"))["d"], f["g"].require_group("/g")["d"],
    ]  # fmt: skip
    for way in ways:
        note(way)
    f.visititems(lambda name, obj: note(obj))
    f.visit(lambda name: note(f[name]))
    f.visititems_links(lambda name, link: note(f[name]))
    for obj in h5f.get_obj_ids(f.id, h5f.OBJ_DATASET):
        note(h5py.Dataset(obj))
        break
    for _, link in ((n, f["g"].get(n, getlink=True)) for n in f["g"]):
        assert isinstance(link, h5py.HardLink)


@road
def datasets_that_get_their_name_later(f: h5py.File) -> None:
    for i, data in enumerate(([1, 2, 3], np.array(["a", "b"], object), 5, np.ones((2000, 700)))):
        d = f.create_dataset(None, data=data)
        d.attrs["before"] = i
        f[f"late{i}"] = d
        d.attrs["after"] = i
    d = f.create_dataset(None, (10,), "i4", chunks=(5,), maxshape=(None,))
    d[3:6] = 1
    d.resize((12,))
    f["sub/late"] = d
    d[11] = 9
    f.create_dataset(None, data=[0])
    g = h5py.Group(h5g.create(f.id, None))
    g.attrs["x"] = 1
    f["late_group"] = g
    g.create_group("inside")


@road
def an_object_that_is_linked_again_after_its_last_link_went(f: h5py.File) -> None:
    d = f.create_dataset("d", data=np.arange(5))
    d.attrs["x"] = [1, 2]
    del f["d"]
    d[0] = 9
    f["again"] = d
    d[1] = 8


@pytest.mark.parametrize("scenario", _SCENARIOS, ids=lambda s: s.__name__)
def test_the_journal_alone_gives_what_h5py_gives(scenario: Scenario, tmp_path: Path) -> None:
    assert three_ways(scenario, tmp_path).records


@pytest.mark.parametrize("scenario", _SCENARIOS, ids=lambda s: s.__name__)
def test_so_it_does_in_the_newest_file_format(scenario: Scenario, tmp_path: Path) -> None:
    three_ways(scenario, tmp_path, libver="latest", track_order=True)


def test_an_attribute_is_one_record_however_h5py_goes_about_it(tmp_path: Path) -> None:
    def scenario(f: h5py.File) -> None:
        f.attrs["a"] = 1
        f.attrs["a"] = "two"
        f.attrs.create("b", np.arange(3), dtype="u1")

    assert three_ways(scenario, tmp_path).kinds == ["SetAttribute"] * 3


def test_a_box_is_journaled_as_a_box(tmp_path: Path) -> None:
    def scenario(f: h5py.File) -> None:
        d = f.create_dataset("d", (4, 6), "u1", chunks=(4, 6))
        d[1:3, 2:4] = 1
        d[::2] = np.ones((2, 6))
        d[[0, 3], 1] = 5

    selections = [op.selection for op in three_ways(scenario, tmp_path).operations[1:]]  # type: ignore[attr-defined]
    assert [type(selection).__name__ for selection in selections] == ["Box", "Space", "Space"]


def test_link_kinds_are_seen_through_the_journaled_links(tmp_path: Path) -> None:
    def scenario(f: h5py.File) -> None:
        f["x"] = h5py.SoftLink("/y")
        assert f.id.links.get_info(b"x").type == h5l.TYPE_SOFT
        assert f.id.links.get_val(b"x") == b"/y"
        assert f.id.links.exists(b"x")

    three_ways(scenario, tmp_path)
