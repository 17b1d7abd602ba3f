"""The states of a session: every way from opening to the end, and what is on disk there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import safeh5
from safeh5.errors import (
    InvalidOptionError,
    NotHDF5Error,
    NotWritableError,
    SessionFailedError,
    SessionStateError,
    TargetExistsError,
    TargetNotFoundError,
)
from safeh5.operations.model import CreateGroup
from safeh5.recovery import Condition
from safeh5.session import State
from tests.support import (
    batches,
    entries,
    held,
    held_in,
    interrupted,
    snapshot,
    write_batch,
)

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
