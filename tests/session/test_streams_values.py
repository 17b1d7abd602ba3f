"""What a stream takes as an item, and what it refuses because something would be lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import InvalidTypeError
from tests.session.reading import committed

ROW = np.dtype([("t", "f8"), ("n", "i2"), ("name", "S4"), ("at", "i4", (2,)), ("in", [("x", "i1")])])


def test_a_tuple_is_a_compound_value_and_a_list_of_them_a_block(target: Path) -> None:
    session = safeh5.open(target)
    stream, pairs = session.stream("/s", (), ROW), session.stream("/p", (2,), ROW)
    rows = [(0.5, number, f"ä{number}", [number, 2], (number,)) for number in range(5)]
    stream.append(rows[0])
    stream.extend(rows[1:3])
    stream.write(slice(0, 2), [rows[3], rows[4]])
    pairs.append(rows[:2])
    wanted = np.array([(t, n, name.encode(), at, of) for t, n, name, at, of in rows], ROW)
    assert committed(session, "s").tobytes() == wanted[[3, 4, 2]].tobytes()
    with h5py.File(target) as file:
        assert file["p"][0].tobytes() == wanted[:2].tobytes()


@pytest.mark.parametrize(
    "row",
    [
        (0.5, 1 << 20, b"", [1, 2], (1,)),
        (0.5, 1.5, b"", [1, 2], (1,)),
        (0.5, 1, b"too long", [1, 2], (1,)),
        (0.5, 1, b"", [1, 2, 3], (1,)),
        (0.5, 1, b"", [1, 2], (300,)),
        (0.5, 1, b"", [1, 2]),
    ],
)
def test_a_tuple_with_a_field_that_would_lose_something_is_refused(target: Path, row: Any) -> None:
    session = safeh5.open(target)
    stream = session.stream("/s", (), ROW)
    for call in (lambda: stream.append(row), lambda: stream.extend([row])):
        with pytest.raises(InvalidTypeError, match="/s"):
            call()
    assert len(stream) == 0
    session.rollback()


def test_a_sequence_is_one_element_of_a_variable_length_type(target: Path) -> None:
    session = safeh5.open(target)
    hits = session.stream("/hits", (), h5py.vlen_dtype("i4"))
    for item in (np.arange(3), [1, 2], [], np.arange(2, dtype=">i8")):
        hits.append(item)
    hits.extend([[7], [8, 9]])
    grid = session.stream("/grid", (2,), h5py.vlen_dtype("f8"))
    grid.append([[1], [2, 3]])
    grid.append([[1, 2], [3, 4]])
    for bad in ([1.5], [1 << 40], [[1], [2]], 3, "text"):
        with pytest.raises(InvalidTypeError, match="/hits"):
            hits.append(bad)
    found = [row.tolist() for row in committed(session, "hits")]
    assert found == [[0, 1, 2], [1, 2], [], [0, 1], [7], [8, 9]]
    with h5py.File(target) as file:
        assert [[cell.tolist() for cell in row] for row in file["grid"]] == [[[1], [2, 3]], [[1, 2], [3, 4]]]


def test_text_becomes_utf8_in_strings_of_fixed_length_and_is_never_cut(target: Path) -> None:
    session = safeh5.open(target)
    stream = session.stream("/s", (), "S4")
    for item in ("ä", b"abcd", "", np.str_("xyz")):
        stream.append(item)
    for item in ("äää", b"abcde", np.array(b"abcdef")):
        with pytest.raises(InvalidTypeError, match="/s"):
            stream.append(item)
    assert committed(session, "s").tolist() == ["ä".encode(), b"abcd", b"", b"xyz"]


def test_an_empty_list_is_a_block_without_items(target: Path) -> None:
    session = safeh5.open(target)
    stream = session.stream("/s", (3,), "i4")
    stream.extend([])
    stream.append([1, 2, 3])
    assert committed(session, "s").tolist() == [[1, 2, 3]]
