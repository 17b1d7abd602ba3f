"""Hypothesis strategies: trees, values, operations, selections, damage.

For tests of programs that use safeh5, and of safeh5. What `trees` and
`operations` make, `safeh5.testing.plain` can make with plain h5py: two files
to compare. Needs Hypothesis: ``pip install 'safeh5[testing]'``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5s

from safeh5.microdata import (
    ExternalLink,
    HardLink,
    MicroData,
    MicroDataGroup,
    MicroDataset,
    MicroDatatype,
    Reference,
    SoftLink,
)
from safeh5.operations import model as op
from safeh5.operations.values import encode_shape, encode_type
from safeh5.testing.damage import Damage, Kind, files_of

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as stnp
except ImportError as missing:
    raise ImportError(
        "safeh5.testing.strategies needs Hypothesis: pip install 'safeh5[testing]'"
    ) from missing

Array: TypeAlias = npt.NDArray[Any]
Step: TypeAlias = tuple[op.Operation, bytes]
"""An operation and its payload."""

STAMPS = {"machine_id": "m", "timestamp": "t"}
"""What groups are stamped with by default; given here, so that two runs agree."""

# --- names and types --------------------------------------------------------------------

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
"""Any text that HDF5 can hold."""

names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8
).filter(lambda name: name != "." and not name.endswith("_"))
"""Any name of an HDF5 object; none that safeh5 would number (``Scan_``)."""

numeric = st.one_of(
    stnp.integer_dtypes(endianness="?"),
    stnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    stnp.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    stnp.boolean_dtypes(),
    stnp.byte_string_dtypes(min_len=1, max_len=6),
)
"""Integers, floats, complex numbers, booleans, fixed-length strings, of either byte order."""

_fields = st.tuples(st.sampled_from("abcd"), st.one_of(numeric, st.tuples(numeric, st.just((2,)))))

types: st.SearchStrategy[np.dtype[Any]] = st.one_of(
    numeric,
    st.lists(_fields, min_size=1, max_size=3, unique_by=lambda field: field[0]).map(np.dtype),
    st.lists(
        st.tuples(st.sampled_from("xyz"), st.builds(lambda f: np.dtype([f]), _fields)),
        min_size=1,
        max_size=2,
        unique_by=lambda field: field[0],
    ).map(np.dtype),
)
"""Types whose values are raw bytes: `numeric`, compounds and compounds of compounds, with array members."""

shapes = stnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)

# --- values -------------------------------------------------------------------------------


@st.composite
def _strings(draw: st.DrawFn) -> Any:
    kind = draw(st.sampled_from(["utf-8", "ascii", "fixed"]))
    if kind == "ascii":
        letters = st.text(st.characters(min_codepoint=1, max_codepoint=126), max_size=9)
        return np.array(draw(st.lists(letters, max_size=4)), object).astype(h5py.string_dtype("ascii"))
    if kind == "fixed":
        return np.array([b"\xc3\xa9", draw(st.sampled_from([b"", b"x"]))], h5py.string_dtype("utf-8", 5))
    return np.array(draw(st.lists(text, max_size=5)), object).astype(h5py.string_dtype())


@st.composite
def _sequences(draw: st.DrawFn) -> Any:
    dtype = h5py.vlen_dtype(np.dtype(draw(st.sampled_from(["<i4", ">i2", "f4", ">f8"]))))
    rows = draw(st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=4))
    out = np.empty(len(rows), dtype=dtype)
    for i, row in enumerate(rows):
        out[i] = np.array(row, h5py.check_vlen_dtype(dtype))
    return out


@st.composite
def _enums(draw: st.DrawFn) -> Any:
    # HDF5 wants names and values unique.
    values = draw(st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True))
    members = dict(zip("RGBW", values, strict=False))
    base = draw(st.sampled_from(["i1", "<u2", ">i4"]))
    dtype = h5py.enum_dtype(members, basetype=base)
    return np.array(draw(st.lists(st.sampled_from(values), max_size=5)), dtype=dtype)


@st.composite
def _opaques(draw: st.DrawFn) -> Any:
    width, count = draw(st.integers(1, 4)), draw(st.integers(0, 3))
    return np.frombuffer(draw(st.binary(min_size=width * count, max_size=width * count)), f"V{width}")


def arrays() -> st.SearchStrategy[Any]:
    """Values of every kind that HDF5 has, references excepted; null dataspaces too."""
    plain = st.tuples(types, shapes).flatmap(lambda pair: stnp.arrays(*pair))
    return st.one_of(plain, _strings(), _sequences(), _enums(), _opaques(), st.builds(h5py.Empty, numeric))


def attributes() -> st.SearchStrategy[dict[str, Any]]:
    """A few attributes."""
    values = st.one_of(text, st.integers(0, 99), arrays())
    found = st.dictionaries(names, values, max_size=3)
    return found.map(lambda kept: {k: v for k, v in kept.items() if k not in (*STAMPS, "labels", "ref")})


# --- trees --------------------------------------------------------------------------------


@st.composite
def datasets(draw: st.DrawFn, name: str = "data") -> MicroDataset:
    """A dataset: contiguous, chunked, resizable or compressed, as its values allow."""
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
    node = MicroDataset(name, data, **options)
    if isinstance(data, np.ndarray) and data.ndim == 2 and data.size and draw(st.booleans()):
        node.attrs["labels"] = [f"label {i}" for i in range(draw(st.sampled_from(data.shape)))]
    return node


@st.composite
def trees(draw: st.DrawFn, name: str = "/", max_nodes: int = 8) -> MicroDataGroup:
    """A tree: groups, datasets, links of all kinds, committed types, attributes, labels, references.

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.
    name : str
        Of the top group.
    max_nodes : int
        Nodes below it.
    """
    root = MicroDataGroup(name, attrs=STAMPS)
    groups: list[MicroDataGroup] = [root]
    objects: list[MicroData] = [root]
    for _ in range(draw(st.integers(0, max_nodes))):
        parent = draw(st.sampled_from(groups))
        taken = {child.name for child in parent.children}
        node = draw(_nodes(draw(_other_than(taken)), objects))
        if isinstance(node, MicroDataGroup):
            groups.append(node)
        if isinstance(node, MicroDataGroup | MicroDataset | MicroDatatype):
            objects.append(node)
        parent.add_children(node)
    for node in objects:
        node.attrs.update(draw(attributes()))
        if draw(st.booleans()):
            node.attrs["ref"] = draw(_references(objects))
    return root


def _other_than(taken: set[str]) -> st.SearchStrategy[str]:
    return names.filter(lambda name: name not in taken)


_KINDS = ("group", "dataset", "dataset", "soft", "hard", "external", "type")


@st.composite
def _nodes(draw: st.DrawFn, name: str, objects: Sequence[MicroData]) -> MicroData:
    kind = draw(st.sampled_from(_KINDS))
    if kind == "group":
        return MicroDataGroup(name, attrs=STAMPS, track_order=draw(st.booleans()))
    if kind == "dataset":
        return draw(datasets(name))
    if kind == "hard":
        return HardLink(name, draw(st.sampled_from(objects)))
    if kind == "soft":
        return SoftLink(name, draw(names))
    if kind == "type":
        return MicroDatatype(name, draw(types))
    return ExternalLink(name, "other.h5", draw(names))


@st.composite
def _references(draw: st.DrawFn, objects: Sequence[MicroData]) -> Reference:
    """To an object, or to a box of a dataset."""
    target = draw(st.sampled_from(objects))
    data = target.data if isinstance(target, MicroDataset) else None
    if not isinstance(data, np.ndarray) or not data.size or not data.ndim or draw(st.booleans()):
        return Reference(target)
    box = draw(boxes(data.shape))
    region = tuple(slice(s, s + n) for s, n in zip(box.start, box.count, strict=True))
    return Reference(target, region)


# --- selections ---------------------------------------------------------------------------


@st.composite
def boxes(draw: st.DrawFn, shape: tuple[int, ...]) -> op.Box:
    """A contiguous part of an extent without empty axes; at least one element."""
    start = tuple(draw(st.integers(0, n - 1)) for n in shape)
    return op.Box(start, tuple(draw(st.integers(1, n - s)) for s, n in zip(start, shape, strict=True)))


@st.composite
def slabs(draw: st.DrawFn, shape: tuple[int, ...]) -> h5s.SpaceID:
    """A regular hyperslab of `shape`, perhaps shifted by an offset."""
    space = h5s.create_simple(shape)
    start, stride, count, block = [], [], [], []
    for n in shape:
        b = draw(st.integers(1, max(1, n // 2)))
        s = draw(st.integers(b, n))
        c = draw(st.integers(1, (n - b) // s + 1))
        start.append(draw(st.integers(0, n - ((c - 1) * s + b))))
        stride.append(s)
        count.append(c)
        block.append(b)
    space.select_hyperslab(tuple(start), tuple(count), tuple(stride), tuple(block))
    if draw(st.booleans()):
        _, last = space.get_select_bounds()
        ends = zip(last, shape, strict=True)
        space.offset_simple(tuple(draw(st.integers(0, n - 1 - int(b))) for b, n in ends))
    return space


@st.composite
def unions(draw: st.DrawFn, shape: tuple[int, ...]) -> h5s.SpaceID:
    """A few boxes together."""
    space = h5s.create_simple(shape)
    space.select_none()
    for _ in range(draw(st.integers(1, 4))):
        start = tuple(draw(st.integers(0, n - 1)) for n in shape)
        block = tuple(draw(st.integers(1, n - a)) for a, n in zip(start, shape, strict=True))
        space.select_hyperslab(start, (1,) * len(shape), block=block, op=h5s.SELECT_OR)
    return space


@st.composite
def points(draw: st.DrawFn, shape: tuple[int, ...]) -> h5s.SpaceID:
    """Some points, in any order."""
    space = h5s.create_simple(shape)
    element = st.tuples(*(st.integers(0, n - 1) for n in shape))
    space.select_elements(draw(st.lists(element, min_size=1, max_size=12, unique=True)))
    return space


def selections(shape: tuple[int, ...]) -> st.SearchStrategy[h5s.SpaceID]:
    """Any selection of elements of an extent without empty axes."""
    return st.one_of(slabs(shape), unions(shape), points(shape))


# --- operations ---------------------------------------------------------------------------


@st.composite
def operations(draw: st.DrawFn, top: str = "/ops", max_size: int = 6) -> list[Step]:
    """A sequence of operations that HDF5 accepts, all below the new group `top`.

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.
    top : str
        Path of a group that does not exist and whose parent does.
    max_size : int
        Operations after the first, which makes the group.

    Returns
    -------
    list of (Operation, bytes)
        To be given to `Session.record`, and to `safeh5.testing.plain.apply_operation`.
    """
    known = _Known(top)
    steps: list[Step] = [(op.CreateGroup(path=top), b"")]
    for _ in range(draw(st.integers(0, max_size))):
        possible: list[Callable[[_Known], st.SearchStrategy[list[Step]]]]
        possible = [_make_group, _make_dataset, _make_link, _set_attribute, _rearrange, _copy]
        if known.datasets:
            possible += [_write_data, _write_data, _append_data, _resize]
        steps += draw(draw(st.sampled_from(possible))(known))
    return steps


class _Known:
    """What the operations so far have made."""

    def __init__(self, top: str) -> None:
        self.top = top
        self.count = 0
        self.groups = [top]
        self.links: list[str] = []
        self.datasets: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
        self.attributes: dict[str, str] = {}

    def fresh(self) -> str:
        self.count += 1
        return f"{self.top}/n{self.count}"

    def loose(self) -> list[str]:
        """What can be taken away without taking anything else with it."""
        inside = {path.rpartition("/")[0] for path in (*self.groups, *self.links, *self.datasets)}
        return [path for path in (*self.groups[1:], *self.links, *self.datasets) if path not in inside]

    def forget(self, path: str) -> None:
        self.groups = [known for known in self.groups if known != path]
        self.links = [known for known in self.links if known != path]
        self.datasets.pop(path, None)
        self.attributes.pop(path, None)


def _payload(draw: st.DrawFn, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    values: Array = draw(stnp.arrays(dtype, shape))
    return np.ascontiguousarray(values).tobytes()


@st.composite
def _make_group(draw: st.DrawFn, known: _Known) -> list[Step]:
    path = f"{draw(st.sampled_from(known.groups))}/{known.fresh().rpartition('/')[2]}"
    known.groups.append(path)
    return [(op.CreateGroup(path=path), b"")]


@st.composite
def _make_dataset(draw: st.DrawFn, known: _Known) -> list[Step]:
    path, dtype = known.fresh(), draw(types)
    shape = draw(stnp.array_shapes(min_dims=1, max_dims=2, max_side=5))
    known.datasets[path] = shape, dtype
    chunks = tuple(draw(st.integers(1, n)) for n in shape)
    space = encode_shape(shape, (None,) * len(shape))
    layout = op.Layout(chunks=chunks)
    return [(op.CreateDataset(path=path, type=encode_type(dtype), space=space, layout=layout), b"")]


@st.composite
def _make_link(draw: st.DrawFn, known: _Known) -> list[Step]:
    path, targets = known.fresh(), sorted(known.datasets)
    known.links.append(path)
    hard: bool = draw(st.booleans())
    if targets and hard:
        target = draw(st.sampled_from(targets))
        return [(op.CreateHardLink(path=path, target=target), b"")]
    return [(op.CreateSoftLink(path=path, target=draw(names)), b"")]


@st.composite
def _set_attribute(draw: st.DrawFn, known: _Known) -> list[Step]:
    path: str = draw(st.sampled_from([*known.groups, *known.datasets]))
    if path in known.attributes and draw(st.booleans()):
        return [(op.DeleteAttribute(path=path, name=known.attributes.pop(path)), b"")]
    dtype, shape, name = draw(types), draw(stnp.array_shapes(max_dims=2, max_side=3)), draw(names)
    known.attributes[path] = name
    operation = op.SetAttribute(path=path, name=name, type=encode_type(dtype), space=encode_shape(shape))
    return [(operation, _payload(draw, dtype, shape))]


@st.composite
def _rearrange(draw: st.DrawFn, known: _Known) -> list[Step]:
    """Delete or move something; what a hard link still holds stays."""
    found = known.loose()
    if not found:
        return []
    path = draw(st.sampled_from(found))
    if draw(st.booleans()):
        known.forget(path)
        return [(op.Delete(path=path), b"")]
    new = known.fresh()
    if path in known.datasets:
        known.datasets[new] = known.datasets[path]
    if path in known.groups:
        known.groups.append(new)
    if path in known.attributes:
        known.attributes[new] = known.attributes[path]
    known.links += [new] if path in known.links else []
    known.forget(path)
    return [(op.Move(path=new, source=path), b"")]


@st.composite
def _copy(draw: st.DrawFn, known: _Known) -> list[Step]:
    if not known.datasets:
        return []
    source, path = draw(st.sampled_from(sorted(known.datasets))), known.fresh()
    known.datasets[path] = known.datasets[source]
    return [(op.Copy(path=path, source=source), b"")]


@st.composite
def _write_data(draw: st.DrawFn, known: _Known) -> list[Step]:
    path = draw(st.sampled_from(sorted(known.datasets)))
    shape, dtype = known.datasets[path]
    if 0 in shape or draw(st.booleans()):
        return [(op.WriteData(path=path, type=encode_type(dtype)), _payload(draw, dtype, shape))]
    box = draw(boxes(shape))
    operation = op.WriteData(path=path, type=encode_type(dtype), selection=box)
    return [(operation, _payload(draw, dtype, box.count))]


@st.composite
def _append_data(draw: st.DrawFn, known: _Known) -> list[Step]:
    path = draw(st.sampled_from(sorted(known.datasets)))
    (length, *item), dtype = known.datasets[path]
    count = draw(st.integers(1, 3))
    known.datasets[path] = (length + count, *item), dtype
    operation = op.AppendData(path=path, type=encode_type(dtype), start=length, count=count)
    return [(operation, _payload(draw, dtype, (count, *item)))]


@st.composite
def _resize(draw: st.DrawFn, known: _Known) -> list[Step]:
    path = draw(st.sampled_from(sorted(known.datasets)))
    shape, dtype = known.datasets[path]
    new = tuple(draw(st.integers(0, n + 3)) for n in shape)
    known.datasets[path] = new, dtype
    return [(op.Resize(path=path, shape=new), b"")]


# --- damage -------------------------------------------------------------------------------


@st.composite
def damages(draw: st.DrawFn, sidecar: str | os.PathLike[str], others: Sequence[Path] = ()) -> Damage:
    """Something that happens to a file of a sidecar as it is now.

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.
    sidecar : path-like
        The directory; its files are looked at, not changed.
    others : sequence of Path
        Other sidecars, older ones of the same session or of other sessions,
        whose files and blocks may come to stand in this one.
    """
    sizes = files_of(sidecar)
    file = draw(st.sampled_from(sorted(sizes)))
    kind = draw(st.sampled_from([kind for kind in Kind if others or not kind.needs_other]))
    size = max(1, sizes[file])
    return Damage(
        kind=kind,
        file=file,
        offset=draw(st.integers(0, size - 1)),
        length=draw(st.sampled_from([1, 8, 64, 512, 4096])),
        second=draw(st.integers(0, size - 1)),
        bit=draw(st.integers(0, 7)),
        other=draw(st.integers(0, len(others) - 1)) if others else 0,
    )
