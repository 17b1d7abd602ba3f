"""A disk that is full or fails under a session: what was acknowledged stays, and what can go on goes on."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import (
    JournalWriteError,
    SafeH5Error,
    SessionFailedError,
    SessionStateError,
    StagingReadError,
)
from safeh5.events import ProgressEvent
from safeh5.operations.model import CreateGroup
from safeh5.recovery import Condition
from safeh5.session import State
from safeh5.testing.faults import Fault, FaultyStorage
from tests.session.mendable import MendableStorage
from tests.support import (
    batches,
    copied,
    dead_session,
    entries,
    held,
    held_in,
    make_old,
    segments,
    sidecar,
    write_batch,
)

# --- a disk that fails -----------------------------------------------------------------------------


def test_a_failed_fsync_of_the_journal_poisons_the_session_and_what_was_acknowledged_stays(
    target: Path, storage: MendableStorage
) -> None:
    session = safeh5.open(target, storage=storage)
    write_batch(session, 0)
    storage.fail("sync", "journal-", error=errno.EIO)
    with pytest.raises(JournalWriteError):
        write_batch(session, 1)
    storage.mend()
    assert session.state is State.FAILED
    for _ in range(2):
        with pytest.raises(SessionFailedError) as caught:
            write_batch(session, 2)
        assert f"safeh5 recover {target}" in str(caught.value)
    with pytest.raises(SessionFailedError):
        session.commit()
    assert safeh5.status(target).condition is Condition.INTERRUPTED
    safeh5.recover(target)
    assert held(target) in (batches(0), batches(0, 1))


def test_an_fsync_that_fails_between_two_calls_poisons_the_session_too(
    target: Path, storage: MendableStorage
) -> None:
    session = safeh5.open(target, storage=storage, durability="interval", interval_ms=10)
    write_batch(session, 0)
    session.sync()
    storage.fail("sync", "journal-", error=errno.EIO)
    with pytest.raises((JournalWriteError, SessionFailedError)):
        write_batch(session, 1)
        for _ in range(2000):
            session.record(CreateGroup(path=f"/late{_}"))
    storage.mend()
    assert session.state is State.FAILED
    with pytest.raises(SessionFailedError):
        session.commit()
    assert not target.exists()
    safeh5.open(target, resume=True).rollback()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("old", [False, True], ids=["new", "over-old"])
def test_whatever_call_fails_errors_are_named_the_target_is_whole_and_promises_are_kept(
    tmp_path: Path, error: int, old: bool
) -> None:
    template = tmp_path / "template" / "run.h5"
    template.parent.mkdir()
    before = make_old(template) if old else None
    for nth in range(1, 1000):
        target = copied(template, tmp_path / "faulty")
        storage = FaultyStorage(Fault(nth=nth, error=error))
        promised = work(target, storage)
        if not sidecar(target).exists():
            check_whole(target, before, promised)
        else:
            if target.exists():
                assert target.read_bytes() == before or held(target) >= promised
            safeh5.recover(target)
            check_whole(target, before, promised)
        if target.exists():
            safeh5.recover(target)  # a trash directory that could not be removed goes with the next call
        assert all(".safeh5-torn-" in name for name in entries(target)), (nth, entries(target))
        if len(storage.calls) < nth:
            break
    assert nth > 40
    shutil.rmtree(tmp_path / "faulty")


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_whatever_call_fails_while_a_session_is_resumed_it_can_be_resumed_again(
    tmp_path: Path, error: int
) -> None:
    dead = dead_session(tmp_path / "dead", 0, 1, old=True)
    with segments(dead)[-1].open("ab") as file:
        file.write(b"torn")
    for nth in range(1, 1000):
        target = copied(dead, tmp_path / "faulty")
        storage = FaultyStorage(Fault(nth=nth, error=error))
        session = None
        try:
            session = safeh5.open(target, resume=True, storage=storage)
            write_batch(session, 2)
        except SafeH5Error as refused:
            assert "run.h5" in str(refused)
        if session is not None:
            session._abandon()
        with safeh5.open(target, resume=True) as again:
            write_batch(again, 3)
        assert held(target) - {"b2"} == batches(0, 1, 3, old=True), storage.calls[nth - 1]
        if len(storage.calls) < nth:
            break
    assert nth > 15


def work(target: Path, storage: FaultyStorage) -> set[str]:
    """Three batches, a checkpoint, commit; going on past errors. Returns what was acknowledged."""
    promised: set[str] = set()
    try:
        with safeh5.open(target, storage=storage) as session:
            for number in range(3):
                try:
                    write_batch(session, number)
                    promised.add(f"b{number}")
                    if number == 1:
                        session.checkpoint()
                except SessionFailedError:
                    raise
                except SafeH5Error:
                    continue
    except SafeH5Error:
        pass
    return promised


def check_whole(target: Path, before: bytes | None, promised: set[str]) -> None:
    if not promised and (not target.exists() or target.read_bytes() == before):
        return
    assert promised <= held(target)


# --- those who come in between ---------------------------------------------------------------------


def test_what_a_progress_callback_tries_to_write_during_a_commit_is_refused(target: Path) -> None:
    make_old(target)
    refused: list[SessionStateError] = []

    def progress(event: ProgressEvent) -> None:
        if session.state is State.COMMITTING:
            try:
                session.record(CreateGroup(path="/late"))
            except SessionStateError as error:
                refused.append(error)

    session = safeh5.open(target, verify="full", progress=progress)
    write_batch(session, 0)
    session.commit()
    assert held(target) == batches(0, old=True)
    assert refused


def test_an_interrupt_in_the_last_steps_of_a_commit_lets_go_of_everything_and_recover_finishes(
    target: Path,
) -> None:
    class Interrupting(FaultyStorage):
        def replace(self, source: object, destination: object) -> None:
            raise KeyboardInterrupt

    make_old(target)
    session = safeh5.open(target, storage=Interrupting())
    write_batch(session, 0)
    with pytest.raises(KeyboardInterrupt):
        session.commit()
    assert session.state is State.FAILED
    assert safeh5.status(target).condition is Condition.IN_DOUBT
    with pytest.raises(SessionFailedError):
        write_batch(session, 1)
    with safeh5.open(target, resume=True):
        pass
    assert held(target) == batches(0, old=True) and entries(target) == []


def test_what_cannot_be_read_while_a_write_is_planned_is_one_of_our_errors(tmp_path: Path) -> None:
    for nth in range(1, 30):
        target = tmp_path / f"{nth}.h5"
        make_old(target)
        disk = FaultyStorage(Fault("read_at", nth=nth))
        session = safeh5.open(target, storage=disk)
        try:
            session.stream("/old/frames", shape=(3,), dtype="u2")
        except SafeH5Error as error:
            assert str(target) in str(error)
        disk.mend()
        # The file that was read as zeros is not gone on with.
        assert held_in(session.file) >= {"old"}
        session.rollback()


def test_what_cannot_be_read_through_the_sessions_file_is_one_of_our_errors_and_then_read_anew(
    tmp_path: Path,
) -> None:
    seen = []
    for nth in range(1, 30):
        target = tmp_path / f"{nth}.h5"
        make_old(target)
        disk = FaultyStorage(Fault("read_at", nth=nth))
        session = safeh5.open(target, storage=disk)
        try:
            assert held_in(session.file) >= {"old"}
        except SafeH5Error as error:
            seen.append(type(error))
            assert str(target) in str(error)
        disk.mend()
        assert held_in(session.file) >= {"old"}
        session.rollback()
    assert StagingReadError in seen


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_whatever_was_tried_on_a_disk_that_refuses_everything_the_session_goes_on_when_it_does_not(
    target: Path, error: int
) -> None:
    # The ABORT of a batch that has begun is owed; batches that do not even begin come after it.
    storage = FaultyStorage()
    session = safeh5.open(target, storage=storage)
    write_batch(session, 0)
    with pytest.raises(SafeH5Error), session.batch():
        session.record(CreateGroup(path="/begun"))
        storage.replan(Fault("append", times=None, error=error))
        session.record(CreateGroup(path="/refused"))
    for _ in range(3):
        with pytest.raises(SafeH5Error):
            write_batch(session, 1)
    storage.mend()
    write_batch(session, 2)
    session.commit()
    assert held(target) == batches(0, 2)


@pytest.mark.parametrize("effect", ["create", "append"])
@pytest.mark.parametrize("applier", ["inline", "process"])
def test_an_append_that_is_in_the_journal_is_not_told_as_failed_because_a_checkpoint_is(
    target: Path, effect: str, applier: str
) -> None:
    # Whoever is told so appends the item again, and has it twice.
    storage = FaultyStorage()
    options = {"segment_bytes": 4096, "journal_limit": 16 << 10, "applier": applier}
    session = safeh5.open(target, storage=storage, **options)  # type: ignore[arg-type]
    stream = session.stream("/items", shape=(256,), dtype="f8")
    storage.replan(Fault(effect, path="journal-00000005.log.new", error=errno.EIO))
    for number in range(40):
        length = stream.length
        try:
            stream.append(np.full(256, number))
        except JournalWriteError:
            assert stream.length == length, "it failed, and is there"
            stream.append(np.full(256, number))
        assert stream.length == length + 1
    assert any(call.path.endswith("journal-00000006.log.new") for call in storage.calls)
    session.commit()
    with h5py.File(target) as file:
        assert file["items"][:, 0].tolist() == list(range(40))
