"""Python objects as values: what h5py refuses is refused, and what is written is what the journal says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from safeh5.h5 import journaled_file
from safeh5.testing.compare import differences
from tests.h5.tape import Tape, three_ways

NUMBERS = h5py.vlen_dtype("i4")


def _objects(*items: Any, dtype: Any = object) -> Any:
    made = np.empty(len(items), dtype)
    for i, item in enumerate(items):
        made[i] = item
    return made


def _as_written(tmp_path: Path, write: Callable[[h5py.File], Any]) -> h5py.File:
    """What `write` makes, from the journal alone; the file itself must be the same."""
    tape = Tape(tmp_path / "live.h5")
    with journaled_file(tape) as file:
        write(file)
    tape.play(tmp_path / "played.h5")
    assert not differences(tmp_path / "live.h5", tmp_path / "played.h5")
    return h5py.File(tmp_path / "played.h5")


REFUSED: dict[str, tuple[Callable[[h5py.File], Any], Any]] = {
    "numbers for sequences": (lambda file: np.array([1, 2]), NUMBERS),
    "lists for sequences": (lambda file: _objects([1, 2], [3]), NUMBERS),
    "text for sequences": (lambda file: _objects("a", "b"), NUMBERS),
    "nothing for a sequence": (lambda file: _objects(None), NUMBERS),
    "an object reference for a region": (lambda file: _objects(file.ref), h5py.regionref_dtype),
    "a region for an object reference": (lambda file: _objects(file["d"].regionref[:]), h5py.ref_dtype),
    "a number for a reference": (lambda file: _objects(file.ref, 0), h5py.ref_dtype),
    "a zero in a text": (lambda file: _objects("a", "b\0c"), h5py.string_dtype()),
    "numbers for texts": (lambda file: _objects("a", 1), h5py.string_dtype()),
    "text that is not ascii": (lambda file: _objects("a", "é"), h5py.string_dtype("ascii")),
    "objects in a compound": (
        lambda file: np.array([(1, [1, 2])], [("n", "i4"), ("s", NUMBERS)]),
        np.dtype([("n", "i4"), ("s", NUMBERS)]),
    ),
}


if h5py.version.version_tuple[:2] < (3, 14):
    del REFUSED["a region for an object reference"]  # it writes one that leads nowhere


@pytest.mark.parametrize("case", REFUSED)
def test_objects_that_h5py_refuses_are_refused_alike_and_leave_no_attribute(
    case: str, tmp_path: Path
) -> None:
    make, dtype = REFUSED[case]

    def write(file: h5py.File) -> type[BaseException]:
        file["d"] = np.arange(3)
        with pytest.raises((TypeError, ValueError, AttributeError, OSError)) as refused:
            file.attrs.create("a", make(file), dtype=dtype)
        assert "a" not in file.attrs
        return refused.type

    with h5py.File(tmp_path / "plain.h5", "w") as file:
        expected = write(file)
    found: list[type[BaseException]] = []
    with _as_written(tmp_path, lambda file: found.append(write(file))) as played:
        assert not played.attrs
    assert found == [expected]


@pytest.mark.parametrize(
    ("rows", "read"),
    [
        ((np.array([1.5, 2.5]), np.array([3], ">i8")), [[1, 2], [3]]),
        ((np.array([1], "i4"), [2, 3]), [[1], [2, 3]]),
        ((np.array([1], "i4"), None), [[1], []]),
        ((np.array([[1, 2], [3, 4]]), np.array(5)), [[1, 2, 3, 4], [5]]),
        ((np.arange(6, dtype="i4")[::2], np.array([7], "i4")), [[0, 2, 4], [7]]),
    ],
    ids=["types", "list", "none", "dimensions", "strides"],
)
def test_sequences_of_several_kinds_are_written_as_they_are(rows: Any, read: Any, tmp_path: Path) -> None:
    # h5py takes all for one of the first one's kind, and reads past their ends.
    def write(file: h5py.File) -> None:
        dataset = file.create_dataset("d", (2,), NUMBERS)
        every = h5py.h5s.ALL
        dataset.id.write(every, every, _objects(*rows, dtype=NUMBERS))

    with _as_written(tmp_path, write) as played:
        assert [row.tolist() for row in played["d"]] == read


def test_a_number_in_the_place_of_a_sequence_does_not_end_the_process(tmp_path: Path) -> None:
    def write(file: h5py.File) -> None:
        file.create_dataset("d", (2,), NUMBERS)[()] = np.array(5)

    with _as_written(tmp_path, write) as played:
        assert [row.tolist() for row in played["d"]] == [[5], [5]]


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy 2")
@pytest.mark.parametrize("missing", [None, np.nan], ids=str)
def test_missing_strings_are_written_as_empty_ones(missing: Any, tmp_path: Path) -> None:
    if h5py.version.version_tuple < (3, 14):
        pytest.skip("h5py >= 3.14 knows this dtype")

    def write(file: h5py.File) -> None:
        values = np.array(["a", missing], np.dtypes.StringDType(na_object=missing))
        file.create_dataset("text", data=values)
        file.create_dataset("fixed", (2,), "S3")[:] = values

    three_ways(write, tmp_path)


EQUAL: list[Any] = [
    *[np.dtype("i4"), h5py.enum_dtype({"A": 1, "B": 2}, "i4"), h5py.enum_dtype({"X": 1, "Y": 2}, "i4")],
    *[np.dtype("i1"), np.dtype(bool), h5py.enum_dtype({"FALSE": 0, "TRUE": 1}, "i1")],
    *[np.dtype("S5"), h5py.string_dtype("utf-8", 5), np.dtype("V8"), h5py.opaque_dtype(np.dtype("V8"))],
    *[h5py.opaque_dtype(np.dtype("M8[s]")), h5py.string_dtype(), h5py.string_dtype("ascii")],
    *[h5py.vlen_dtype("i4"), h5py.vlen_dtype("f8"), h5py.ref_dtype, h5py.regionref_dtype],
]
"""Types of which NumPy takes some for equal to others: it does not look at their metadata."""


@pytest.mark.parametrize("turn", [1, -1], ids=["forward", "backward"])
def test_types_that_numpy_takes_for_equal_are_kept_apart(turn: int, tmp_path: Path) -> None:
    def write(file: h5py.File) -> None:
        # Twice, since what was made of a type is remembered.
        for number, dtype in enumerate((EQUAL[::turn]) * 2):
            group = file.create_group(f"g{number}")
            for deep, kind in enumerate((dtype, np.dtype([("a", dtype), ("b", "i4")]))):
                group.create_dataset(f"extent{deep}", (2,), kind)
                group.create_dataset(f"chunks{deep}", (2,), kind, chunks=(1,), maxshape=(None,))
                if h5py.check_ref_dtype(kind) is None:  # h5py names no type of a bare reference
                    group[f"type{deep}"] = kind
                group.attrs.create(f"empty{deep}", h5py.Empty(kind))
            if dtype.hasobject:
                continue
            values = np.array([1, 0], "i1").astype(dtype) if dtype.kind in "iub" else np.zeros(2, dtype)
            group.create_dataset("like", data=values)
            group.create_dataset("asked", data=values, dtype=dtype)
            group["item"] = values
            group["extent0"][...] = values
            group["extent0"][1] = values[1]
            group.attrs["item"] = values
            group.attrs.create("asked", values, dtype=dtype)
            group.attrs.modify("asked", values)

    three_ways(write, tmp_path)
