"""The applier that is chosen while the session runs: nobody notices but for the speed."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5 import MicroDataGroup, MicroDataset
from safeh5.session import Session, rows, workspace_auto
from safeh5.session.workspace_auto import Auto


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child is worth it as soon as anything waits."""
    monkeypatch.setattr(workspace_auto, "_BYTES", 0)
    monkeypatch.setattr(rows, "LARGEST_ITEM", 0)


def workspace(session: Session) -> Auto:
    found = session._workspace
    assert isinstance(found, Auto)
    return found


def frame(number: int) -> Any:
    return np.full((4, 4), number, "i4")


def numbers(target: Path, path: str = "/a") -> list[int]:
    with h5py.File(target) as file:
        return [int(n) for n in file[path][:, 0, 0]]


def append(session: Session, path: str, first: int, last: int) -> None:
    stream = session.stream(path, (4, 4), "i4")
    for number in range(first, last):
        stream.append(frame(number))


def test_a_short_session_starts_no_process(target: Path) -> None:
    with safeh5.open(target) as session:
        append(session, "/a", 0, 10)
        session.write(MicroDataset("d", np.arange(3)))
        assert not workspace(session).is_beside
        session.checkpoint()
        assert workspace(session).beside.beside._process is None
    assert numbers(target) == list(range(10))


@pytest.mark.usefixtures("soon")
def test_without_a_stream_no_process_is_started_however_much_is_written(target: Path) -> None:
    with safeh5.open(target) as session:
        for number in range(20):
            session.write(MicroDataset(f"d{number}", np.arange(3000)))
        assert not workspace(session).is_beside


@pytest.mark.parametrize("old", [False, True], ids=["new file", "old file"])
@pytest.mark.parametrize("durability", ["record", "flush"])
@pytest.mark.usefixtures("soon")
def test_a_long_one_leaves_applying_to_a_process_and_gives_the_same_file(
    target: Path, old: bool, durability: str
) -> None:
    if old:
        with h5py.File(target, "w") as file:
            file["kept"] = np.arange(5)
    with safeh5.open(target, durability=durability) as session:
        append(session, "/a", 0, 20)
        assert workspace(session).is_beside
        session.write(MicroDataGroup("Tree_", children=[MicroDataset("d", np.arange(3))]))
        append(session, "/b", 0, 5)
        append(session, "/a", 20, 30)
        with session.batch():
            session.stream("/b").append(frame(5))
            session.write(MicroDataGroup("Tree_", children=[MicroDataset("d", np.arange(3))]))
    assert numbers(target) == list(range(30)) and numbers(target, "/b") == list(range(6))
    with h5py.File(target) as file:
        assert {"Tree_000", "Tree_001"} < set(file) and ("kept" in file) == old


@pytest.mark.usefixtures("soon")
def test_who_uses_the_file_gets_the_file_itself_until_the_end(target: Path) -> None:
    with safeh5.open(target) as session:
        append(session, "/a", 0, 10)
        assert workspace(session).is_beside
        file = session.file
        assert not workspace(session).is_beside and file["a"].shape[0] == 10
        append(session, "/a", 10, 20)
        assert session.file is file or session.file["a"].shape[0] == 20
        assert file["a"].shape[0] == 20, "it stays open and goes on with the session"
        assert not workspace(session).is_beside
    assert numbers(target) == list(range(20))


@pytest.mark.usefixtures("soon")
def test_the_file_is_taken_back_in_the_middle_of_a_batch(target: Path) -> None:
    with safeh5.open(target, durability="flush") as session:
        append(session, "/a", 0, 10)
        assert workspace(session).is_beside
        with session.batch():
            append(session, "/a", 10, 12)
            assert session.file["a"].shape[0] == 12
            append(session, "/a", 12, 14)
        with pytest.raises(ZeroDivisionError), session.batch():
            append(session, "/a", 14, 16)
            raise ZeroDivisionError
        assert session.file["a"].shape[0] == 14
    assert numbers(target) == list(range(14))


@pytest.mark.usefixtures("soon")
def test_a_killed_child_costs_nothing_and_a_killed_session_neither(target: Path) -> None:
    session = safeh5.open(target, checkpoint_bytes=500)
    append(session, "/a", 0, 20)
    process = workspace(session).beside.beside._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    append(session, "/a", 20, 40)
    session._abandon()
    with safeh5.open(target, resume=True) as session:
        append(session, "/a", 40, 50)
    assert numbers(target) == list(range(50))


@pytest.mark.usefixtures("soon")
def test_threads_that_append_while_another_uses_h5py_do_not_wait_for_each_other_for_ever(
    target: Path,
) -> None:
    stop = threading.Event()

    def elsewhere() -> None:
        with h5py.File("elsewhere", "w", driver="core", backing_store=False) as file:
            while not stop.is_set():
                made = file.create_group(None)
                cycle: list[Any] = [made]
                cycle.append(cycle)  # to be collected, whenever and by whomever

    thread = threading.Thread(target=elsewhere)
    thread.start()
    try:
        with safeh5.open(target, durability="interval", interval_ms=5) as session:
            for number in range(0, 200, 10):
                append(session, "/a", number, number + 10)
                assert session.lag_bytes >= 0
            session.checkpoint()
    finally:
        stop.set()
        thread.join()
    assert numbers(target) == list(range(200))
