"""What else may stand where a sidecar should: each gets a sentence, none a traceback."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

import safeh5
from safeh5.errors import (
    ForeignSidecarError,
    InvalidOptionError,
    JournalError,
    NothingToRecoverError,
    RecoverError,
    SafeH5Error,
    TargetChangedError,
    TargetExistsError,
    UnsupportedVersion,
)
from safeh5.journal.checksum import extend
from safeh5.recovery import Action, Condition
from safeh5.testing.faults import Fault, FaultyStorage
from tests.support import (
    batches,
    copied,
    dead_session,
    entries,
    held,
    make_old,
    segments,
    sidecar,
    snapshot,
    write_batch,
)


@pytest.fixture(scope="module")
def dead_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dead_session(tmp_path_factory.mktemp("odd") / "dead", 0, 1, 2, old=True)


@pytest.fixture
def dead(dead_once: Path, tmp_path: Path) -> Path:
    """A target with an interrupted session of three batches over an old file."""
    return copied(dead_once, tmp_path / "dead")


def check_refused(target: Path, error: type[SafeH5Error], condition: Condition | None) -> None:
    """Status says what it is; opening and every recovery refuse; nothing is touched."""
    before = snapshot(target.parent)
    if condition is not None:
        report = safeh5.status(target)
        assert report.condition is condition and report.detail
    for action in Action:
        with pytest.raises(error) as caught:
            safeh5.recover(target, action)
        assert os.fspath(target) in str(caught.value)
    for options in ({}, {"resume": True}, {"recover": "replay"}):
        with pytest.raises(error):
            safeh5.open(target, **options)  # type: ignore[arg-type]
    assert snapshot(target.parent) == before


# --- nothing of ours ------------------------------------------------------------------------------


def test_without_a_sidecar_a_file_is_clean_and_recovering_it_does_nothing(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    old = make_old(target)
    assert safeh5.status(target).condition is Condition.CLEAN
    for action in Action:
        assert safeh5.recover(target, action).plan == ()
    assert target.read_bytes() == old and entries(target) == []


def test_with_neither_file_nor_sidecar_there_is_nothing_to_recover(tmp_path: Path) -> None:
    assert safeh5.status(tmp_path / "run.h5").condition is Condition.CLEAN
    with pytest.raises(NothingToRecoverError):
        safeh5.recover(tmp_path / "run.h5")
    assert os.listdir(tmp_path) == []


def test_an_empty_directory_in_the_sidecars_place_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    sidecar(target).mkdir()
    check_refused(target, ForeignSidecarError, Condition.FOREIGN)


def test_a_foreign_directory_in_the_sidecars_place_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    make_old(target)
    sidecar(target).mkdir()
    (sidecar(target) / "notes.txt").write_text("mine")
    check_refused(target, ForeignSidecarError, Condition.FOREIGN)


def test_a_file_in_the_sidecars_place_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    make_old(target)
    sidecar(target).write_text("mine")
    check_refused(target, ForeignSidecarError, Condition.FOREIGN)


def test_a_dangling_link_in_the_sidecars_place_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    sidecar(target).symlink_to(tmp_path / "nowhere")
    check_refused(target, ForeignSidecarError, Condition.FOREIGN)


def test_a_journal_of_a_newer_version_is_said_to_be_one_and_left_alone(dead: Path) -> None:
    data = bytearray(segments(dead)[0].read_bytes())
    data[8] = 2
    data[124:128] = extend(0, bytes(data[:124])).to_bytes(4, "little")
    segments(dead)[0].write_bytes(data)
    check_refused(dead, UnsupportedVersion, Condition.UNSUPPORTED)


@pytest.mark.parametrize("effect", ["map", "read_bytes"])
def test_a_sidecar_that_cannot_be_read_is_said_to_be_one(dead: Path, effect: str) -> None:
    for number in (errno.EACCES, errno.EIO):
        fault = Fault(effect, times=None, error=number, path="journal-")
        with pytest.raises(JournalError, match=r"cannot be read") as caught:
            safeh5.status(dead, storage=FaultyStorage(fault))
        assert str(sidecar(dead)) in str(caught.value)
        with pytest.raises(JournalError):
            safeh5.recover(dead, storage=FaultyStorage(fault))
    safeh5.recover(dead)
    assert held(dead) == batches(0, 1, 2, old=True)


# --- sidecars with parts missing ------------------------------------------------------------------


def test_a_half_made_sidecar_is_no_session_and_goes_with_the_next_open(dead: Path) -> None:
    made = dead.with_name(".run.h5.safeh5.new-0123abcd")
    sidecar(dead).rename(made)
    report = safeh5.status(dead)
    assert report.condition is Condition.CLEAN and report.leftovers == (str(made),)
    safeh5.open(dead).rollback()
    assert entries(dead) == []


def test_a_half_deleted_sidecar_is_no_session_and_goes_with_recover(dead: Path) -> None:
    old = dead.read_bytes()
    sidecar(dead).rename(dead.with_name(".run.h5.safeh5.trash-0123abcd"))
    safeh5.recover(dead)
    assert entries(dead) == [] and dead.read_bytes() == old


@pytest.mark.parametrize("owner", [None, b"", b"\0\xff{", b'{"pid": "no"}', b"[" * 100_000])
def test_a_missing_or_damaged_owner_page_costs_nothing_but_words(dead: Path, owner: bytes | None) -> None:
    page = sidecar(dead) / "owner.json"
    page.unlink()
    if owner is not None:
        page.write_bytes(owner)
    report = safeh5.status(dead)
    assert report.condition is Condition.INTERRUPTED and report.owner is None
    safeh5.recover(dead)
    assert held(dead) == batches(0, 1, 2, old=True)


@pytest.mark.parametrize("staging", [None, b"", b"garbage" * 999])
@pytest.mark.parametrize("redo", [None, b"", b"\x89SAFEH5R" * 50])
def test_a_missing_or_damaged_staging_file_is_made_again(
    dead: Path, staging: bytes | None, redo: bytes | None
) -> None:
    for name, content in (("staging.h5", staging), ("staging.redo-0", redo), ("staging.redo-1", redo)):
        path = sidecar(dead) / name
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
    safeh5.recover(dead)
    assert held(dead) == batches(0, 1, 2, old=True) and entries(dead) == []


def test_a_segment_that_was_just_being_begun_is_ignored(dead: Path) -> None:
    (sidecar(dead) / "journal-00000002.log.new").write_bytes(b"half a header")
    safeh5.recover(dead)
    assert held(dead) == batches(0, 1, 2, old=True) and entries(dead) == []


def test_the_sidecar_itself_or_a_segment_may_be_named_instead_of_the_target(
    dead_once: Path, tmp_path: Path
) -> None:
    for choose in (sidecar, lambda target: segments(target)[0]):
        target = copied(dead_once, tmp_path / "named")
        assert safeh5.status(choose(target)).condition is Condition.INTERRUPTED
        safeh5.recover(choose(target))
        assert held(target) == batches(0, 1, 2, old=True)


# --- targets that are not what they were ----------------------------------------------------------


def test_a_target_changed_since_is_never_replaced_and_the_result_can_go_elsewhere(dead: Path) -> None:
    make_old(dead)
    before = snapshot(dead.parent)
    for action in ("replay", "salvage"):
        with pytest.raises(TargetChangedError) as caught:
            safeh5.recover(dead, action)
        assert "--output" in str(caught.value)
    assert snapshot(dead.parent) == before
    output = dead.with_name("other.h5")
    report = safeh5.recover(dead, output=output)
    assert report.warnings and held(output) == batches(0, 1, 2, old=True)
    output.unlink()
    assert snapshot(dead.parent) == before


def test_a_target_that_is_gone_is_not_made_from_half_a_journal(dead: Path) -> None:
    dead.unlink()
    with pytest.raises(TargetChangedError):
        safeh5.recover(dead)
    assert not dead.exists()


def test_an_output_that_exists_is_not_overwritten_and_nothing_is_left_behind(dead: Path) -> None:
    output = dead.with_name("other.h5")
    output.write_text("mine")
    before = snapshot(dead.parent)
    with pytest.raises(TargetExistsError):
        safeh5.recover(dead, output=output)
    assert snapshot(dead.parent) == before


def test_half_of_an_output_left_by_a_killed_recovery_is_not_gone_on_with(dead: Path) -> None:
    output = dead.with_name("other.h5")
    session = safeh5.status(dead).session_id
    assert session is not None
    half = dead.with_name(f".other.h5.safeh5.new-{session[:8]}")
    half.mkdir()
    for path in sidecar(dead).glob("staging*"):
        (half / path.name).write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    safeh5.recover(dead, output=output)
    assert held(output) == batches(0, 1, 2, old=True)


# --- what was decided stays decided ---------------------------------------------------------------


def test_a_session_rolled_back_by_recovery_is_kept_aside_and_can_be_built_elsewhere(dead: Path) -> None:
    old = dead.read_bytes()
    [aside] = safeh5.recover(dead, "rollback").kept_aside
    assert dead.read_bytes() == old and entries(dead) == [Path(aside).name]
    assert safeh5.status(aside).condition is Condition.ROLLED_BACK
    with pytest.raises(InvalidOptionError):
        safeh5.recover(aside)
    output = dead.with_name("other.h5")
    safeh5.recover(aside, output=output)
    assert held(output) == batches(0, 1, 2, old=True)
    safeh5.recover(aside, "rollback", purge=True)
    assert entries(dead) == ["other.h5"]


def test_a_damaged_session_kept_aside_is_never_salvaged_over_the_target(dead: Path) -> None:
    data = bytearray(segments(dead)[0].read_bytes())
    data[data.index(b"/b1/data")] ^= 1
    segments(dead)[0].write_bytes(data)
    old = dead.read_bytes()
    [aside] = safeh5.recover(dead, "rollback").kept_aside
    with pytest.raises(InvalidOptionError):
        safeh5.recover(aside, "salvage")
    assert dead.read_bytes() == old


def test_damage_in_the_journal_of_a_session_that_was_committing_costs_nothing(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    make_old(target)
    session = safeh5.open(target, storage=FaultyStorage(Fault("replace", error=errno.EIO, path="run.h5")))
    write_batch(session, 0)
    with pytest.raises(RecoverError):
        session.commit()
    assert safeh5.status(target).condition is Condition.IN_DOUBT
    data = bytearray(segments(target)[0].read_bytes())
    data[data.index(b"/b0/data")] ^= 1
    segments(target)[0].write_bytes(data)
    with pytest.raises(RecoverError):
        safeh5.recover(target)
    with pytest.raises(RecoverError, match="committed"):
        safeh5.recover(target, "rollback")
    report = safeh5.recover(target, "salvage")
    assert held(target) == batches(0, old=True) and not report.losses


def test_a_copy_of_the_old_target_cut_off_by_a_kill_is_made_again(dead: Path) -> None:
    old = dead.read_bytes()
    data = bytearray(segments(dead)[0].read_bytes())
    data[data.index(b"/b1/data")] ^= 1
    segments(dead)[0].write_bytes(data)
    (sidecar(dead) / "target-before-salvage.h5.new").write_bytes(old[:100])
    [aside] = safeh5.recover(dead, "salvage").kept_aside
    assert (Path(aside) / "target-before-salvage.h5").read_bytes() == old


# --- looking only ---------------------------------------------------------------------------------


@pytest.mark.parametrize("action", list(Action))
def test_a_dry_run_and_status_change_nothing(dead: Path, action: Action) -> None:
    before = snapshot(dead.parent)
    report = safeh5.recover(dead, action, dry_run=True)
    assert report.dry_run and report.plan
    safeh5.status(dead)
    list(safeh5.status_tree(dead.parent))
    assert snapshot(dead.parent) == before


def test_status_tells_how_much_waits(dead: Path) -> None:
    report = safeh5.status(dead)
    assert report.records == 9 and report.bytes == 3 * 20
    assert report.command is not None and str(dead) in report.command
    assert report.durable_lsn > 9 and report.began and report.last_activity


# --- disks that fail under recovery ---------------------------------------------------------------


@pytest.mark.parametrize("action", ["replay", "rollback", "salvage"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_a_disk_that_fails_anywhere_under_recovery_is_a_named_error_and_the_next_run_finishes(
    dead_once: Path, tmp_path: Path, action: str, number: int
) -> None:
    damaged = copied(dead_once, tmp_path / "template")
    if action == "salvage":
        data = bytearray(segments(damaged)[0].read_bytes())
        data[data.index(b"/b1/data")] ^= 1
        segments(damaged)[0].write_bytes(data)
    numbers = (0, 2) if action == "salvage" else () if action == "rollback" else (0, 1, 2)
    for nth in range(1, 1000):
        target = copied(damaged, tmp_path / "faulty")
        storage = FaultyStorage(Fault(nth=nth, error=number))
        try:
            safeh5.recover(target, action, storage=storage)
        except SafeH5Error as error:
            assert "run.h5" in str(error)
        if len(storage.calls) < nth:
            break
        if sidecar(target).exists():
            safeh5.recover(target, action)
        safeh5.recover(target)
        assert held(target) == batches(*numbers, old=True), f"call {nth}: {storage.calls[nth - 1]}"
        kept = (".safeh5-rolledback-", ".safeh5-damaged-")
        assert all(any(text in name for text in kept) for name in entries(target)), entries(target)
    assert nth > 15
    shutil.rmtree(tmp_path / "faulty")
