"""Wrong input is a typed error that names the node, before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from safeh5.errors import InputError, InvalidTreeError, InvalidTypeError
from safeh5.microdata import (
    ExternalLink,
    FileNamespace,
    HardLink,
    MicroData,
    MicroDataGroup,
    MicroDataset,
    MicroDatatype,
    Reference,
    SoftLink,
    plan_write,
)
from tests.microdata.writing import write

DATA = np.zeros((4, 6), "f4")
UTF8 = h5py.string_dtype()
LOOP = HardLink("x", "/")
LOOP.target = LOOP


def dataset(data: Any = DATA, **options: Any) -> Callable[[], MicroData]:
    return lambda: MicroDataset("x", data, **options)


def attribute(value: Any, name: Any = "a") -> Callable[[], MicroData]:
    return lambda: MicroDataset("x", DATA, attrs={name: value})


WRONG: dict[str, Callable[[], MicroData]] = {
    # types that HDF5 cannot hold
    "time": dataset(np.zeros(3, "M8[s]")),
    "time type": dataset([1], dtype="m8[s]"),
    "objects": dataset(np.array([object(), 1], object)),
    "dict": dataset({"a": 1}),
    "huge integer": dataset(2**80),
    "no type": dataset([1], dtype="no such type"),
    "mixed list": dataset([1, "a"], dtype="f4"),
    "uneven list": dataset([[1, 2], [3]]),
    "text to number": dataset(np.array([b"a"]), dtype="f4"),
    "complex to real": dataset(np.array([1j]), dtype="f4"),
    "number to text": dataset(np.array([1.5]), dtype=UTF8),
    "object to text": dataset(np.array(["a", 1.5], object), dtype=UTF8),
    "NUL in text": dataset(["a\0b"], dtype=UTF8),
    "surrogate in text": dataset(["\ud800"], dtype=UTF8),
    "row is no row": dataset(np.array([[1], "ab"], object), dtype=h5py.vlen_dtype("i4")),
    "other members": dataset(np.zeros(1, [("b", UTF8)]), dtype=np.dtype([("a", UTF8)])),
    "type node not written": dataset([1], dtype=MicroDatatype("t", "f4")),
    # shapes
    "nothing at all": dataset(None),
    "nothing typed": dataset(None, maxshape=(3,)),
    "empty list untyped": dataset([], maxshape=(3,)),
    "maxshape too small": dataset(maxshape=(4, 5)),
    "maxshape of other rank": dataset(maxshape=(4, 6, 1)),
    "no limit, not resizable": dataset(maxshape=(None, 6)),
    "negative size": dataset(maxshape=(-4, 6), resizable=True),
    "size is text": dataset(maxshape="44"),
    "size is no integer": dataset(maxshape=(4.5, 6)),
    "shape against data": dataset(shape=(6, 4)),
    "resizable scalar": dataset(3, resizable=True),
    # chunks and filters
    "chunk rank": dataset(chunking=(4,)),
    "chunk too large": dataset(chunking=(4, 7)),
    "chunk of zero": dataset(chunking=(0, 6)),
    "chunk is text": dataset(chunking="big"),
    "no such filter": dataset(compression="rar"),
    "filter not installed": dataset(compression=40000),
    "gzip level": dataset(compression="gzip", compression_opts=11),
    "options without filter": dataset(compression_opts=4),
    "filter on a scalar": dataset(3, compression="gzip"),
    "filter on nothing": dataset(h5py.Empty("f4"), compression="gzip"),
    "scaleoffset on text": dataset(np.array([b"a"]), scaleoffset=True),
    "fill value": dataset(fillvalue="none"),
    "fill time": dataset(fill_time="sometimes", chunking=True),
    # iterators
    "iterator of nothing": lambda: MicroDataset("x", iter([])),
    "iterator of scalars": lambda: MicroDataset("x", iter([1, 2])),
    "iterator of other rows": lambda: MicroDataset("x", iter([DATA]), shape=(4, 5)),
    # attributes
    "attribute of objects": attribute(object()),
    "attribute dict": attribute({"a": 1}),
    "attribute time": attribute(np.datetime64("2020-01-01")),
    "attribute too large": attribute(np.zeros(100_000)),
    "attribute name": attribute(1, 3),
    "attribute empty name": attribute(1, ""),
    "attribute NUL": attribute("a\0b"),
    "attribute name NUL": attribute(1, "a\0b"),
    "reference among numbers": attribute([Reference("/x"), 3]),
    "reference and region": attribute([Reference("/x"), Reference("/x", 1)]),
    "reference to nothing": attribute(Reference("/nowhere")),
    "reference to no node": attribute(Reference(3.5)),
    "reference to a node not written": attribute(MicroDataset("other", [1])),
    "region outside": attribute(Reference("/x", np.s_[9, 9])),
    "region of too many axes": attribute(Reference("/x", np.s_[0, 0, 0])),
    "region of a group": attribute(Reference("/", np.s_[0])),
    "reference in data to nothing": dataset([Reference("/nowhere")]),
    # labels
    "labels do not fit": attribute(["a", "b", "c"], "labels"),
    "labels for one axis": lambda: MicroDataset("x", np.zeros(2), attrs={"labels": ["a", "b"]}),
    "label twice": attribute(list("abca"), "labels"),
    "label is no name": attribute(["a", "b", "c", 4], "labels"),
    "label of other rank": attribute({"a": (slice(1),)}, "labels"),
    "label outside": attribute({"a": np.s_[99, 0]}, "labels"),
    "label is an attribute": lambda: MicroDataset("x", DATA, attrs={"a": 1, "labels": list("abcd")}),
    # links
    "soft link to nothing": lambda: SoftLink("x", ""),
    "soft link to a number": lambda: SoftLink("x", 3),  # type: ignore[arg-type]
    "soft link to a node not written": lambda: SoftLink("x", MicroDataset("other", [1])),
    "hard link to nothing": lambda: HardLink("x", "/nowhere"),
    "hard link to itself": lambda: LOOP,
    "hard link to a link": lambda: HardLink("x", SoftLink("y", "/")),
    "external link without a file": lambda: ExternalLink("x", "", "/"),
    # dimension scales
    "scale of no axis": dataset(scales={2: "/x"}),
    "scale is itself": dataset(scales={0: "/g/x"}),
    "scale is nothing": dataset(scales={0: "/nowhere"}),
    "scale has scales": dataset(scale=True, scales={0: "/data"}),
    "scale is a group": dataset(scales={0: "/g"}),
    "scale name": dataset(scale=3),
    "too many axis labels": dataset(axis_labels=("a", "b", "c")),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_input_is_refused_before_anything_is_written_and_the_node_is_named(
    tmp_path: Path, kind: str
) -> None:
    node = WRONG[kind]()
    good = MicroDataset("good", DATA)
    tree = MicroDataGroup("/", children=[good, MicroDataGroup("g", children=[node])])
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["data"] = 1
    before = (tmp_path / "f.h5").read_bytes()
    with h5py.File(tmp_path / "f.h5", "r") as file, pytest.raises(InvalidTreeError) as caught:
        plan_write(tree, FileNamespace(file))
    assert caught.value.dataset == "/g/x"
    assert "/g/x" in str(caught.value)
    assert isinstance(caught.value, InputError)
    assert (tmp_path / "f.h5").read_bytes() == before


def test_a_data_type_that_hdf5_cannot_hold_is_a_type_error(tmp_path: Path) -> None:
    for kind in ("time", "objects", "dict", "object to text", "attribute time"):
        with h5py.File(tmp_path / "f.h5", "w") as file, pytest.raises(InvalidTypeError) as caught:
            plan_write(WRONG[kind](), FileNamespace(file))
        assert isinstance(caught.value, TypeError)


def test_a_large_attribute_is_taken_where_the_file_format_allows_it(tmp_path: Path) -> None:
    node = MicroDataGroup("g", attrs={"a": np.zeros(100_000)})
    with pytest.raises(InvalidTreeError):
        write(node, tmp_path / "old.h5")
    with h5py.File(tmp_path / "new.h5", "w", libver="latest") as file:
        from tests.microdata.writing import write_into

        write_into(file, node)
        assert file["g"].attrs["a"].shape == (100_000,)
        with h5py.File(tmp_path / "old.h5", "w") as old, pytest.raises(InvalidTreeError, match="/g"):
            write_into(old, MicroDataGroup.from_hdf5(file))


def failing() -> Any:
    yield DATA
    raise ConnectionError("the camera is gone")


@pytest.mark.parametrize(
    ("node", "error"),
    [
        (MicroDataset("x", iter([DATA, DATA[:, :5]])), InvalidTreeError),
        (MicroDataset("x", iter([DATA, DATA]), shape=(7, 6)), InvalidTreeError),
        (MicroDataset("x", iter([DATA]), shape=(7, 6)), InvalidTreeError),
        (MicroDataset("x", iter([DATA, DATA.astype("S3")])), InvalidTypeError),
        (MicroDataset("x", iter([["a"], ["b\0c"]]), UTF8), InvalidTypeError),
        (MicroDataset("x", failing()), ConnectionError),
    ],
)
def test_what_an_iterator_gives_wrong_is_an_error_when_it_comes(
    tmp_path: Path, node: MicroDataset, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        write(node, tmp_path / "f.h5")
    if isinstance(caught.value, InvalidTreeError):
        assert caught.value.dataset == "/x"


def test_an_iterator_is_not_consumed_by_a_plan_that_is_refused(tmp_path: Path) -> None:
    good = MicroDataset("good", iter([DATA, DATA]))
    bad = MicroDataset("bad", object())
    with h5py.File(tmp_path / "f.h5", "w") as file:
        with pytest.raises(InvalidTreeError):
            plan_write([good, bad], FileNamespace(file))
        from tests.microdata.writing import write_into

        write_into(file, good)
        assert file["good"].shape == (8, 6)


def test_an_iterator_is_never_written_twice_as_if_it_were_empty(tmp_path: Path) -> None:
    node = MicroDataset("x", iter([DATA]), "f4", shape=(4, 6))
    write(node, tmp_path / "a.h5")
    with pytest.raises(InvalidTreeError, match="read before"):
        write(node, tmp_path / "b.h5")


def test_a_link_has_no_attributes(tmp_path: Path) -> None:
    link = SoftLink("x", "/y")
    link.attrs["a"] = 1
    with pytest.raises(InvalidTreeError, match="/x"):
        write(link, tmp_path / "f.h5")
