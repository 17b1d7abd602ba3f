"""Small items gathered in memory: in order, bounded, and lost only where nothing was promised for them."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5 import MicroDataset
from safeh5.errors import DiskFullError, InvalidTreeError
from safeh5.journal import Kind, frames, scan
from safeh5.operations import codec
from safeh5.session import rows
from safeh5.storage import Storage
from tests.session.gathering import appends, content, gathering, row

# --- checkpoints -----------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["interval", "flush"])
@pytest.mark.parametrize("due", [{"checkpoint_bytes": 1}, {"checkpoint_seconds": 1e-3}, {"journal_limit": 1}])
def test_no_row_is_lost_when_a_checkpoint_is_due_as_a_block_begins(
    target: Path, durability: str, due: dict[str, Any]
) -> None:
    with safeh5.open(target, durability=durability, applier="inline", **due) as session:
        streams = [session.stream(path, shape=(8,), dtype="i4") for path in ("/a", "/b")]
        for number in range(30):
            for stream in streams:  # the other stream's row begins a new block each time
                lsn = stream.append(row(number))
                assert stream.length == number + 1
                assert session.rows is None or session.durable_lsn < lsn, "what is in memory is not durable"
    assert content(target, "/a") == content(target, "/b") == list(range(30))


# --- order and atomicity ---------------------------------------------------------------------------


def test_rows_that_follow_each_other_are_one_record_and_stand_in_order(target: Path) -> None:
    with gathering(target) as session:
        stream = session.stream("/a", (8,), "i4")
        lsns = [stream.append(row(n)) for n in range(50)]
        assert len(stream) == stream.length == 50 and stream.durable_length == 0
        assert len(set(lsns[1:])) == 1 and session.durable_lsn < lsns[-1] == session.last_lsn
        assert session.sync() >= lsns[-1] and stream.durable_length == 50
        assert appends(target) == [("/a", 0, 1), ("/a", 1, 49)]
    assert content(target, "/a") == list(range(50))


def test_records_keep_the_order_of_the_calls_among_streams_and_everything_else(target: Path) -> None:
    with gathering(target) as session:
        a, b = session.stream("/a", (8,), "i4"), session.stream("/b", (8,), "i4")
        for n in range(3):
            a.append(row(n)), b.append(row(n))
        a.append(row(3)), a.append(row(4))
        session.write(MicroDataset("t", np.arange(3)))
        a.append(row(5)), b.append(row(3))
        session.sync()
        storage, order = Storage(), []
        for frame in frames(storage, scan(storage, f"{target}.safeh5")):
            if frame.kind is Kind.OPERATION:
                operation = codec.decode(frame.meta)
                order.append((type(operation).__name__, operation.path, getattr(operation, "start", None)))
        kept = [each for each in order if each[0] == "AppendData" or each[1] == "/t"]
        assert [(path, start) for _, path, start in kept] == [
            ("/a", 0), ("/b", 0), ("/a", 1), ("/b", 1), ("/a", 2), ("/b", 2), ("/a", 3),
            ("/t", None), ("/t", None), ("/a", 5), ("/b", 3),
        ]  # fmt: skip
    assert content(target, "/a") == list(range(6)) and content(target, "/b") == list(range(4))


def test_a_batch_with_rows_in_it_is_there_as_a_whole_or_not_at_all(target: Path) -> None:
    with gathering(target) as session:
        a, b = session.stream("/a", (8,), "i4"), session.stream("/b", (8,), "i4")
        for n in range(4):
            a.append(row(n))
        with pytest.raises(ZeroDivisionError), session.batch():
            a.append(row(99)), b.append(row(99)), a.append(row(98))
            raise ZeroDivisionError
        assert (a.length, b.length) == (4, 0)
        with session.batch():
            a.append(row(4)), b.append(row(0))
        a.append(row(5))
    assert content(target, "/a") == list(range(6)) and content(target, "/b") == [0]


def test_rows_before_a_cancelled_batch_stay(target: Path) -> None:
    session = gathering(target)
    a = session.stream("/a", (8,), "i4")
    for n in range(4):
        a.append(row(n))
    with pytest.raises(ZeroDivisionError), session.batch():
        raise ZeroDivisionError
    session.sync()
    session._abandon()
    with safeh5.open(target, resume=True) as again:
        assert again.stream("/a").length == 4


def test_an_array_may_be_changed_as_soon_as_append_returns(target: Path) -> None:
    with gathering(target) as session:
        stream, item = session.stream("/a", (8,), "i4"), row(0)
        for n in range(30):
            item[:] = n
            stream.append(item)
    assert content(target, "/a") == list(range(30))


def test_extend_and_write_and_rewind_see_the_rows_before_them(target: Path) -> None:
    with gathering(target) as session:
        stream = session.stream("/a", (8,), "i4")
        for n in range(5):
            stream.append(row(n))
        stream.extend(np.stack([row(n) for n in (5, 6, 7)]))
        assert stream.length == 8
        stream.write(2, row(-2))
        stream.append(row(8))
        stream.rewind(6)
        stream.append(row(60))
        assert stream.length == 7
        stream.extend(np.empty((0, 8), "i4"))
        assert session.file["a"].shape == (7, 8)
    assert content(target, "/a") == [0, 1, -2, 3, 4, 5, 60]


def test_a_row_of_the_wrong_shape_or_beyond_the_limit_is_refused_and_the_others_stay(target: Path) -> None:
    with h5py.File(target, "w") as file:
        file.create_dataset("a", (0, 8), "i4", maxshape=(5, 8))
    with gathering(target) as session:
        stream = session.stream("/a")
        for n in range(5):
            stream.append(row(n))
            with pytest.raises(InvalidTreeError):
                stream.append(np.zeros(3, "i4"))
        for _ in range(2):
            with pytest.raises(InvalidTreeError, match="room for 5"):
                stream.append(row(9))
        with pytest.raises(InvalidTreeError, match="room for 5"):
            stream.extend(np.stack([row(9), row(9)]))
    assert content(target, "/a") == list(range(5))


@pytest.mark.parametrize("durability", ["flush", "interval"])
def test_threads_that_append_to_several_streams_lose_no_row_and_keep_their_order(
    target: Path, durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "BLOCK_BYTES", 1024)
    monkeypatch.setattr(rows, "LARGEST_ITEM", 512)
    with gathering(target, durability=durability, interval_ms=2) as session:
        streams = [session.stream(f"/s{k}", (8,), "i4") for k in range(4)]

        def run(k: int) -> None:
            for n in range(300):
                streams[k].append(row(n))
                if n % 97 == 0:
                    session.sync()

        threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    for k in range(4):
        assert content(target, f"/s{k}") == list(range(300))


# --- bounds ----------------------------------------------------------------------------------------


def test_a_block_is_bounded_in_bytes_and_in_time(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK_BYTES", 32 * 10)
    monkeypatch.setattr(rows, "BLOCK_SECONDS", 60.0)
    with gathering(target) as session:
        stream = session.stream("/a", (8,), "i4")
        for n in range(26):
            stream.append(row(n))
        assert appends(target) == [("/a", 0, 1), ("/a", 1, 10), ("/a", 11, 10)]
        assert session.rows is not None
        session.rows.due = time.monotonic()
        stream.append(row(26))
        assert appends(target)[-1] == ("/a", 21, 5)


def test_with_interval_the_rows_are_durable_in_time_although_nobody_calls(target: Path) -> None:
    with gathering(target, durability="interval", interval_ms=30) as session:
        stream = session.stream("/a", (8,), "i4")
        for n in range(7):
            stream.append(row(n))
        lsn = stream.append(row(7))
        deadline = time.monotonic() + 30
        while stream.durable_length < 8 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert stream.durable_length == 8 and session.durable_lsn >= lsn


def test_the_durable_lsn_stays_below_rows_that_are_in_memory_only(target: Path) -> None:
    with gathering(target) as session:
        stream = session.stream("/a", (8,), "i4")
        stream.append(row(0))
        lsn = stream.append(row(1))
        session._log.sync()  # as the interval's thread does: its mark takes the LSN that comes next
        assert session.durable_lsn < lsn and stream.durable_length <= 1
        session.sync()
        assert session.durable_lsn >= lsn and stream.durable_length == 2


@pytest.mark.parametrize("durability", ["record", "flush"])
def test_large_items_and_durable_records_are_not_gathered(target: Path, durability: str) -> None:
    with gathering(target, durability=durability) as session:
        stream = session.stream("/a", (100_000,) if durability == "flush" else (8,), "i4")
        for n in range(4):
            stream.append(np.full(stream.shape, n))
        assert len(appends(target)) == 4


# --- full disks ------------------------------------------------------------------------------------


def test_a_block_that_finds_no_room_keeps_its_rows_and_takes_no_more_than_fit(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "BLOCK_BYTES", 32 * 4)
    monkeypatch.setattr(rows, "BLOCK_SECONDS", 60.0)
    with gathering(target) as session:
        stream = session.stream("/a", (8,), "i4")
        for n in range(5):
            stream.append(row(n))
        write = session._log.journal.append

        def refuse(*args: Any, **kwargs: Any) -> int:
            raise DiskFullError("full")

        monkeypatch.setattr(session._log.journal, "append", refuse)
        for _ in range(3):
            with pytest.raises(DiskFullError):
                stream.append(row(99))
        with pytest.raises(DiskFullError):
            session.sync()
        assert stream.length == 5 and stream.durable_length <= 1
        monkeypatch.setattr(session._log.journal, "append", write)
        for n in range(5, 8):
            stream.append(row(n))
        session.sync()
        assert stream.durable_length == 8
    assert content(target, "/a") == list(range(8))
