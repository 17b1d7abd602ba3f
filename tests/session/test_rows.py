"""Small items gathered in memory: in order, bounded, and lost only where nothing was promised for them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5 import MicroDataset
from safeh5.errors import ApplyError, DiskFullError, InvalidTreeError, SessionStateError
from safeh5.journal import WHOLE, Kind, frames, scan
from safeh5.operations import codec, model
from safeh5.session import Session, rows, workspace_inline
from safeh5.storage import Storage


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "run.h5"


def gathering(target: Path, **options: Any) -> Session:
    return safeh5.open(target, **{"durability": "flush", **options})


def row(number: int) -> Any:
    return np.full(8, number, "i4")


def appends(target: Path) -> list[tuple[str, int, int]]:
    """Path, start and count of every append in the journal of a session."""
    storage, found = Storage(), []
    for frame in frames(storage, scan(storage, f"{target}.safeh5")):
        if frame.kind is Kind.OPERATION:
            operation = codec.decode(frame.meta)
            if isinstance(operation, model.AppendData):
                found.append((operation.path, operation.start, operation.count))
    return found


def content(target: Path, path: str) -> list[int]:
    with h5py.File(target) as file:
        return [int(value) for value in file[path][..., 0]]


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
    monkeypatch.setattr(rows, "BLOCK_SECONDS", 0.2)
    with gathering(target) as session:
        stream = session.stream("/a", (8,), "i4")
        for n in range(26):
            stream.append(row(n))
        assert appends(target) == [("/a", 0, 1), ("/a", 1, 10), ("/a", 11, 10)]
        time.sleep(0.25)
        stream.append(row(26))
        assert appends(target)[-1] == ("/a", 21, 5)


def test_with_interval_the_rows_are_durable_in_time_although_nobody_calls(target: Path) -> None:
    with gathering(target, durability="interval", interval_ms=30) as session:
        stream = session.stream("/a", (8,), "i4")
        for n in range(7):
            stream.append(row(n))
        lsn = stream.append(row(7))
        deadline = time.monotonic() + 5
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


# --- ends ------------------------------------------------------------------------------------------

_CHILD = """
import os, signal, sys
import numpy as np, safeh5
session = safeh5.open(sys.argv[1], durability=sys.argv[2], interval_ms=60_000)
stream = session.stream("/a", (8,), "i4")
for n in range(10):
    stream.append(np.full(8, n, "i4"))
if sys.argv[3] == "synced":
    session.sync()
for n in range(10, 15):
    stream.append(np.full(8, n, "i4"))
if sys.argv[4] == "fork":
    if os.fork() == 0:
        try:
            stream.append(np.full(8, 99, "i4"))
        except safeh5.errors.SessionStateError:
            print("refused", flush=True)
        os._exit(0)
    os.wait()
    stream.append(np.full(8, 15, "i4"))
    session.commit()
elif sys.argv[4] != "exit":
    os.kill(os.getpid(), getattr(signal, sys.argv[4]))
"""


def run_child(target: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_CHILD), str(target), *arguments],
        capture_output=True, text=True, timeout=60, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize(("durability", "least"), [("record", 15), ("interval", 10), ("flush", 10)])
def test_sigkill_takes_only_rows_for_which_nothing_was_promised(
    target: Path, durability: str, least: int
) -> None:
    run_child(target, durability, "synced", "SIGKILL")
    with safeh5.open(target, resume=True) as session:
        assert least <= session.stream("/a").length <= 15
    kept = content(target, "/a")
    assert kept == list(range(len(kept)))


@pytest.mark.parametrize("how", ["SIGTERM", "exit"])
def test_rows_in_memory_are_sealed_with_the_session(target: Path, how: str) -> None:
    run_child(target, "flush", "not synced", how)
    with safeh5.open(target, resume=True) as session:
        assert session.stream("/a").length == 15
    assert content(target, "/a") == list(range(15))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_of_the_process_takes_no_rows(target: Path) -> None:
    done = run_child(target, "flush", "synced", "fork")
    assert done.stdout == "refused\n", done.stderr
    assert content(target, "/a") == list(range(16))


@pytest.mark.parametrize("end", ["commit", "suspend", "checkpoint", "file"])
def test_whoever_asks_for_everything_gets_the_rows_in_memory_too(target: Path, end: str) -> None:
    session = gathering(target)
    stream = session.stream("/a", (8,), "i4")
    for n in range(5):
        stream.append(row(n))
    if end == "file":
        assert session.file["a"][..., 0].tolist() == list(range(5))
    else:
        getattr(session, end)()
    if end != "commit":
        session._abandon()
        safeh5.open(target, resume=True).commit()
    assert content(target, "/a") == list(range(5))


def test_after_a_roll_back_no_row_is_taken(target: Path) -> None:
    session = gathering(target)
    stream = session.stream("/a", (8,), "i4")
    stream.append(row(0)), stream.append(row(1))
    session.rollback()
    with pytest.raises(SessionStateError):
        stream.append(row(2))
    assert not target.exists()


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


def test_what_waits_is_applied_when_the_file_is_needed_and_named_when_hdf5_refuses_it(target: Path) -> None:
    session = safeh5.open(target)
    stream = session.stream("/a", (8,), "i4")
    stream.append(row(0))
    stream.append(row(1))
    assert session.lag_bytes == 32
    assert session._look()["a"].shape == (2, 8) and session.lag_bytes == 0
    # Behind the back of the session: what was known to be sure is so no more.
    del session._look()["a"]
    session._workspace.inline._staging.applier.release()  # type: ignore[attr-defined]
    lsn = stream.append(row(2))
    with pytest.raises(ApplyError) as caught:
        session._workspace.checkpoint(session.sync())
    assert caught.value.lsn == lsn
    stream.append(row(3))
    # Made again from the journal, in which nothing is wrong.
    assert session.file["a"][..., 0].tolist() == [0, 1, 2, 3]
    session.commit()
    assert content(target, "/a") == [0, 1, 2, 3]


def test_an_append_to_what_is_no_longer_there_is_refused_before_it_is_acknowledged(target: Path) -> None:
    with safeh5.open(target) as session:
        stream = session.stream("/a", (8,), "i4")
        stream.append(row(0)), stream.append(row(1))
        session.record(model.Delete(path="/a"))
        for _ in range(2):
            with pytest.raises(ApplyError):
                stream.append(row(2))
        session.write(MicroDataset("b", np.arange(3)))


def test_what_waits_in_the_caller_is_bounded(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace_inline, "_WAITING_BYTES", 10 * 4096)
    most = 0
    with safeh5.open(target, durability="flush", checkpoint_bytes=1 << 40) as session:
        stream = session.stream("/a", (1024,), "f4")
        monkeypatch.setattr(stream, "_gathers", False)
        for n in range(100):
            stream.append(np.full(1024, n))
            most = max(most, session.lag_bytes)
        assert 0 < most <= 12 * 4096
    assert content(target, "/a") == list(range(100))


def test_one_record_is_one_frame_and_replays_to_the_same_file(target: Path) -> None:
    session = safeh5.open(target)
    stream = session.stream("/a", (8,), "i4")
    for n in range(6):
        stream.append(row(n))
    storage = Storage()
    found = [frame for frame in frames(storage, scan(storage, f"{target}.safeh5")) if frame.flags & WHOLE]
    assert len(found) == 5 and len({frame.batch for frame in found}) == 5
    session._abandon()
    safeh5.open(target, recover="replay").rollback()
    assert content(target, "/a") == list(range(6))


@pytest.mark.parametrize("durability", ["record", "flush"])
def test_a_file_that_was_handed_out_shows_everything_at_once(target: Path, durability: str) -> None:
    with safeh5.open(target, durability=durability, applier="inline") as session:
        stream = session.stream("/a", (8,), "i4")
        stream.append(row(0)), stream.append(row(1))
        file = session.file
        for number in range(2, 5):
            stream.append(row(number))
            assert file["a"][..., 0].tolist() == list(range(number + 1))
            session.write(MicroDataset(f"d{number}", np.arange(3), attrs={"a": number}))
            assert file[f"d{number}"].attrs["a"] == number
    assert content(target, "/a") == list(range(5))
