"""Streams: what was appended is there, in order, once; a sync serves everybody who waits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import (
    DiskFullError,
    InvalidOptionError,
    InvalidTreeError,
    InvalidTypeError,
    SessionFailedError,
)
from safeh5.microdata import MicroDataset
from safeh5.recovery import replay
from safeh5.session import Session
from safeh5.testing.faults import Fault, FaultyStorage
from tests.session.reading import committed
from tests.support import make_old


def interrupted(session: Session, target: Path, **options: object) -> Session:
    """The session again, after a crash."""
    session._abandon()
    return safeh5.open(target, resume=True, **options)  # type: ignore[arg-type]


# --- what is appended -----------------------------------------------------------------------------


def test_items_stand_in_the_order_in_which_they_were_appended(session: Session) -> None:
    stream = session.stream("/a/b/frames", (3, 4), "f4", attrs={"unit": "V"}, compression="gzip")
    for number in range(10):
        stream.append(np.full((3, 4), number))
    stream.extend(np.arange(24).reshape(2, 3, 4))
    assert stream.length == len(stream) == stream.durable_length == 12
    session.commit()
    with h5py.File(session.target) as file:
        data = file["a/b/frames"]
        assert data.attrs["unit"] == "V" and data.compression == "gzip" and data.maxshape == (None, 3, 4)
        np.testing.assert_array_equal(data[:10, 1, 2], np.arange(10))
        np.testing.assert_array_equal(data[10:].ravel(), np.arange(24))


def test_an_array_may_be_changed_as_soon_as_append_returns(session: Session) -> None:
    stream, item = session.stream("/s", (5,), "i8"), np.zeros(5, "i8")
    for number in range(20):
        item[:] = number
        stream.append(item)
    np.testing.assert_array_equal(committed(session, "s")[:, 0], np.arange(20))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24.0).reshape(4, 6).T,
        np.arange(48.0).reshape(6, 8)[:, ::2],
        np.asfortranarray(np.arange(24.0).reshape(6, 4)),
        np.arange(24.0).reshape(6, 4).astype(">f8"),
        np.arange(24.0).reshape(6, 4).tolist(),
        np.arange(24).reshape(6, 4).astype("u1"),
        np.ma.masked_array(np.arange(24.0).reshape(6, 4)),
    ],
    ids=["transposed", "strided", "fortran", "big endian", "list", "integers", "masked"],
)
def test_an_array_of_any_layout_arrives_as_numpy_shows_it(target: Path, array: Any) -> None:
    session = safeh5.open(target)
    session.stream("/s", (6, 4), "f8").append(array)
    np.testing.assert_array_equal(committed(session, "s")[0], np.asarray(array))


@pytest.mark.parametrize(
    "dtype", [">f4", "<i2", "?", "c16", "S5", "V3", np.dtype([("a", "i4"), ("b", ">f8")])], ids=str
)
def test_a_type_of_any_kind_arrives_exactly(target: Path, dtype: Any) -> None:
    session, raw = safeh5.open(target), os.urandom(4 * 40)
    dtype = np.dtype(dtype)
    values = (
        np.array([True, False, True, True])
        if dtype.kind == "b"
        else np.frombuffer(raw[: 4 * dtype.itemsize], dtype)
        if dtype.kind in "iV" and dtype.names is None
        else np.arange(4).astype(dtype)
        if dtype.names is None
        else np.array([(1, 2.5)] * 4, dtype)
    )
    stream = session.stream("/s", (), dtype)
    stream.append(values[0])
    stream.extend(values[1:])
    found = committed(session, "s")
    assert found.dtype == dtype and found.tobytes() == values.tobytes()


def test_strings_and_sequences_of_any_length_are_streamed(session: Session) -> None:
    words = session.stream("/words", (2,), h5py.string_dtype())
    waves = session.stream("/waves", (), h5py.vlen_dtype("f4"))
    for number in range(4):
        words.append(["ä" * number, "x" * 1000])
        wave = np.empty((), object)
        wave[()] = np.arange(number, dtype="f4")
        waves.append(wave)
    session.commit()
    with h5py.File(session.target) as file:
        assert [row[0].decode() for row in file["words"]] == ["ä" * number for number in range(4)]
        assert [len(wave) for wave in file["waves"]] == [0, 1, 2, 3]


def test_references_are_streamed_and_lead_to_their_objects(session: Session) -> None:
    for number in range(3):
        session.write(MicroDataset(f"d{number}", np.full(2, number)))
    stream = session.stream("/refs", (), h5py.ref_dtype)
    for number in (2, 0, 1):
        reference = np.empty((), h5py.ref_dtype)
        reference[()] = session.file[f"d{number}"].ref
        stream.append(reference)
    session.commit()
    with h5py.File(session.target) as file:
        assert [file[reference][0] for reference in file["refs"]] == [2, 0, 1]


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 5)])
def test_items_without_elements_are_counted(session: Session, shape: tuple[int, ...]) -> None:
    stream = session.stream("/s", shape, "f8")
    for _ in range(3):
        stream.append(np.empty(shape))
    stream.extend(np.empty((4, *shape)))
    assert committed(session, "s").shape == (7, *shape)


def test_a_block_without_items_changes_nothing(session: Session) -> None:
    stream = session.stream("/s", (2,), "f8")
    stream.extend(np.empty((0, 2)))
    assert stream.length == 0
    stream.append([1, 2])
    stream.extend(np.empty((0, 2)))
    assert (stream.length, stream.durable_length) == (1, 1)
    assert committed(session, "s").tolist() == [[1, 2]]


# --- what is refused ------------------------------------------------------------------------------


def _append(item: Any) -> Callable[[Any], object]:
    return lambda stream: stream.append(item)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (_append(np.zeros(4)), InvalidTreeError),
        (_append(np.zeros((1, 3))), InvalidTreeError),
        (_append(5), InvalidTreeError),
        (_append("text"), InvalidTypeError),
        (_append([1, [2, 3], 4]), InvalidTypeError),
        (_append(np.zeros(3, "c8")), InvalidTypeError),
        (_append(np.array([1.5, 2, 3])), InvalidTypeError),
        (_append(np.array([1, 2, 1 << 40])), InvalidTypeError),
        (lambda stream: stream.extend(np.zeros(3)), InvalidTreeError),
        (lambda stream: stream.extend(np.zeros((2, 4), int)), InvalidTreeError),
        (lambda stream: stream.write(1, 7), InvalidTreeError),
        (lambda stream: stream.write(slice(0, 1, 2), 7), InvalidTreeError),
        (lambda stream: stream.write((0, 0, 0), 7), InvalidTreeError),
        (lambda stream: stream.write(None, 7), InvalidTypeError),
        (lambda stream: stream.write(0, [1, 2]), InvalidTreeError),
        (lambda stream: stream.rewind(2), InvalidOptionError),
        (lambda stream: stream.rewind(-1), InvalidOptionError),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    target: Path, call: Callable[[Any], object], error: type[Exception]
) -> None:
    session = safeh5.open(target)
    stream = session.stream("/s", (3,), "i4")
    stream.append([1, 2, 3])
    lsn = session.last_lsn
    with pytest.raises(error) as caught:
        call(stream)
    assert "/s" in str(caught.value) or "rewind" in str(caught.value)
    assert session.last_lsn == lsn and stream.length == 1
    stream.append([4, 5, 6])
    assert committed(session, "s").tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_stream_ends_where_its_dataset_may_not_grow_any_more(target: Path) -> None:
    with h5py.File(target, "w") as file:
        file.create_dataset("s", (1, 2), "i4", maxshape=(4, 2), chunks=(1, 2))
        file["fixed"] = np.zeros((3, 2))
        file["scalar"] = 1
        file.create_group("g")
    session = safeh5.open(target)
    stream = session.stream("/s")
    stream.extend([[1, 1], [2, 2]])
    with pytest.raises(InvalidTreeError, match="4"):
        stream.extend([[3, 3], [4, 4]])
    assert stream.length == 3
    stream.append([3, 3])
    with pytest.raises(InvalidTreeError, match="4"):
        stream.append([4, 4])
    fixed = session.stream("/fixed")
    with pytest.raises(InvalidTreeError):
        fixed.append([1, 1])
    fixed.write(1, 5)
    for path in ("/scalar", "/g", "/", "/g/../s", "/new"):
        with pytest.raises(InvalidTreeError):
            session.stream(path)
    with pytest.raises(InvalidTreeError):
        session.stream("/s", (3,))
    with pytest.raises(InvalidTypeError):
        session.stream("/s", (2,), "f8")
    session.commit()
    with h5py.File(target) as file:
        assert file["s"][:, 0].tolist() == [0, 1, 2, 3] and file["fixed"][:, 1].tolist() == [0, 5, 0]


# --- writing out of order, and going back ---------------------------------------------------------


def test_a_raster_scan_is_written_in_any_order(session: Session) -> None:
    stream, expected = session.stream("/map", (4, 5), "f4"), np.zeros((3, 4, 5), "f4")
    stream.extend(expected)
    for selection, values in [
        ((0, 1, 2), 1.0),
        ((2, slice(1, 3)), np.arange(10).reshape(2, 5)),
        ((slice(None), 3), np.arange(5)),
        ((-1, -1, -1), 9.0),
        (1, np.full((4, 5), 7)),
        (slice(0, 2), 3.0),
        ((slice(1, 1),), 5.0),
    ]:
        stream.write(selection, values)
        expected[selection] = values
    np.testing.assert_array_equal(committed(session, "map"), expected)


def test_items_that_were_rewound_are_gone_and_their_places_are_taken_again(session: Session) -> None:
    stream = session.stream("/s", (), "i4")
    stream.extend(np.arange(10))
    stream.rewind(4)
    assert (stream.length, stream.durable_length) == (4, 4)
    stream.append(44)
    stream.rewind(5)
    stream.rewind(0)
    stream.extend([7, 8])
    assert committed(session, "s").tolist() == [7, 8]


# --- batches --------------------------------------------------------------------------------------


def test_a_batch_ties_streams_together_through_a_crash(target: Path) -> None:
    session = safeh5.open(target, durability="flush")
    x, y = session.stream("/x", (), "i4"), session.stream("/y", (2,), "f8")
    for number in range(5):
        with session.batch():
            x.append(number)
            y.append([number, number])
    session.sync()
    with pytest.raises(SessionFailedError), session.batch():
        x.append(5)
        session._abandon()
    again = safeh5.open(target, resume=True)
    assert again.stream("/x").length == again.stream("/y").length == 5
    again.rollback()


@pytest.mark.parametrize("applier", ["inline", "process"])
def test_a_cancelled_batch_takes_the_lengths_back(target: Path, applier: str) -> None:
    session = safeh5.open(target, applier=applier)
    x, y = session.stream("/x", (), "i4"), session.stream("/y", (), "i4")
    x.extend([0, 1])
    with pytest.raises(ZeroDivisionError), session.batch():
        x.append(2)
        y.extend([0, 1, 2])
        x.rewind(1)
        x.append(9)
        _ = 1 / 0
    assert (x.length, y.length, x.durable_length, y.durable_length) == (2, 0, 2, 0)
    with pytest.raises(ZeroDivisionError), session.batch():
        x.rewind(0)
        _ = 1 / 0
    assert (x.length, x.durable_length) == (2, 2)
    x.append(2)
    y.append(0)
    assert committed(session, "x").tolist() == [0, 1, 2]
    with h5py.File(target) as file:
        assert file["y"][()].tolist() == [0]


def test_an_append_without_room_takes_the_length_back(target: Path) -> None:
    storage = FaultyStorage(Fault("append", nth=40, times=3, error=28, path="journal-"))
    session = safeh5.open(target, storage=storage)
    stream, refused, number = session.stream("/s", (), "i4"), 0, 0
    while number < 30:
        try:
            stream.append(number)
            number += 1
        except DiskFullError:
            refused += 1
        assert stream.length == number
    assert refused > 0
    np.testing.assert_array_equal(committed(session, "s"), np.arange(30))


# --- what is durable ------------------------------------------------------------------------------


def test_durable_length_counts_what_was_synced_and_no_more(target: Path) -> None:
    session = safeh5.open(target, durability="flush")
    stream = session.stream("/s", (), "i4")
    for number in range(5):
        stream.append(number)
    assert (stream.length, stream.durable_length) == (5, 0)
    session.sync()
    assert stream.durable_length == 5
    stream.append(5)
    assert (stream.length, stream.durable_length) == (6, 5)
    stream.rewind(2)
    assert (stream.length, stream.durable_length) == (2, 5)  # a crash now brings them back
    session.sync()
    assert stream.durable_length == 2
    session.rollback()


def test_an_item_of_an_open_batch_is_not_durable(target: Path) -> None:
    session = safeh5.open(target, durability="interval", interval_ms=1)
    stream = session.stream("/s", (), "i4")
    with session.batch():
        stream.append(1)
        time.sleep(0.05)
        assert stream.durable_length == 0
    time.sleep(0.05)
    assert stream.durable_length == 1
    session.rollback()


@pytest.mark.parametrize("rebuild", [-1, 1 << 30], ids=["from the checkpoint", "from the beginning"])
@pytest.mark.parametrize("applier", ["inline", "process"])
def test_after_a_crash_the_acquisition_goes_on_with_the_next_item(
    target: Path, applier: str, rebuild: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "REBUILD_BYTES", rebuild)
    make_old(target)
    session = safeh5.open(target, applier=applier)
    for part in range(3):
        stream = session.stream("/run/s", (2,), "i4")
        assert stream.length == stream.durable_length == 10 * part
        for number in range(10 * part, 10 * part + 10):
            stream.append([number, -number])
            if number % 4 == 0:
                session.checkpoint()
        session = interrupted(session, target, applier=applier)
    np.testing.assert_array_equal(committed(session, "run/s")[:, 1], -np.arange(30))
