"""A disk that is full or fails under a session: what was acknowledged stays, and what can go on goes on."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import h5py
import pytest
from h5py import h5s

import safeh5
from safeh5.errors import (
    ApplyError,
    DiskFullError,
    JournalWriteError,
    SafeH5Error,
    SessionFailedError,
    SessionStateError,
    StagingReadError,
)
from safeh5.events import ProgressEvent
from safeh5.operations.model import CreateDataset, CreateGroup, WriteData
from safeh5.operations.values import encode_type
from safeh5.recovery import Condition
from safeh5.session import State
from safeh5.testing.faults import Fault, FaultyStorage
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


class MendableStorage(FaultyStorage):
    """A disk whose faults begin and end on command; each hits all calls of an effect on a path."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Fault | None = None

    def fail(self, effect: str, path: str = "", error: int = errno.ENOSPC, short: int = 0) -> None:
        self.fault = Fault(effect, path=path, times=None, error=error, short=short)

    def mend(self) -> None:
        self.fault = None

    def strike(self, effect: str, path: object) -> Fault | None:
        super().strike(effect, path)  # type: ignore[arg-type]
        call = self.calls[-1]
        return self.fault if self.fault is not None and self.fault.matches(call) else None


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "run.h5"


@pytest.fixture
def storage() -> MendableStorage:
    return MendableStorage()


# --- a full disk ------------------------------------------------------------------------------------


@pytest.mark.parametrize("short", [0, 1, 30, 100])
def test_a_journal_that_is_full_refuses_the_batch_and_goes_on_when_there_is_room(
    target: Path, storage: MendableStorage, short: int
) -> None:
    session = safeh5.open(target, storage=storage)
    write_batch(session, 0)
    storage.fail("append", "journal-", short=short)
    for _ in range(3):
        with pytest.raises(DiskFullError) as caught:
            write_batch(session, 1)
        assert str(target) in str(caught.value)
    assert session.state is State.OPEN
    storage.mend()
    write_batch(session, 2)
    assert held_in(session.file) == batches(0, 2)
    session.suspend()
    safeh5.recover(target)
    assert held(target) == batches(0, 2)


def test_a_journal_that_fills_up_at_any_frame_of_a_batch_loses_that_batch_and_no_other(
    tmp_path: Path,
) -> None:
    clean = FaultyStorage()
    session = safeh5.open(tmp_path / "clean.h5", storage=clean)
    write_batch(session, 0)
    before = sum(call.effect == "append" and "journal-" in call.path for call in clean.calls)
    session.rollback()
    for nth in range(1, 6):  # three operations, END, and a SYNC mark, which nobody misses
        target = tmp_path / f"{nth}.h5"
        fault = Fault("append", nth=before + nth, error=errno.ENOSPC, path="journal-")
        session = safeh5.open(target, storage=FaultyStorage(fault))
        write_batch(session, 0)
        if nth < 5:
            with pytest.raises(DiskFullError):
                write_batch(session, 1)
        else:
            write_batch(session, 1)
        write_batch(session, 2)
        session.suspend()
        safeh5.recover(target)
        assert held(target) == batches(*([0, 2] if nth < 5 else [0, 1, 2])), nth


SIZE = 1 << 20
BYTES = encode_type("u1")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("single", [False, True], ids=["batch", "single"])
def test_a_staging_file_that_fails_refuses_the_batch_and_is_made_again(
    target: Path, storage: MendableStorage, error: int, single: bool
) -> None:
    make_old(target)
    session = safeh5.open(target, storage=storage)
    space = h5s.create_simple((SIZE,)).encode()
    session.record(CreateDataset(path="/large", type=BYTES, space=space))
    session.record(WriteData(path="/large", type=BYTES), b"1" * SIZE)
    storage.fail("write_at", "staging.h5", error=error)
    for _ in range(3):
        with pytest.raises((DiskFullError, ApplyError)), session.batch():
            if not single:
                session.record(CreateGroup(path="/half"))
            session.record(WriteData(path="/large", type=BYTES), b"2" * SIZE)
    storage.mend()
    assert set(session.file) == {"old", "large"} and set(session.file["large"][()]) == {ord("1")}
    session.record(WriteData(path="/large", type=BYTES), b"3" * (SIZE // 2) + b"4" * (SIZE // 2))
    session.commit()
    with h5py.File(target) as file:
        assert set(file) == {"old", "large"} and set(file["large"][()]) == {ord("3"), ord("4")}


@pytest.mark.parametrize("effect", ["write_at", "sync", "create_random"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
def test_after_a_checkpoint_that_failed_the_next_batch_goes_through(
    target: Path, storage: MendableStorage, effect: str, error: int
) -> None:
    session = safeh5.open(target, storage=storage)
    write_batch(session, 0)
    session.checkpoint()
    write_batch(session, 1)
    storage.fail(effect, "staging", error=error)
    with pytest.raises((DiskFullError, ApplyError)):
        session.checkpoint()
    storage.mend()
    write_batch(session, 2)
    session.checkpoint()
    session.commit()
    assert held(target) == batches(0, 1, 2) and entries(target) == []


@pytest.mark.parametrize(
    ("effect", "path"), [("append", "journal-"), ("write_at", "staging"), ("copy_file", "staging")]
)
def test_a_commit_without_room_decides_nothing_and_works_when_there_is_room(
    target: Path, storage: MendableStorage, effect: str, path: str
) -> None:
    old = make_old(target)
    session = safeh5.open(target, storage=storage)
    if effect == "copy_file":
        storage.fail(effect, path)
        with pytest.raises(DiskFullError):
            write_batch(session, 0)
        storage.mend()
    write_batch(session, 0)
    storage.fail(effect, path)
    if effect != "copy_file":
        with pytest.raises(DiskFullError):
            session.commit()
    assert target.read_bytes() == old and session.state is State.OPEN
    storage.mend()
    session.commit()
    assert held(target) == batches(0, old=True) and entries(target) == []


@pytest.mark.parametrize("keep", [False, True])
def test_a_full_disk_does_not_stop_a_roll_back(target: Path, storage: MendableStorage, keep: bool) -> None:
    old = make_old(target)
    session = safeh5.open(target, storage=storage)
    write_batch(session, 0)
    storage.fail("append")
    session.rollback(keep=keep)
    assert target.read_bytes() == old and len(entries(target)) == keep


def test_a_session_that_finds_no_room_to_begin_leaves_nothing_behind(tmp_path: Path) -> None:
    for number in range(1, 100):
        target = tmp_path / f"d{number}" / "run.h5"
        target.parent.mkdir()
        old = make_old(target)
        storage = FaultyStorage(Fault(nth=number, error=errno.ENOSPC))
        try:
            session = safeh5.open(target, storage=storage)
        except SafeH5Error:
            assert target.read_bytes() == old and entries(target) == [], storage.calls[-3:]
            continue
        session.rollback()
        break
    assert number >= 8


# --- a disk that fails ---------------------------------------------------------------------------------


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


# --- those who come in between ------------------------------------------------------------------------------


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
