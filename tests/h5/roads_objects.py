"""What is done through h5py to groups and links, and every way to reach an object."""

from __future__ import annotations

import itertools

import h5py
import numpy as np
from h5py import h5d, h5f, h5g, h5o, h5r

from tests.h5.tape import Scenario

# --- groups and links --------------------------------------------------------------------


def groups(f: h5py.File) -> None:
    f.create_group("a/b/c")
    f.create_group("/absolute//odd/./name/")
    f["a"].require_group("b").require_group("d")
    f.create_group("tracked", track_order=True).create_group("x/y")
    f.create_group("gr\u00fcn/\u7eff")
    assert f["a/b"].parent == f["a"]
    assert f["a/b"].parent.create_group("by_parent").name == "/a/by_parent"
    assert f["a/b"].file.create_group("by_file").name == "/by_file"


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


def moves_and_copies(f: h5py.File) -> None:
    f.create_dataset("g/d", data=np.arange(3))
    f["g"].attrs["x"] = 1
    f.move("g", "moved")
    f["moved"].move("d", "deep/er/d")
    f["moved"].id.move(b"deep", b"shallow")
    f.copy("moved", "copied")
    f.copy(f["moved/shallow"], f.create_group("into"), name="named")
    f.copy("moved", "bare", without_attrs=True, shallow=True)


def an_object_open_while_a_group_above_it_is_renamed(f: h5py.File) -> None:
    d = f.create_dataset("g/sub/d", data=np.arange(4))
    other = f.create_dataset("other", data=np.zeros(4))
    f.move("g", "renamed")
    d[1] = 100
    d.attrs["where"] = "renamed"
    f["g/sub/d"] = other
    d[2] = 200


def an_object_with_two_names_when_one_goes(f: h5py.File) -> None:
    d = f.create_dataset("first", data=np.arange(4))
    f["second"] = d
    del f["first"]
    d[0] = 7
    f["first"] = np.zeros(4)
    d[1] = 8


def comments(f: h5py.File) -> None:
    f.create_group("g")
    h5o.set_comment(f["g"].id, b"one")
    f.id.set_comment(b"g", b"two")
    h5o.set_comment(f.id, b"three", obj_name=b"g")


# --- ways to reach an object -------------------------------------------------------------


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


def an_object_that_is_linked_again_after_its_last_link_went(f: h5py.File) -> None:
    d = f.create_dataset("d", data=np.arange(5))
    d.attrs["x"] = [1, 2]
    del f["d"]
    d[0] = 9
    f["again"] = d
    d[1] = 8


ROADS: tuple[Scenario, ...] = (
    groups,
    links,
    moves_and_copies,
    an_object_open_while_a_group_above_it_is_renamed,
    an_object_with_two_names_when_one_goes,
    comments,
    every_way_to_an_object,
    datasets_that_get_their_name_later,
    an_object_that_is_linked_again_after_its_last_link_went,
)
