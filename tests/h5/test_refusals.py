"""What HDF5 refuses, h5py says as ever; what cannot be journaled is refused, not done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5a, h5d, h5f, h5o, h5p, h5s, h5t

from safeh5.errors import UnjournaledOperationError
from safeh5.h5 import journaled_file
from tests.h5.tape import Tape

Attempt = Callable[[h5py.File], Any]


def furnish(f: h5py.File) -> None:
    f.create_dataset("d", data=np.arange(6.0))
    f.create_dataset("chunked", (4, 4), "i4", chunks=(2, 2), maxshape=(8, None))
    f.create_dataset("text", (2,), h5py.string_dtype("ascii"))
    f.create_dataset("null", data=h5py.Empty("f8"))
    f.create_group("g")
    f.attrs["a"] = 1


ATTEMPTS: dict[str, Attempt] = {
    "a group where something stands": lambda f: f.create_group("d"),
    "a dataset where something stands": lambda f: f.create_dataset("g", data=1),
    "a value where something stands": lambda f: f.__setitem__("d", 1),
    "a datatype where something stands": lambda f: f.__setitem__("d", np.dtype("f4")),
    "a link where something stands": lambda f: f.__setitem__("d", f["g"]),
    "a soft link where something stands": lambda f: f.__setitem__("d", h5py.SoftLink("/g")),
    "an external link where something stands": lambda f: f.__setitem__("d", h5py.ExternalLink("x", "/g")),
    "a group in a dataset": lambda f: f.create_group("d/x"),
    "a group without the groups above it": lambda f: h5py.h5g.create(f.id, b"no/such/group"),
    "deleting nothing": lambda f: f.__delitem__("nothing"),
    "deleting something in a dataset": lambda f: f.__delitem__("d/x"),
    "moving something out of a dataset": lambda f: f.move("d/x", "x"),
    "deleting the file": lambda f: f.__delitem__("/"),
    "moving nothing": lambda f: f.move("nothing", "x"),
    "moving onto something": lambda f: f.move("d", "g"),
    "copying nothing": lambda f: f.copy("nothing", "x"),
    "copying onto something": lambda f: f.copy("d", "g"),
    "deleting no attribute": lambda f: f.attrs.__delitem__("nothing"),
    "renaming no attribute": lambda f: h5a.rename(f.id, b"nothing", b"x"),
    "making an attribute twice": lambda f: h5a.create(f.id, b"a", h5t.NATIVE_INT8, h5s.create(h5s.SCALAR)),
    "an attribute that is too large": lambda f: f.attrs.__setitem__("large", np.zeros(20_000)),
    "an attribute of no type": lambda f: f.attrs.__setitem__("o", object()),
    "resizing what is not chunked": lambda f: f["d"].resize((9,)),
    "resizing past the limit": lambda f: f["chunked"].resize((9, 9)),
    "resizing to another rank": lambda f: f["chunked"].id.set_extent((4,)),
    "extending to another rank": lambda f: f["chunked"].id.extend((4,)),
    "writing the wrong shape": lambda f: f["d"].__setitem__(slice(0, 3), np.zeros(4)),
    "writing text to numbers": lambda f: f["d"].__setitem__(0, "text"),
    "writing objects to numbers": lambda f: f["d"].__setitem__(Ellipsis, np.full(6, 3, object)),
    "writing numbers to text": lambda f: f["text"].__setitem__(0, 5),
    "writing what ASCII has not": lambda f: f["text"].__setitem__(0, "\u7eff"),
    "writing a zero byte": lambda f: f["text"].__setitem__(0, "a\0b"),
    "writing to a null dataset": lambda f: f["null"].write_direct(np.zeros(3)),
    "writing a chunk at no chunk's place": lambda f: f["chunked"].id.write_direct_chunk((1, 0), bytes(16)),
    "writing a chunk of a contiguous dataset": lambda f: f["d"].id.write_direct_chunk((0,), bytes(8)),
    "an array that is not in a row": lambda f: f["d"].id.write(h5s.ALL, h5s.ALL, np.zeros(12)[::2]),
    "chunks larger than the dataset": lambda f: f.create_dataset("x", (2,), "i4", chunks=(3,)),
    "a fill value of another type": lambda f: f.create_dataset("x", (2,), [("a", "i4")], fillvalue=3),
    "a filter that is not there": lambda f: f.create_dataset("x", (8,), "i4", compression=31999),
    "a label of an axis that is not there": lambda f: f["d"].dims[5],
    "labelling an axis that is not there": lambda f: h5py.h5ds.set_label(f["d"].id, 3, b"x"),
}


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[Tape]:
    made = Tape(tmp_path / "live.h5")
    yield made
    if not made.ended:
        made.close()


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS.keys())
def test_what_h5py_refuses_is_refused_alike_and_nothing_is_journaled(
    attempt: Attempt, tape: Tape, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "plain.h5", "w") as plain:
        furnish(plain)
        with pytest.raises(Exception) as expected:
            attempt(plain)
    file = journaled_file(tape)
    furnish(file)
    before = list(tape.records)
    with pytest.raises(type(expected.value)):
        attempt(file)
    assert tape.records == before
    assert file["d"][:].tolist() == [0, 1, 2, 3, 4, 5] and file.attrs["a"] == 1


def test_a_selection_past_the_end_of_a_dataset_is_refused_even_where_hdf5_writes_there(tape: Tape) -> None:
    file = journaled_file(tape)
    furnish(file)
    before = list(tape.records)
    space = h5s.create_simple((9,))
    with pytest.raises(OSError, match="extent"):
        file["d"].id.write(space, space, np.zeros(9))
    assert tape.records == before


def other_file(directory: Path) -> Path:
    path = directory / "other.h5"
    with h5py.File(path, "w") as other:
        other["x"] = np.arange(3)
        other.create_group("g")
    return path


REFUSALS: dict[str, Callable[[h5py.File, Path], Any]] = {
    "SWMR mode": lambda f, other: setattr(f, "swmr_mode", True),
    "a name that is not UTF-8": lambda f, other: f.create_group(b"\xff"),
    "mounting": lambda f, other: h5f.mount(f.id, b"g", h5py.File(other, "r").id),
    "mounted": lambda f, other: h5f.mount(h5py.File(other, "r+").id, b"g", f.id),
    "creating through an external link": lambda f, other: f.create_group("elsewhere/new"),
    "a child of a nameless group": lambda f, other: h5py.Group(h5py.h5g.create(f.id, None)).create_group("x"),
    "external storage under a prefix": lambda f, other: f.create_dataset(
        "ext", (4,), "u1", external=[("raw", 0, 4)], efile_prefix="/tmp"
    ),
}


@pytest.mark.parametrize("attempt", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_road_that_cannot_be_journaled_is_refused_by_name(
    attempt: Callable[[h5py.File, Path], Any], tape: Tape, tmp_path: Path
) -> None:
    other = other_file(tmp_path)
    file = journaled_file(tape)
    furnish(file)
    file["elsewhere"] = h5py.ExternalLink(other, "/g")
    before = list(tape.records)
    with pytest.raises(UnjournaledOperationError, match="not done"):
        attempt(file, other)
    assert tape.records == before


def test_a_write_through_a_virtual_dataset_into_another_file_is_refused(tape: Tape, tmp_path: Path) -> None:
    other = other_file(tmp_path)
    file = journaled_file(tape)
    layout = h5py.VirtualLayout((3,), "i8")
    layout[:] = h5py.VirtualSource(other, "x", (3,))
    virtual = file.create_virtual_dataset("v", layout)
    with pytest.raises(UnjournaledOperationError, match="virtual"):
        virtual[0] = 1


def test_another_file_behind_an_external_link_is_read_and_cannot_be_written(
    tape: Tape, tmp_path: Path
) -> None:
    other = other_file(tmp_path)
    file = journaled_file(tape)
    file["x"] = h5py.ExternalLink(other, "/x")
    assert file["x"][:].tolist() == [0, 1, 2]
    assert file["x"].file.filename == str(other)
    with pytest.raises(OSError, match="no write intent"):
        file["x"][0] = 9
    assert tape.kinds == ["CreateExternalLink"]


def test_a_dataset_is_made_behind_an_external_link_as_little_as_written(tape: Tape, tmp_path: Path) -> None:
    other = other_file(tmp_path)
    file = journaled_file(tape)
    file["elsewhere"] = h5py.ExternalLink(other, "/g")
    file.create_dataset("here", data=1)  # what HDF5 makes of such values is known from here on
    before = list(tape.records)
    for data in (1, 2):
        with pytest.raises(ValueError, match="no write intent"):
            file.create_dataset("elsewhere/x", data=data)
    assert tape.records == before


def test_an_attribute_that_cannot_be_written_leaves_the_old_one(tape: Tape) -> None:
    file = journaled_file(tape)
    file.attrs["a"] = 1
    for value in (object(), np.zeros(20_000), np.array(["a\0b"], object)):
        with pytest.raises((TypeError, OSError, ValueError)):
            file.attrs["a"] = value
    assert file.attrs["a"] == 1 and tape.kinds == ["SetAttribute"]


def test_a_copy_into_another_file_is_h5pys_own(tape: Tape, tmp_path: Path) -> None:
    file = journaled_file(tape)
    furnish(file)
    before = list(tape.records)
    with h5py.File(other_file(tmp_path), "r+") as other:
        file.copy("d", other, "copied")
        h5o.copy(file.id, b"g", other.id, b"group")
        assert other["copied"][:].tolist() == [0, 1, 2, 3, 4, 5]
    assert tape.records == before


def test_what_would_be_allocated_at_once_is_not_tried_out_in_memory(tape: Tape) -> None:
    file = journaled_file(tape)
    dcpl = h5p.create(h5p.DATASET_CREATE)
    dcpl.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    h5d.create(file.id, b"early", h5t.NATIVE_INT8, h5s.create_simple((10,)), dcpl)
    assert tape.operations[0].layout.alloc_time == h5d.ALLOC_TIME_EARLY  # type: ignore[attr-defined]


def test_a_field_that_is_a_compound_is_refused_as_by_h5py(tape: Tape) -> None:
    # h5py asks for a write of no member at all; HDF5 dies when it is asked to convert that.
    inner = np.dtype([("c", "f8")])
    file = journaled_file(tape)
    dataset = file.create_dataset("d", (3,), [("a", "i4"), ("b", inner)])
    before = list(tape.records)
    with pytest.raises(ValueError, match="Size must be positive"):
        dataset["b"] = np.ones(3, inner)
    assert tape.records == before
