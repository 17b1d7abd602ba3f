"""What recovery answers in rare conditions: each is refused or told by name, and nothing is changed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import safeh5
from safeh5.errors import (
    DiskFullError,
    InvalidOptionError,
    JournalError,
    JournalWriteError,
    NothingToRecoverError,
    NotReadableError,
    NotWritableError,
    SafeH5Error,
    SessionLockedError,
    VerificationError,
)
from safeh5.journal import scan
from safeh5.recovery import Condition, publish, status_tree
from safeh5.storage import Names, Storage, StrPath, TargetLock
from safeh5.storage.fingerprint import Fingerprint
from safeh5.testing.faults import Fault, FaultyStorage
from safeh5.testing.oracle import snapshot
from safeh5.testing.world import batches, dead_session, held, make_old, values, write_batch
from safeh5.verify import VerifyReport


@pytest.fixture
def dead(tmp_path: Path) -> Path:
    """A target whose session was killed after two batches."""
    return dead_session(tmp_path / "dead", 0, 1, old=True)


def test_one_sidecar_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    for name in ("a", "b"):
        dead_session(tmp_path / name, 0)
    storage = FaultyStorage(Fault("list_directory", path="/a/", error=errno.EIO, times=None))
    reports = {Path(report.target).parent.name: report for report in status_tree(tmp_path, storage=storage)}
    assert reports["b"].condition is Condition.INTERRUPTED
    assert "cannot be read" in reports["a"].detail


def test_purge_without_a_roll_back_is_refused(dead: Path) -> None:
    before = snapshot(dead.parent)
    with pytest.raises(InvalidOptionError, match="purge goes with a roll back"):
        safeh5.recover(dead, purge=True)
    assert snapshot(dead.parent) == before


def test_a_roll_back_to_another_file_is_refused(dead: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionError, match="no meaning for a roll back"):
        safeh5.recover(dead, "rollback", output=tmp_path / "other.h5")


def test_a_dry_run_on_a_running_session_names_its_holder_and_changes_nothing(tmp_path: Path) -> None:
    with safeh5.open(tmp_path / "run.h5") as session:
        write_batch(session, 0)
        with pytest.raises(SessionLockedError) as refused:
            safeh5.recover(tmp_path / "run.h5", dry_run=True)
        assert str(os.getpid()) in str(refused.value)
        assert "It is being written" in safeh5.status(tmp_path / "run.h5").detail
    assert held(tmp_path / "run.h5") == batches(0, old=False)


@pytest.fixture
def given_up(tmp_path: Path) -> Path:
    """A target whose session was rolled back and died before its sidecar went."""
    target = tmp_path / "run.h5"
    make_old(target)
    storage = FaultyStorage()
    session = safeh5.open(target, storage=storage)
    write_batch(session, 0)
    storage.replan(Fault("rename", error=errno.EIO, times=None))
    with pytest.raises(SafeH5Error):
        session.rollback(keep=True)
    return target


@pytest.mark.parametrize("action", ["replay", "salvage"])
def test_what_was_rolled_back_is_not_brought_back(given_up: Path, action: str) -> None:
    before = given_up.read_bytes()
    status = safeh5.status(given_up)
    assert status.condition is Condition.ROLLED_BACK
    assert "was rolled back" in status.detail and "--rollback" in str(status.command)
    report = safeh5.recover(given_up, action)
    assert "had been rolled back" in report.warnings[0]
    assert given_up.read_bytes() == before
    assert safeh5.status(given_up).condition is Condition.CLEAN


def test_a_target_in_no_directory_is_said_to_be_in_none(tmp_path: Path) -> None:
    with pytest.raises(NotWritableError, match="there is no such directory"):
        safeh5.recover(tmp_path / "missing" / "run.h5")


def test_a_lock_that_cannot_be_made_is_said_to_be_so(dead: Path) -> None:
    before = dead.read_bytes()
    dead.with_name("run.h5.safeh5.lock").mkdir()
    with pytest.raises(NotWritableError, match="the lock file cannot be made or locked"):
        safeh5.recover(dead)
    assert dead.read_bytes() == before


def test_a_name_that_no_journal_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionError, match="not UTF-8"):
        safeh5.open(os.fsencode(tmp_path) + b"/\xff.h5")
    with pytest.raises(InvalidOptionError, match="has 250 bytes"):
        safeh5.open(tmp_path / ("n" * 247 + ".h5"))
    assert not list(tmp_path.iterdir())


def test_a_file_that_does_not_verify_is_not_put_over_the_target(
    dead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = publish.verify

    def finds_something(path: str, **options: object) -> VerifyReport:
        Path(path).write_bytes(b"\0" * 4096)  # a disk that lost the file it was given
        return honest(path, **options)  # type: ignore[arg-type]

    before = dead.read_bytes()
    monkeypatch.setattr(publish, "verify", finds_something)
    with pytest.raises(VerificationError, match="does not verify"):
        safeh5.recover(dead, verify="structure")
    assert dead.read_bytes() == before
    monkeypatch.undo()
    safeh5.recover(dead, verify="structure")
    assert held(dead) == batches(0, 1, old=True)


@pytest.mark.parametrize("note", [b"", b"{", b"\xff\xfe", b"[1]"])
def test_a_note_of_a_salvage_that_cannot_be_read_costs_nothing(dead: Path, note: bytes) -> None:
    sidecar = dead.with_name("run.h5.safeh5")
    (sidecar / "salvaged.json").write_bytes(note)
    assert safeh5.status(dead).condition is Condition.INTERRUPTED
    safeh5.recover(dead)
    assert held(dead) == batches(0, 1, old=True)


def test_a_report_as_json_says_what_was_done(dead: Path) -> None:
    said = json.loads(safeh5.recover(dead).to_json())
    assert said["before"] == "interrupted" and said["records"] == 6


def test_zeros_behind_the_journal_are_no_bytes_to_keep(dead: Path) -> None:
    segment = dead.with_name("run.h5.safeh5") / "journal-00000001.log"
    with open(segment, "ab") as file:
        file.write(bytes(512))
    report = safeh5.recover(dead)
    assert not report.kept_aside
    assert held(dead) == batches(0, 1, old=True)


def test_the_other_path_of_a_full_disk_is_told_how_much_to_free(dead: Path, tmp_path: Path) -> None:
    before = snapshot(dead.parent)
    storage = FaultyStorage(Fault("*", path="other.h5", error=errno.ENOSPC, times=None))
    with pytest.raises(SafeH5Error) as full:
        safeh5.recover(dead, output=tmp_path / "other.h5", storage=storage)
    assert "needed" in str(full.value) or "Free" in str(full.value)
    assert not (tmp_path / "other.h5").exists()
    assert {n for n in before if n.endswith(".log")} <= set(snapshot(dead.parent))


def test_a_salvage_of_what_was_rolled_back_and_damaged_sets_it_aside(given_up: Path) -> None:
    before = given_up.read_bytes()
    segment = given_up.with_name("run.h5.safeh5") / "journal-00000001.log"
    data = bytearray(segment.read_bytes())
    data[data.index(values(0).tobytes())] ^= 1
    segment.write_bytes(data)
    assert safeh5.status(given_up).condition is Condition.CORRUPT
    report = safeh5.recover(given_up, "salvage")
    assert "had been rolled back" in report.warnings[0]
    assert given_up.read_bytes() == before


def test_a_dry_run_where_nothing_is_says_so(tmp_path: Path) -> None:
    with pytest.raises(NothingToRecoverError):
        safeh5.recover(tmp_path / "run.h5", dry_run=True)


def test_a_session_that_ends_while_it_is_looked_at_is_no_error(dead: Path) -> None:
    class Vanishing(Storage):
        def list_directory(self, path: StrPath) -> list[str]:
            shutil.rmtree(path)
            return super().list_directory(path)

    assert safeh5.status(dead, storage=Vanishing()).condition is Condition.CLEAN


def test_a_segment_that_is_a_link_to_nowhere_is_said_to_be_unreadable(dead: Path) -> None:
    (dead.with_name("run.h5.safeh5") / "journal-00000002.log").symlink_to("nowhere")
    with pytest.raises(JournalError, match="cannot be read"):
        safeh5.recover(dead)


def test_a_holder_without_a_name_is_a_holder_all_the_same(tmp_path: Path) -> None:
    with safeh5.open(tmp_path / "run.h5"):
        (tmp_path / "run.h5.safeh5" / "owner.json").unlink()
        with pytest.raises(SessionLockedError):
            safeh5.open(tmp_path / "run.h5")


def test_a_directory_under_the_name_of_what_is_deleted_does_not_stop_a_commit(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    session = safeh5.open(target)
    write_batch(session, 0)
    names = Names.of(target)
    session_id = scan(Storage(), names.sidecar, live=True).session_id
    os.makedirs(os.path.join(names.trash(session_id), "left"))
    session.commit()
    assert held(target) == batches(0, old=False)
    assert [path.name for path in tmp_path.iterdir()] == ["run.h5"]


def test_another_file_is_not_made_of_a_session_that_there_is_not(tmp_path: Path) -> None:
    make_old(tmp_path / "run.h5")
    with pytest.raises(NothingToRecoverError, match="nothing to write to another file"):
        safeh5.recover(tmp_path / "run.h5", output=tmp_path / "other.h5")


def test_a_disk_too_full_for_the_other_file_says_how_much_to_free(dead: Path, tmp_path: Path) -> None:
    storage = FaultyStorage(Fault("write_at", error=errno.ENOSPC, times=None))
    with pytest.raises(DiskFullError) as full:
        safeh5.recover(dead, output=tmp_path / "other.h5", storage=storage)
    assert full.value.needed and "Free" in str(full.value)
    assert not (tmp_path / "other.h5").exists()


def test_the_room_for_the_other_file_counts_the_checkpoint_that_is_copied_first(tmp_path: Path) -> None:
    said = []
    for name in ("without", "with"):
        (tmp_path / name).mkdir()
        session = safeh5.open(tmp_path / name / "run.h5")
        write_batch(session, 0)
        if name == "with":
            session.checkpoint()
        session._abandon()
        storage = FaultyStorage(Fault("write_at", error=errno.ENOSPC, times=None))
        with pytest.raises(DiskFullError) as full:
            safeh5.recover(tmp_path / name / "run.h5", output=tmp_path / "other.h5", storage=storage)
        said.append(full.value.needed)
    assert said[0] and said[1] and said[1] > said[0]


def test_another_file_is_made_only_when_the_applier_of_the_dead_session_has_gone(
    tmp_path: Path, dead: Path
) -> None:
    fence = TargetLock(Names.of(str(dead)).staging + ".lock")
    fence.acquire()
    done: list[object] = []
    thread = threading.Thread(
        target=lambda: done.append(safeh5.recover(dead, output=tmp_path / "other.h5")), daemon=True
    )
    thread.start()
    thread.join(0.5)
    assert not done and not (tmp_path / "other.h5").exists()
    fence.release(remove=True)
    thread.join(60)
    assert done and held(tmp_path / "other.h5") == batches(0, 1, old=True)


def test_an_owner_that_cannot_be_kept_is_warned_of(dead: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Forgetful(Storage):
        def copy_metadata(self, source: StrPath, destination: StrPath) -> tuple[str, ...]:
            return (*super().copy_metadata(source, destination), "the owner")

    safeh5.recover(dead, storage=Forgetful())
    assert "the owner of" in caplog.text and "could not be kept" in caplog.text


def test_a_roll_back_whose_record_cannot_be_synced_is_no_roll_back(tmp_path: Path) -> None:
    storage = FaultyStorage()
    session = safeh5.open(tmp_path / "run.h5", storage=storage)
    write_batch(session, 0)
    storage.replan(Fault("sync", path="journal-", error=errno.EIO, times=None))
    with pytest.raises(JournalWriteError):
        session.rollback()
    storage.mend()
    safeh5.recover(tmp_path / "run.h5")
    assert held(tmp_path / "run.h5") in (batches(0, old=False), batches(old=False))


def test_when_suspending_fails_too_the_first_exception_is_what_the_caller_sees(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = FaultyStorage()
    with pytest.raises(ZeroDivisionError), safeh5.open(tmp_path / "run.h5", storage=storage) as session:
        write_batch(session, 0)
        storage.replan(Fault("sync", path="journal-", error=errno.EIO, times=None))
        _ = 1 / 0
    assert "ZeroDivisionError left the session" in caplog.text and "journal-" in caplog.text
    safeh5.recover(tmp_path / "run.h5")
    assert held(tmp_path / "run.h5") == batches(0, old=False)


@pytest.mark.parametrize("ask", [safeh5.status, safeh5.recover])
def test_a_target_that_this_user_may_not_read_is_told_and_nothing_is_touched(
    dead: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Path], object]
) -> None:
    def refused(path: object) -> Fingerprint:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    before = snapshot(dead.parent)
    monkeypatch.setattr(Fingerprint, "of", refused)
    with pytest.raises(NotReadableError, match="may not be read") as caught:
        ask(dead)
    assert str(dead) in str(caught.value)
    assert snapshot(dead.parent) == before
