"""What recovery answers in rare conditions: each is refused or told by name, and nothing is changed."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

import safeh5
from safeh5.errors import (
    InvalidOptionError,
    NotWritableError,
    SafeH5Error,
    SessionLockedError,
    VerificationError,
)
from safeh5.recovery import Condition, publish, status_tree
from safeh5.testing.faults import Fault, FaultyStorage
from safeh5.testing.oracle import snapshot
from safeh5.testing.world import batches, dead_session, held, make_old, write_batch
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
