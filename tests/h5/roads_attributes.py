"""What is done through h5py to attributes, datatypes, references and scales."""

from __future__ import annotations

import h5py
import numpy as np
from h5py import h5a, h5s, h5t

from tests.h5.tape import Scenario

# --- attributes --------------------------------------------------------------------------


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


def many_and_large_attributes(f: h5py.File) -> None:
    g = f.create_group("g", track_order=True)
    for i in range(40):
        g.attrs[f"n{i}"] = i
    g.attrs["large"] = np.arange(20_000.0)
    g.attrs["large"] = np.arange(30_000.0)
    del g.attrs["n3"]


# --- datatypes, references, scales -------------------------------------------------------


def committed_types(f: h5py.File) -> None:
    f["t"] = np.dtype("f4")
    f["types/compound"] = np.dtype([("a", "i4"), ("b", "f8")])
    f["t"].attrs["unit"] = "nm"
    f.create_dataset("shared", (3,), f["t"])
    f["shared"].attrs.create("also", np.ones(2), dtype=f["t"])
    h5py.Datatype(f["shared"].id.get_type()).attrs["by_dataset"] = 1
    h5t.open(f.id, b"t").committed()


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


ROADS: tuple[Scenario, ...] = (
    attributes,
    attributes_at_the_low_level,
    many_and_large_attributes,
    committed_types,
    references,
    dimension_scales,
)
