"""What a session says of itself is true at the moment it says it, in every thread and signal handler."""

from __future__ import annotations

import threading
from pathlib import Path

import h5py
import pytest

import safeh5
from safeh5 import MicroDataGroup
from safeh5.operations.model import CreateGroup
from safeh5.recovery import Condition
from safeh5.session import guarded, interval
from tests.support import batches, held, write_batch


def test_items_of_an_open_batch_are_not_durable_though_their_records_are(tmp_path: Path) -> None:
    with safeh5.open(tmp_path / "run.h5", durability="interval") as session:
        stream = session.stream("/x", shape=(), dtype="i4")
        with session.batch():
            stream.append(1)
            session._sync_for_interval()
            assert stream.durable_length == 0
            assert session.durable_lsn < session.last_lsn
        session.sync()
        assert stream.durable_length == 1


@pytest.mark.parametrize("durability", ["flush", "interval"])
def test_a_tree_is_planned_on_all_that_was_written_before_whenever_that_becomes_durable(
    tmp_path: Path, durability: str
) -> None:
    target = tmp_path / "run.h5"
    with safeh5.open(target, durability=durability, interval_ms=60_000, applier="process") as session:
        for number in range(3):
            written = session.write(
                MicroDataGroup("/", children=[MicroDataGroup("same"), MicroDataGroup("R_")])
            )
            assert f"/R_{number:03}" in written.paths
    with h5py.File(target) as file:
        assert set(file) == {"same", "R_000", "R_001", "R_002"}


@pytest.mark.timeout(20)
def test_sealing_in_a_signal_handler_does_not_wait_for_a_thread_that_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded, "_SEAL_SECONDS", 0.2)
    target = tmp_path / "run.h5"
    session = safeh5.open(target, durability="flush")
    write_batch(session, 0)
    journal = session._log.journal

    def sync() -> None:
        with journal._syncing:
            syncing.set()
            with journal._lock:  # as for the SYNC mark
                pass

    syncing = threading.Event()
    other = threading.Thread(target=sync)
    with journal._lock:  # as a handler finds it that interrupts the writing of a frame
        other.start()
        syncing.wait()
        with pytest.raises(safeh5.SafeH5Error):
            session.seal_now("a signal")
    other.join()
    session._abandon()
    assert safeh5.status(target).condition is Condition.INTERRUPTED
    safeh5.recover(target)
    assert held(target) == batches(0)


@pytest.mark.timeout(20)
def test_sealing_in_the_middle_of_a_note_to_the_timer_does_not_wait_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = safeh5.open(tmp_path / "run.h5", durability="interval")
    raise_flag = interval._raise

    def interrupted(flag: threading.Lock) -> None:
        monkeypatch.setattr(interval, "_raise", raise_flag)
        session.seal_now("a signal")
        raise_flag(flag)

    monkeypatch.setattr(interval, "_raise", interrupted)
    session.record(CreateGroup(path="/g"))
    assert safeh5.status(tmp_path / "run.h5").condition is Condition.SUSPENDED


def test_who_resumed_a_session_is_named_as_its_writer(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    safeh5.open(target).suspend()
    page = target.with_name("run.h5.safeh5") / "owner.json"
    page.write_text('{"pid": 4711, "host": "elsewhere"}')
    with safeh5.open(target, resume=True), pytest.raises(safeh5.errors.SessionLockedError) as caught:
        safeh5.open(target)
    assert "4711" not in str(caught.value)


def test_an_interrupt_behind_the_end_of_a_batch_does_not_take_back_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with safeh5.open(tmp_path / "run.h5") as session:
        stream = session.stream("/x", shape=(), dtype="i4")
        end = session._log.end

        def interrupted() -> int:
            end()
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(session._log, "end", interrupted)
            stream.append(1)
        with pytest.raises(ZeroDivisionError), session.batch():
            stream.append(2)
            raise ZeroDivisionError
        assert stream.length == 1
        stream.append(3)
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["x"][:].tolist() == [1, 3]
