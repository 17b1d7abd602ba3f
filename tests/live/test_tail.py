"""A tail shows each durable item of a stream, once and in order, soon; and says how it ended."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5s
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import safeh5
from safeh5 import MicroDataGroup, MicroDataset, TailEnd
from safeh5.errors import InvalidTreeError
from safeh5.operations.model import Copy, Delete, Move, Space, WriteChunk, WriteData
from safeh5.operations.values import encode_type
from safeh5.session import Session
from tests.live.tails import drained, numbers, row, rows

# --- where it begins --------------------------------------------------------------------------------


@pytest.mark.parametrize("applier", ["inline", "process"])
@pytest.mark.parametrize("checkpoint", ["none", "before", "between"])
def test_from_the_first_item_on_all_are_shown_without_gap_or_duplicate(
    target: Path, applier: str, checkpoint: str
) -> None:
    with safeh5.open(target, applier=applier) as session:  # type: ignore[arg-type]
        stream = rows(session)
        for number in range(6):
            stream.append(row(number))
            if checkpoint == "between" and number == 3:
                session.checkpoint()
        if checkpoint == "before":
            session.checkpoint()
        with safeh5.live(target) as view, view.tail("/rows", 0) as tail:
            assert drained(tail) == numbers(0, 6)
            stream.append(row(6))
            stream.extend(np.repeat(np.arange(7, 12, dtype="i4"), 3).reshape(5, 3))
            assert drained(tail, 0.1) == numbers(6, 12)
            session.checkpoint()
            stream.append(row(12))
            assert drained(tail, 0.1) == numbers(12, 13)
            assert drained(view.tail("rows", 4)) == numbers(4, 13)
            assert drained(view.tail("rows", 15)) == []


def test_by_default_only_what_comes_is_shown(target: Path) -> None:
    with safeh5.open(target) as session:
        stream = rows(session)
        stream.append(row(0))
        session.checkpoint()
        stream.append(row(1))
        with safeh5.live(target) as view, view.tail("/rows") as tail:
            assert drained(tail) == []
            stream.append(row(2))
            assert drained(tail) == numbers(2, 3)


def test_a_stream_may_begin_after_its_tail(target: Path) -> None:
    with safeh5.open(target) as session, safeh5.live(target) as view, view.tail("/new/rows") as tail:
        assert drained(tail) == []
        rows(session, "/new/rows").append(row(0))
        assert drained(tail) == numbers(0, 1)


def test_what_an_old_file_has_comes_first_and_what_a_new_file_replaces_does_not(target: Path) -> None:
    with safeh5.open(target) as session:
        rows(session).extend(np.zeros((1, 3), "i4"))
    with safeh5.open(target) as session, safeh5.live(target) as view:
        tail = view.tail("/rows", 0)
        rows(session).append(row(1))
        assert drained(tail) == numbers(0, 2)
        session.rollback()
    with safeh5.open(target, "w") as session, safeh5.live(target) as view:
        tail = view.tail("/rows", 0)
        rows(session).append(row(0))
        assert drained(tail) == numbers(0, 1)


def test_without_a_session_the_items_of_the_file_are_shown(target: Path) -> None:
    with safeh5.open(target) as session:
        for number in range(5):
            rows(session).append(row(number))
    with safeh5.live(target) as view:
        tail = view.tail("/rows", 2)
        assert [int(data[0]) for _, data in tail] == [2, 3, 4]
        assert tail.ended is TailEnd.NO_SESSION
        with pytest.raises(InvalidTreeError):
            view.tail("/")


# --- what it shows -----------------------------------------------------------------------------------


def test_cancelled_batches_and_what_is_not_durable_are_never_shown(target: Path) -> None:
    with safeh5.open(target, durability="flush") as session, safeh5.live(target) as view:
        stream = rows(session)
        tail = view.tail("/rows")
        stream.append(row(0))
        assert drained(tail, 0.05) == []
        session.sync()
        assert drained(tail) == numbers(0, 1)
        with pytest.raises(ZeroDivisionError), session.batch():
            stream.append(row(99))
            _ = 1 / 0
        stream.append(row(1))
        session.sync()
        assert drained(tail) == numbers(1, 2)


def test_a_batch_is_shown_when_it_has_ended(target: Path) -> None:
    with safeh5.open(target) as session, safeh5.live(target) as view:
        stream, other = rows(session), rows(session, "/other")
        tail = view.tail("/rows")
        with session.batch():
            stream.append(row(0))
            other.append(row(7))
            session.record(WriteData(path="/other", type=encode_type("i4")), np.full((1, 3), 8, "i4"))
            assert drained(tail, 0.02) == []
        assert drained(tail) == numbers(0, 1)


def test_a_rewound_stream_begins_again_at_the_lower_index(target: Path) -> None:
    with safeh5.open(target) as session, safeh5.live(target) as view:
        stream = rows(session)
        tail = view.tail("/rows")
        for number in range(4):
            stream.append(row(number))
        stream.rewind(2)
        stream.append(row(70))
        assert drained(tail) == [*numbers(0, 4), (2, 70)] and tail.length == 3


def test_writes_show_with_the_place_they_go_to(target: Path) -> None:
    with safeh5.open(target) as session, safeh5.live(target) as view:
        stream = rows(session)
        tail = view.tail("/rows")
        stream.extend(np.zeros((5, 3), "i4"))
        assert [at for at, _ in drained(tail)] == [0, 1, 2, 3, 4]
        stream.write(slice(1, 3), row(8))
        stream.write((4, slice(0, 2)), 9)
        assert drained(tail) == [(1, 8), (2, 8), ((slice(4, 5), slice(0, 2)), 9)]


@pytest.mark.parametrize(
    ("dtype", "shape", "values"),
    [
        ("f8", (), [0.5, 1.5, 2.5]),
        (">u2", (2, 2), np.arange(12).reshape(3, 2, 2)),
        ("?", (), [True, False, True]),
        ("c16", (2,), np.arange(6).reshape(3, 2) * (1 + 2j)),
        ("S4", (), [b"a", b"bc", b"def"]),
        (h5py.string_dtype(), (), ["a", "", "ü" * 100]),
        (h5py.string_dtype(), (2,), [["a", "b"], ["", "c"], ["d" * 9, ""]]),
        (h5py.vlen_dtype("f4"), (), [np.ones(2, "f4"), np.ones(0, "f4"), np.arange(5, dtype="f4")]),
        (np.dtype([("a", "i4"), ("b", "f8", (2,))]), (), np.zeros(3, [("a", "i4"), ("b", "f8", (2,))])),
        (h5py.enum_dtype({"A": 0, "B": 1}), (), [0, 1, 0]),
    ],
    ids=str,
)
@pytest.mark.parametrize("checkpointed", [False, True])
def test_items_are_what_h5py_reads_whatever_their_type(
    target: Path, dtype: Any, shape: tuple[int, ...], values: Any, checkpointed: bool
) -> None:
    if np.dtype(dtype).hasobject:
        filled = np.empty((3, *shape), object)
        filled[:] = values
        values = filled
    with safeh5.open(target) as session, safeh5.live(target) as view:
        stream = session.stream("/x", shape, dtype)
        stream.extend(values[:1])
        if checkpointed:
            session.checkpoint()
        tail = view.tail("/x", 0)
        stream.extend(values[1:2])
        stream.extend(values[2:])
        shown = [tail.poll(0.1) for _ in range(3)]
        expected = session.file["x"]
        for number, item in enumerate(shown):
            assert item is not None and item.at == number
            np.testing.assert_array_equal(item.data, expected[number])
            assert np.asarray(item.data).dtype == np.asarray(expected[number]).dtype
        assert tail.poll() is None


def test_a_tree_and_a_dataset_made_anew_show_too(target: Path) -> None:
    with safeh5.open(target) as session, safeh5.live(target) as view:
        tail = view.tail("/g/d")
        many = np.repeat(np.arange(4), 3).reshape(4, 3)
        session.write(MicroDataGroup("g", children=[MicroDataset("d", many)]))
        assert drained(tail) == numbers(0, 4)
        session.record(Delete(path="/g"))
        session.write(MicroDataGroup("g", children=[MicroDataset("d", many[:2])]))
        assert drained(tail) == numbers(0, 2)


def _points(session: Session) -> None:
    space = h5s.create_simple((6, 3))
    space.select_elements([(1, 0), (1, 1), (1, 2), (3, 0), (3, 1), (3, 2)])
    change = WriteData(path="/rows", type=encode_type("i4"), selection=Space(space.encode()))
    session.record(change, np.full(6, 50, "i4"))


def _chunk(session: Session) -> None:
    chunk = np.full(session.file["rows"].chunks, 60, "i4")
    session.record(WriteChunk(path="/rows", offset=(0, 0)), chunk)


def _moved(session: Session) -> None:
    session.record(Copy(path="/copy", source="/rows"))
    session.record(Delete(path="/rows"))
    session.record(Move(path="/rows", source="/copy"))


@pytest.mark.parametrize("change", [_points, _chunk, _moved])
@pytest.mark.parametrize("ending", ["checkpoint", "commit"])
def test_what_a_record_does_not_tell_is_shown_when_the_file_holds_it(
    target: Path, change: Callable[[Session], None], ending: str
) -> None:
    with safeh5.open(target) as session, safeh5.live(target) as view:
        stream = rows(session)
        stream.extend(np.repeat(np.arange(6, dtype="i4"), 3).reshape(6, 3))
        tail = view.tail("/rows", 0)
        mirror = dict(drained(tail))
        change(session)
        stream.append(row(6))
        assert drained(tail, 0.05) == []
        session.checkpoint() if ending == "checkpoint" else session.commit()
        mirror.update(drained(tail, 0.3))
        with safeh5.live(target) as now:
            assert mirror == dict(enumerate(now["rows"][:, 0].tolist()))


# --- the journal moves on ------------------------------------------------------------------------------


def test_segments_that_roll_and_are_pruned_leave_no_gap(target: Path) -> None:
    with safeh5.open(target, segment_bytes=3_000, journal_limit=12_000) as session:
        stream = rows(session)
        with safeh5.live(target) as view:
            keeping_up, lazy = view.tail("/rows"), view.tail("/rows", 0)
            seen = []
            for number in range(400):
                stream.append(row(number))
                if number % 30 == 0:
                    seen += drained(keeping_up)
            assert not (target.parent / "run.h5.safeh5" / "journal-00000001.log").exists()
            session.sync()
            assert seen + drained(keeping_up) == numbers(0, 400)
            assert drained(lazy) == numbers(0, 400)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.sampled_from(["append", "append", "extend", "write", "rewind", "checkpoint", "cancel", "poll"]),
        max_size=30,
    ),
    start=st.integers(0, 3),
)
def test_whatever_is_done_to_a_stream_a_mirror_of_it_is_equal(
    tmp_path: Path, steps: list[str], start: int
) -> None:
    target = tmp_path / "run.h5"
    shutil.rmtree(tmp_path / "run.h5.safeh5", ignore_errors=True)
    target.unlink(missing_ok=True)
    with safeh5.open(target, durability="flush", segment_bytes=2000, journal_limit=8000) as session:
        stream = rows(session)
        with safeh5.live(target) as view:
            tail, mirror = view.tail("/rows", 0), np.zeros((500, 3), "i4")
            for value, step in enumerate(steps, 1):
                if step == "append":
                    stream.append(row(value))
                elif step == "extend":
                    stream.extend(
                        np.stack([row(value)] * (value % 4)) if value % 4 else np.empty((0, 3), "i4")
                    )
                elif step == "write" and stream.length:
                    stream.write((value % stream.length, slice(0, 1 + value % 3)), value)
                elif step == "rewind":
                    stream.rewind(stream.length // 2)
                elif step == "checkpoint":
                    session.checkpoint()
                elif step == "cancel":
                    with pytest.raises(ZeroDivisionError), session.batch():
                        stream.append(row(-1))
                        _ = 1 / 0
                else:
                    session.sync()
                    _mirrored(tail, mirror)
            session.sync()
            _mirrored(tail, mirror)
            np.testing.assert_array_equal(mirror[: stream.length], session.file["rows"][()])
            late = np.zeros_like(mirror)
            _mirrored(view.tail("/rows", start), late)
            np.testing.assert_array_equal(late[start : stream.length], session.file["rows"][start:])
            session.rollback()


def _mirrored(tail: safeh5.Tail, mirror: np.ndarray[Any, Any]) -> None:
    while (item := tail.poll()) is not None:
        mirror[item.at] = item.data
