"""What a stream may be made of, and what is refused before anything is made."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import (
    InputError,
    InvalidOptionError,
    InvalidTreeError,
    InvalidTypeError,
    SessionStateError,
)
from safeh5.session import Session

EVENT = np.dtype([("name", h5py.string_dtype()), ("hits", h5py.vlen_dtype("i4")), ("n", "i4")])


@pytest.mark.parametrize("dtype", [str, "U5", np.dtypes.StringDType()], ids=["str", "U5", "StringDType"])
def test_numpys_text_is_a_stream_of_strings_of_any_length(target: Path, dtype: Any) -> None:
    session = safeh5.open(target)
    stream = session.stream("/s", (), dtype)
    stream.append("ä longer text")
    assert session.stream("/s", (), dtype) is stream
    session.commit()
    with h5py.File(target) as file:
        assert file["s"].asstr()[:].tolist() == ["ä longer text"]


def test_a_compound_type_with_strings_and_sequences_is_streamed_and_opened_again(session: Session) -> None:
    stream = session.stream("/s", (), EVENT)
    stream.append(("first", np.arange(3, dtype="i4"), 1))
    session.suspend()
    with safeh5.open(session.target, resume=True) as again:
        again.stream("/s", (), EVENT).append(("ä", np.arange(0, dtype="i4"), 2))
    with h5py.File(session.target) as file:
        found = [(row["name"].decode(), row["hits"].tolist(), int(row["n"])) for row in file["s"][:]]
    assert found == [("first", [0, 1, 2], 1), ("ä", [], 2)]


def test_a_number_is_the_shape_of_an_item_with_one_axis(target: Path) -> None:
    session = safeh5.open(target)
    assert session.stream("/s", 3, "i4").shape == (3,)
    assert session.stream("/s", np.int64(3)).shape == (3,)
    session.rollback()


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("/s", (-1,), "i4"), {}, InvalidTreeError),
        (("/s", (2.5,), "i4"), {}, InvalidTreeError),
        (("/s", (None,), "i4"), {}, InvalidTreeError),
        (("/s", "x", "i4"), {}, InvalidTreeError),
        (("/s", (3,), "nonsense"), {}, InvalidTypeError),
        (("/s", (3,), object), {}, InvalidTypeError),
        (("/s", (3,), "M8[ns]"), {}, InvalidTypeError),
        ((b"/s", (3,), "i4"), {}, InvalidTypeError),
        (("/s\udc80", (3,), "i4"), {}, InvalidTreeError),
        (("/s", (3,), "i4"), {"maxshape": (5, 3)}, InvalidOptionError),
        (("/s", (3,), "i4"), {"data": [1, 2, 3]}, InvalidOptionError),
    ],
)
def test_what_is_no_stream_is_refused_and_leaves_nothing(
    target: Path, arguments: Any, options: Any, error: type[InputError]
) -> None:
    session = safeh5.open(target)
    with pytest.raises(error):
        session.stream(*arguments, **options)
    assert not session.has_changes
    session.commit()
    with h5py.File(target) as file:
        assert list(file) == []


def test_a_session_and_its_streams_are_not_sent_to_other_processes(target: Path) -> None:
    session = safeh5.open(target)
    for thing in (session, session.stream("/s", (), "i8")):
        with pytest.raises(SessionStateError, match="cannot be sent to another process"):
            pickle.dumps(thing)
    session.rollback()


@pytest.mark.parametrize("start", [-1, "a", 1.5, True])
def test_a_tail_begins_with_a_whole_number(target: Path, start: Any) -> None:
    session = safeh5.open(target)
    with safeh5.live(target) as view, pytest.raises(InvalidOptionError, match="first item"):
        view.tail("/s", start=start)
    session.rollback()
