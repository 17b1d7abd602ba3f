"""Random trees: what the operations build is what plain h5py builds of the same tree."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from safeh5.microdata import (
    ExternalLink,
    HardLink,
    MicroData,
    MicroDataGroup,
    MicroDataset,
    Reference,
    SoftLink,
)
from tests.microdata.writing import assert_equal, write

STAMPS = {"machine_id": "m", "timestamp": "t"}

names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
names = names.filter(lambda name: name != "." and not name.endswith("_"))
text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
orders = st.sampled_from("<>")
numeric = st.one_of(
    stnp.integer_dtypes(endianness="?"),
    stnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    stnp.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    stnp.boolean_dtypes(),
    stnp.byte_string_dtypes(min_len=1, max_len=6),
)
types = st.one_of(
    numeric,
    st.lists(
        st.tuples(st.sampled_from("abcd"), numeric), min_size=1, max_size=3, unique_by=lambda f: f[0]
    ).map(np.dtype),
)
shapes = stnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return np.array(draw(st.lists(text, max_size=5)), dtype=object).astype(h5py.string_dtype())
    if kind == 1:
        dtype = h5py.vlen_dtype(np.dtype(draw(st.sampled_from(["<i4", ">i2", "f4", ">f8"]))))
        rows = draw(st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=4))
        out = np.empty(len(rows), dtype=dtype)
        for i, row in enumerate(rows):
            out[i] = np.array(row, h5py.check_vlen_dtype(dtype))
        return out
    if kind == 2:
        return h5py.Empty(draw(numeric))
    return draw(stnp.arrays(draw(types), draw(shapes)))


@st.composite
def datasets(draw: st.DrawFn, name: str) -> MicroDataset:
    data = draw(arrays())
    options: dict[str, Any] = {}
    if isinstance(data, np.ndarray) and data.ndim and draw(st.booleans()):
        options["resizable"] = draw(st.booleans())
        options["chunking"] = tuple(draw(st.integers(1, max(1, n))) for n in data.shape)
        if not options["resizable"] and 0 in data.shape:
            del options["chunking"]
        elif data.size:
            options["compression"] = draw(st.sampled_from([None, "gzip", "lzf"]))
            options["shuffle"] = draw(st.sampled_from([None, True]))
    return MicroDataset(name, data, **options)


@st.composite
def trees(draw: st.DrawFn) -> MicroDataGroup:
    root = MicroDataGroup("/", attrs=STAMPS)
    groups: list[MicroDataGroup] = [root]
    objects: list[MicroData] = [root]
    for _ in range(draw(st.integers(0, 8))):
        parent = draw(st.sampled_from(groups))
        name = draw(names.filter(lambda name, parent=parent: name not in {c.name for c in parent.children}))
        node: MicroData
        kind = draw(st.sampled_from(["group", "dataset", "dataset", "soft", "hard", "external"]))
        if kind == "group":
            node = MicroDataGroup(name, attrs=STAMPS, track_order=draw(st.booleans()))
            groups.append(node)
        elif kind == "dataset":
            node = draw(datasets(name))
        elif kind == "hard":
            node = HardLink(name, draw(st.sampled_from(objects)))
        elif kind == "soft":
            node = SoftLink(name, draw(names))
        else:
            node = ExternalLink(name, "other.h5", draw(names))
        if kind in ("group", "dataset"):
            objects.append(node)
        parent.add_children(node)
    for node in objects:
        attrs = draw(st.dictionaries(names, st.one_of(text, st.integers(0, 99), arrays()), max_size=3))
        node.attrs.update({k: v for k, v in attrs.items() if k not in STAMPS})
        if draw(st.booleans()):
            node.attrs["ref"] = Reference(draw(st.sampled_from(objects)))
    return root


def plainly(root: MicroDataGroup, file: h5py.File) -> None:
    """The same with h5py and nothing else."""
    places: dict[MicroData, str] = {root: "/"}
    pending: list[tuple[MicroDataGroup, h5py.Group]] = [(root, file["/"])]
    links: list[tuple[h5py.Group, HardLink]] = []
    while pending:
        node, group = pending.pop()
        for child in node.children:
            places[child] = f"{group.name.rstrip('/')}/{child.name}"
            if isinstance(child, MicroDataGroup):
                pending.append((child, group.create_group(child.name, track_order=child.track_order)))
            elif isinstance(child, MicroDataset):
                given = {"shuffle": child.shuffle, "compression": child.compression, "chunks": child.chunking}
                given["maxshape"] = (None,) * child.data.ndim if child.resizable else None
                given = {k: v for k, v in given.items() if v is not None}
                group.create_dataset(child.name, data=child.data, **given)
            elif isinstance(child, SoftLink):
                group[child.name] = h5py.SoftLink(child.target)
            elif isinstance(child, ExternalLink):
                group[child.name] = h5py.ExternalLink(child.filename, child.target)
            elif isinstance(child, HardLink):
                links.append((group, child))
    for group, link in links:
        group[link.name] = file[places[link.target]]  # type: ignore[index]
    for node, path in places.items():
        for name, value in node.attrs.items():
            reference = file[places[value.target]].ref if isinstance(value, Reference) else None
            file[path].attrs[name] = value if reference is None else reference


@given(trees())
@settings(max_examples=2500)
def test_a_random_tree_is_what_plain_h5py_makes_of_it(tree: MicroDataGroup) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours, plain, again = (Path(folder) / f"{name}.h5" for name in ("ours", "plain", "again"))
        write(tree, ours, frame_bytes=64)
        with h5py.File(plain, "w") as file:
            plainly(tree, file)
        assert_equal(ours, plain, ignore={"order of links"})
        with h5py.File(ours) as file:
            write(MicroDataGroup.from_hdf5(file), again)
        assert_equal(ours, again)
