"""The states of a session: every way from opening to the end, and what is on disk there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import (
    ApplyError,
    InterruptedSessionError,
    InvalidOptionError,
    LockLostError,
    NotHDF5Error,
    NotWritableError,
    SessionFailedError,
    SessionLockedError,
    SessionStateError,
    TargetChangedError,
    TargetExistsError,
    TargetNotFoundError,
)
from safeh5.operations.model import CreateGroup, Delete
from safeh5.recovery import Condition
from safeh5.session import State
from tests.support import (
    REFUSED,
    batches,
    entries,
    held,
    held_in,
    make_old,
    operations,
    sidecar,
    snapshot,
    write_batch,
)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "run.h5"


@pytest.fixture(autouse=True)
def _directory(target: Path) -> None:
    target.parent.mkdir()


@pytest.fixture
def old(target: Path) -> bytes:
    return make_old(target)


def interrupted(target: Path, *numbers: int, **options: object) -> None:
    """Leave a session behind as a crash does: no seal, no lock."""
    session = safeh5.open(target, **options)  # type: ignore[arg-type]
    for number in numbers:
        write_batch(session, number)
    session._abandon()


# --- transitions ----------------------------------------------------------------------------------


def test_commit_puts_the_new_file_in_place_and_leaves_nothing_else(target: Path, old: bytes) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    assert session.state is State.OPEN and target.read_bytes() == old
    session.commit()
    assert session.state is State.COMMITTED
    assert held(target) == batches(0, old=True) and entries(target) == []


def test_commit_makes_a_new_file(target: Path) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    assert not target.exists()
    session.commit()
    assert held(target) == batches(0) and entries(target) == []


def test_rollback_leaves_the_target_byte_for_byte_and_nothing_else(target: Path, old: bytes) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    session.rollback()
    assert session.state is State.ROLLED_BACK
    assert target.read_bytes() == old and entries(target) == []


def test_rollback_can_keep_what_was_written_under_a_name_that_says_so(target: Path, old: bytes) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    session.rollback(keep=True)
    [aside] = entries(target)
    assert aside.startswith("run.h5.safeh5-rolledback-") and target.read_bytes() == old
    output = target.with_name("other.h5")
    safeh5.recover(target.with_name(aside), output=output)
    assert held(output) == batches(0, old=True)


def test_suspend_seals_the_session_and_frees_the_lock(target: Path, old: bytes) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    session.suspend()
    assert session.state is State.SUSPENDED and target.read_bytes() == old
    assert entries(target) == ["run.h5.safeh5"]
    assert safeh5.status(target).condition is Condition.SUSPENDED


def test_a_suspended_session_is_resumed_with_all_it_had(target: Path, old: bytes) -> None:
    for number in range(3):
        session = safeh5.open(target, resume=True)
        assert held_in(session.file) == batches(*range(number), old=True)
        write_batch(session, number)
        session.suspend()
    safeh5.open(target, resume=True).commit()
    assert held(target) == batches(0, 1, 2, old=True) and entries(target) == []


def test_an_interrupted_session_can_be_resumed_and_rolled_back(target: Path, old: bytes) -> None:
    interrupted(target, 0)
    assert safeh5.status(target).condition is Condition.INTERRUPTED
    safeh5.open(target, resume=True).rollback()
    assert target.read_bytes() == old and entries(target) == []


def test_resume_without_a_session_begins_one(target: Path) -> None:
    with safeh5.open(target, resume=True) as session:
        write_batch(session, 0)
    assert held(target) == batches(0)


@pytest.mark.parametrize(("recover", "expected"), [("replay", (0, 1)), ("rollback", (1,))])
def test_open_can_finish_or_undo_an_interrupted_session_first(
    target: Path, old: bytes, recover: str, expected: tuple[int, ...]
) -> None:
    interrupted(target, 0)
    with safeh5.open(target, recover=recover) as session:
        write_batch(session, 1)
    assert held(target) == batches(*expected, old=True)


ENDINGS: dict[str, Callable[[safeh5.Session], None]] = {
    "commit": safeh5.Session.commit,
    "rollback": safeh5.Session.rollback,
    "suspend": safeh5.Session.suspend,
    "fail": safeh5.Session._abandon,
}
CALLS: dict[str, Callable[[safeh5.Session], object]] = {
    **ENDINGS,
    "record": lambda session: session.record(CreateGroup(path="/late")),
    "batch": lambda session: session.batch().__enter__(),
    "sync": safeh5.Session.sync,
    "checkpoint": safeh5.Session.checkpoint,
    "file": lambda session: session.file,
}
del CALLS["fail"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("ending", ENDINGS)
def test_an_ended_session_takes_no_more_calls(target: Path, ending: str, call: str) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    ENDINGS[ending](session)
    before = snapshot(target.parent)
    with pytest.raises(SessionFailedError if ending == "fail" else SessionStateError):
        CALLS[call](session)
    assert snapshot(target.parent) == before


@pytest.mark.parametrize("call", ["commit", "rollback", "suspend", "checkpoint"])
def test_a_session_does_not_end_inside_a_batch(target: Path, call: str) -> None:
    session = safeh5.open(target)
    with pytest.raises(SessionStateError), session.batch():
        CALLS[call](session)
    write_batch(session, 0)
    session.commit()
    assert held(target) == batches(0)


# --- with -----------------------------------------------------------------------------------------


def test_a_clean_exit_commits(target: Path) -> None:
    with safeh5.open(target) as session:
        write_batch(session, 0)
    assert session.state is State.COMMITTED and held(target) == batches(0)


@pytest.mark.parametrize(
    ("on_error", "state", "condition"),
    [
        ("suspend", State.SUSPENDED, Condition.SUSPENDED),
        ("rollback", State.ROLLED_BACK, Condition.CLEAN),
        ("commit", State.COMMITTED, Condition.CLEAN),
    ],
)
def test_an_exception_ends_the_session_as_asked_and_goes_on(
    target: Path, old: bytes, on_error: str, state: State, condition: Condition
) -> None:
    with pytest.raises(ZeroDivisionError), safeh5.open(target, on_error=on_error) as session:
        write_batch(session, 0)
        raise ZeroDivisionError
    assert session.state is state and safeh5.status(target).condition is condition
    assert held(target) == (batches(0, old=True) if on_error == "commit" else batches(old=True))


def test_an_exception_in_a_batch_cancels_the_batch_and_suspends_the_session(target: Path) -> None:
    with pytest.raises(KeyboardInterrupt), safeh5.open(target) as session:
        write_batch(session, 0)
        with session.batch():
            session.record(CreateGroup(path="/half"))
            raise KeyboardInterrupt
    safeh5.recover(target)
    assert held(target) == batches(0)


def test_a_session_ended_inside_with_is_left_as_it_is(target: Path) -> None:
    with safeh5.open(target) as session:
        write_batch(session, 0)
        session.suspend()
    assert session.state is State.SUSPENDED and not target.exists()


# --- modes ----------------------------------------------------------------------------------------


def test_modes_mean_what_they_mean_to_h5py_for_a_file_that_is_there(target: Path, old: bytes) -> None:
    for mode, expected in (("a", batches(0, old=True)), ("r+", batches(0, old=True)), ("w", batches(0))):
        target.write_bytes(old)
        with safeh5.open(target, mode) as session:
            write_batch(session, 0)
        assert held(target) == expected, mode
    for mode in ("x", "w-"):
        before = target.read_bytes()
        with pytest.raises(TargetExistsError):
            safeh5.open(target, mode)
        assert target.read_bytes() == before and entries(target) == []


@pytest.mark.parametrize("mode", ["a", "w", "x", "w-"])
def test_modes_that_make_a_file_make_one(target: Path, mode: str) -> None:
    with safeh5.open(target, mode) as session:
        write_batch(session, 0)
    assert held(target) == batches(0)


def test_r_plus_makes_no_file(target: Path) -> None:
    with pytest.raises(TargetNotFoundError):
        safeh5.open(target, "r+")
    assert os.listdir(target.parent) == []


@pytest.mark.parametrize(
    "option", [{"mode": "r"}, {"mode": "rw"}, {"durability": "maybe"}, {"on_error": "x"}]
)
def test_options_that_do_not_exist_are_refused_before_anything_is_touched(
    target: Path, option: dict[str, str]
) -> None:
    with pytest.raises(InvalidOptionError):
        safeh5.open(target, **option)  # type: ignore[arg-type]
    assert os.listdir(target.parent) == []


def test_w_does_not_touch_the_old_file_before_commit(target: Path, old: bytes) -> None:
    session = safeh5.open(target, "w")
    write_batch(session, 0)
    session.checkpoint()
    assert target.read_bytes() == old and held_in(session.file) == batches(0)
    session.rollback()
    assert target.read_bytes() == old


def test_an_untouched_session_on_a_new_file_makes_an_empty_file_as_h5py_does(target: Path) -> None:
    with safeh5.open(target):
        pass
    assert held(target) == set()


@pytest.mark.parametrize("ending", ["commit", "rollback"])
@pytest.mark.parametrize("looked", [False, True])
def test_a_session_without_changes_leaves_the_target_untouched(
    target: Path, old: bytes, ending: str, looked: bool
) -> None:
    before = target.stat()
    session = safeh5.open(target)
    if looked:
        assert held_in(session.file) == {"old"}
        with session.batch():
            pass
    CALLS[ending](session)
    assert target.read_bytes() == old and entries(target) == []
    after = target.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_opening_what_hdf5_cannot_read_never_changes_it(target: Path, old: bytes) -> None:
    for content in (b"", b"not HDF5" * 100, old[:100], old[: len(old) // 2], b"\0" * 5000):
        target.write_bytes(content)
        for mode in ("a", "r+", "x", "w-"):
            with pytest.raises((NotHDF5Error, TargetExistsError)):
                safeh5.open(target, mode)
            assert target.read_bytes() == content and entries(target) == []


def test_a_directory_in_the_targets_place_is_refused(target: Path) -> None:
    target.mkdir()
    for mode in ("a", "w", "r+", "x"):
        with pytest.raises(NotHDF5Error):
            safeh5.open(target, mode)


def test_a_directory_that_does_not_exist_is_refused(target: Path) -> None:
    with pytest.raises((TargetNotFoundError, NotWritableError)):
        safeh5.open(target.parent / "nowhere" / "run.h5")


# --- batches --------------------------------------------------------------------------------------


def test_a_failed_batch_leaves_the_others(target: Path) -> None:
    with safeh5.open(target) as session:
        write_batch(session, 0)
        with pytest.raises(ZeroDivisionError), session.batch():
            for operation, payload in operations(1):
                session.record(operation, payload)
            raise ZeroDivisionError
        assert held_in(session.file) == batches(0)
        write_batch(session, 2)
        assert held_in(session.file) == batches(0, 2)
    assert held(target) == batches(0, 2)


def test_a_batch_that_hdf5_refuses_in_the_middle_leaves_no_trace(target: Path) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    with pytest.raises(ApplyError), session.batch():
        session.record(CreateGroup(path="/half"))
        session.record(REFUSED)
    assert held_in(session.file) == batches(0)
    session.suspend()
    assert safeh5.recover(target).records == 3
    assert held(target) == batches(0)


def test_a_refused_operation_caught_inside_its_batch_still_cancels_the_batch(target: Path) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    with pytest.raises(SessionStateError), session.batch():
        session.record(CreateGroup(path="/half"))
        with pytest.raises(ApplyError):
            session.record(REFUSED)
        session.record(CreateGroup(path="/more"))
    session.commit()
    assert held(target) == batches(0)


def test_a_part_of_a_batch_that_fails_and_is_caught_cancels_the_whole(target: Path) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    with pytest.raises(SessionStateError), session.batch():
        session.record(CreateGroup(path="/whole"))
        with pytest.raises(KeyboardInterrupt), session.batch():
            session.record(CreateGroup(path="/half"))
            raise KeyboardInterrupt
    write_batch(session, 1)
    session.suspend()
    safeh5.recover(target)
    assert held(target) == batches(0, 1)


def test_a_single_operation_that_hdf5_refuses_leaves_no_trace_and_objects_stay_open(target: Path) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    opened = session.file["b0/data"]
    for _ in range(3):
        with pytest.raises(ApplyError):
            session.record(REFUSED)
        with pytest.raises(ApplyError):
            session.record(CreateGroup(path="/b0"))
    assert opened.shape == (5,)
    write_batch(session, 1)
    session.commit()
    assert held(target) == batches(0, 1)


def test_a_batch_inside_a_batch_is_part_of_it(target: Path) -> None:
    session = safeh5.open(target)
    with pytest.raises(ZeroDivisionError), session.batch():
        write_batch(session, 0)
        raise ZeroDivisionError
    with session.batch():
        write_batch(session, 1)
        write_batch(session, 2)
    session.commit()
    assert held(target) == batches(1, 2)


def test_what_was_deleted_is_gone_after_commit_and_after_replay(target: Path, old: bytes) -> None:
    session = safeh5.open(target)
    session.record(Delete(path="/old"))
    write_batch(session, 0)
    session.suspend()
    safeh5.recover(target)
    assert held(target) == batches(0)


# --- durability -----------------------------------------------------------------------------------


def test_record_means_durable_on_return(target: Path) -> None:
    session = safeh5.open(target, durability="record")
    for number in range(3):
        write_batch(session, number)
        lsn = session.record(CreateGroup(path=f"/g{number}"))
        assert session.durable_lsn >= lsn
    session.rollback()


def test_what_write_returns_is_durable_by_the_sessions_own_account(target: Path) -> None:
    session = safeh5.open(target, durability="record")
    written = session.write(safeh5.MicroDataGroup("g", children=[safeh5.MicroDataset("d", np.arange(3))]))
    assert written.lsn <= session.durable_lsn
    session.rollback()


def test_flush_means_durable_at_sync(target: Path) -> None:
    session = safeh5.open(target, durability="flush")
    start = session.durable_lsn
    write_batch(session, 0)
    last = session.record(CreateGroup(path="/g"))
    assert session.durable_lsn == start
    assert session.sync() >= last and session.durable_lsn >= last
    session.rollback()


def test_interval_means_durable_within_the_interval(target: Path) -> None:
    session = safeh5.open(target, durability="interval", interval_ms=50)
    start = session.durable_lsn
    lsn = session.record(CreateGroup(path="/g"))
    assert session.durable_lsn == start
    deadline = time.monotonic() + 10
    while session.durable_lsn < lsn:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    session.commit()


@pytest.mark.parametrize("durability", ["record", "interval", "flush"])
def test_every_durability_ends_in_the_same_file(target: Path, durability: str) -> None:
    with safeh5.open(target, durability=durability) as session:
        for number in range(3):
            write_batch(session, number)
    assert held(target) == batches(0, 1, 2) and entries(target) == []


def test_an_interval_sync_that_is_pending_when_the_session_ends_reports_nothing(
    target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        with safeh5.open(target, "w", durability="interval", interval_ms=1) as session:
            for number in range(4):
                write_batch(session, number)
                time.sleep(0.001)
    time.sleep(0.02)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_threads_may_write_at_the_same_time_and_every_batch_is_whole(target: Path) -> None:
    session = safeh5.open(target, segment_bytes=4000)

    def work(first: int) -> None:
        for number in range(first, 40, 4):
            write_batch(session, number)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session.suspend()
    safeh5.recover(target)
    assert held(target) == batches(*range(40))


# --- the target -----------------------------------------------------------------------------------


def test_a_symbolic_link_is_followed_and_stays_a_link(target: Path, old: bytes) -> None:
    link = target.parent.parent / "link.h5"
    link.symlink_to(target)
    with safeh5.open(link) as session:
        write_batch(session, 0)
        assert entries(target) == ["run.h5.safeh5", "run.h5.safeh5.lock"]
        with pytest.raises(SessionLockedError):
            safeh5.open(target)
    assert link.is_symlink() and held(target) == held(link) == batches(0, old=True)


def test_a_dangling_link_makes_the_file_that_it_names(target: Path) -> None:
    link = target.parent.parent / "link.h5"
    link.symlink_to(target)
    with safeh5.open(link) as session:
        write_batch(session, 0)
    assert link.is_symlink() and held(target) == batches(0)


@pytest.mark.parametrize("mode", ["a", "w"])
def test_the_mode_of_an_existing_target_is_kept(target: Path, old: bytes, mode: str) -> None:
    target.chmod(0o640)
    with safeh5.open(target, mode) as session:
        write_batch(session, 0)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_new_target_gets_the_mode_that_any_new_file_gets(target: Path) -> None:
    with safeh5.open(target) as session:
        write_batch(session, 0)
    plain = target.with_name("plain")
    plain.touch()
    assert target.stat().st_mode == plain.stat().st_mode


@pytest.mark.root
def test_the_owner_of_an_existing_target_is_kept(target: Path, old: bytes) -> None:
    os.chown(target, 12345, 23456)
    with safeh5.open(target) as session:
        write_batch(session, 0)
    assert (target.stat().st_uid, target.stat().st_gid) == (12345, 23456)


def test_a_target_that_others_changed_is_not_overwritten_and_nothing_is_lost(
    target: Path, old: bytes
) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    # Not by h5py at that path: where h5py is made to journal, it refuses to write beside a session.
    other = target.with_name("other.h5")
    other.write_bytes(old)
    with h5py.File(other, "r+") as file:
        file["theirs"] = 1
    other.replace(target)
    theirs = target.read_bytes()
    with pytest.raises(TargetChangedError) as caught:
        session.commit()
    assert str(target) in str(caught.value) and "--output" in str(caught.value)
    assert session.state is State.OPEN and target.read_bytes() == theirs
    session.suspend()
    safeh5.recover(target, output=target.with_name("other.h5"))
    assert target.read_bytes() == theirs


def test_a_target_that_others_made_or_removed_is_not_overwritten(target: Path) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    theirs = make_old(target.with_name("other.h5"))
    target.with_name("other.h5").replace(target)
    with pytest.raises(TargetChangedError):
        session.commit()
    assert target.read_bytes() == theirs
    target.unlink()
    session.commit()
    assert held(target) == batches(0)


# --- who else is there ----------------------------------------------------------------------------


def test_a_second_writer_is_told_who_holds_the_lock(target: Path, old: bytes) -> None:
    with safeh5.open(target) as session:
        write_batch(session, 0)
        for options in ({}, {"resume": True}, {"recover": "replay"}, {"mode": "w"}):
            with pytest.raises(SessionLockedError) as caught:
                safeh5.open(target, **options)  # type: ignore[arg-type]
            assert str(os.getpid()) in str(caught.value) and str(target) in str(caught.value)
            assert caught.value.holder is not None and str(os.getpid()) in caught.value.holder
        with pytest.raises(SessionLockedError):
            safeh5.recover(target)
        assert safeh5.status(target).condition is Condition.LIVE
    assert held(target) == batches(0, old=True)


def test_an_interrupted_session_is_never_passed_over_and_the_command_is_named(
    target: Path, old: bytes
) -> None:
    interrupted(target, 0)
    before = snapshot(target.parent)
    for mode in ("a", "r+", "w", "x", "w-"):
        with pytest.raises(InterruptedSessionError) as caught:
            safeh5.open(target, mode)
        text = str(caught.value)
        assert f"safeh5 recover {target}" in text and f"safeh5 recover {target} --rollback" in text
        assert "resume=True" in text
    assert snapshot(target.parent) == before


def test_a_lock_file_that_was_removed_stops_the_commit_and_is_not_made_again(
    target: Path, old: bytes
) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    target.with_name("run.h5.safeh5.lock").unlink()
    with pytest.raises(LockLostError):
        session.commit()
    assert target.read_bytes() == old


@pytest.mark.parametrize("ending", ["commit", "rollback", "suspend"])
def test_a_session_that_lost_its_lock_keeps_its_hands_off_the_next_session(
    target: Path, old: bytes, ending: str
) -> None:
    first = safeh5.open(target)
    write_batch(first, 0)
    target.with_name("run.h5.safeh5.lock").unlink()
    second = safeh5.open(target, resume=True)
    with pytest.raises(LockLostError):
        CALLS[ending](first)
    assert first.state is State.FAILED
    write_batch(second, 1)
    write_batch(second, 2)
    second.commit()
    assert held(target) == batches(0, 1, 2, old=True) and entries(target) == []


def test_a_fork_of_the_process_can_neither_use_nor_end_the_session(target: Path, old: bytes) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with session:
                session.record(CreateGroup(path="/child"))
        except SessionStateError:
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert sidecar(target).exists()
    with pytest.raises(SessionLockedError):
        safeh5.open(target)
    write_batch(session, 1)
    session.commit()
    assert held(target) == batches(0, 1, old=True)


def test_a_fork_that_ends_as_programs_do_writes_nothing_to_the_sessions_file(target: Path) -> None:
    script = f"""
import os, sys
import safeh5
from tests.support import write_batch, held
session = safeh5.open({str(target)!r})
write_batch(session, 0)
session.checkpoint()
write_batch(session, 1)
if os.fork() == 0:
    sys.exit(0)  # libhdf5 flushes what it has open when a process ends
assert os.wait()[1] == 0
for number in range(2, 30):
    write_batch(session, number)
session.commit()
assert len(held({str(target)!r})) == 30
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
