"""A journal that was pruned builds on its checkpoint: recovery goes on from there, or says that it cannot."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import safeh5
from safeh5.errors import ApplyError, CheckpointLostError, CorruptJournalError, RecoverError, SafeH5Error
from safeh5.journal import scan
from safeh5.options import VerifyLevel
from safeh5.recovery import Condition
from safeh5.storage import Storage
from safeh5.verify import Problem, ProblemKind, VerifyReport
from tests.support import (
    batches,
    copied,
    dead_session,
    entries,
    held,
    segments,
    sidecar,
    snapshot,
    write_batch,
)

LIMIT = 4000
NUMBERS = range(20)


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty batches over an old file, with a journal that holds the last few only."""
    root = tmp_path_factory.mktemp("anchored")
    return dead_session(root / "dead", *NUMBERS, old=True, journal_limit=LIMIT)


def found_in(target: Path) -> bool:
    return scan(Storage(), sidecar(target)).is_complete


def test_the_journal_of_this_test_is_pruned_and_has_records_of_its_own(dead: Path) -> None:
    found = scan(Storage(), sidecar(dead))
    assert found.anchor is not None
    assert 0 < found.records < 3 * len(NUMBERS) / 2


# --- with its checkpoint ---------------------------------------------------------------------


def test_a_pruned_session_is_replayed_from_its_checkpoint(dead: Path, tmp_path: Path) -> None:
    target = copied(dead, tmp_path / "run")
    before = safeh5.status(target)
    assert before.condition is Condition.INTERRUPTED
    assert before.began is not None
    report = safeh5.recover(target)
    assert held(target) == batches(*NUMBERS, old=True)
    assert report.records < 3 * len(NUMBERS)
    assert entries(target) == []


def test_a_pruned_session_is_resumed_and_committed_without_a_new_record(dead: Path, tmp_path: Path) -> None:
    target = copied(dead, tmp_path / "run")
    with safeh5.open(target, resume=True):
        pass
    assert held(target) == batches(*NUMBERS, old=True)


def test_a_session_that_was_pruned_to_nothing_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    session = safeh5.open(target, journal_limit=1)
    write_batch(session, 0)
    session.checkpoint()
    session.suspend()
    assert scan(Storage(), sidecar(target)).records == 0
    with safeh5.open(target, resume=True, journal_limit=1) as session:
        assert "b0" in session.file
        write_batch(session, 1)
    assert held(target) == batches(0, 1)


def test_a_pruned_session_goes_to_another_file_and_stays_as_it_is(dead: Path, tmp_path: Path) -> None:
    target = copied(dead, tmp_path / "run")
    before = snapshot(target.parent)
    safeh5.recover(target, output=tmp_path / "elsewhere.h5")
    assert held(tmp_path / "elsewhere.h5") == batches(*NUMBERS, old=True)
    assert snapshot(target.parent) == before


def test_a_pruned_session_that_was_rolled_back_can_still_be_built(dead: Path, tmp_path: Path) -> None:
    target = copied(dead, tmp_path / "run")
    [aside] = safeh5.recover(target, "rollback").kept_aside
    assert held(target) == batches(old=True)
    safeh5.recover(aside, output=tmp_path / "elsewhere.h5")
    assert held(tmp_path / "elsewhere.h5") == batches(*NUMBERS, old=True)


def test_salvage_of_a_pruned_session_loses_only_what_is_damaged(dead: Path, tmp_path: Path) -> None:
    target = copied(dead, tmp_path / "run")
    found = scan(Storage(), sidecar(target))
    [last] = [n for n in NUMBERS if f"/b{n}/data".encode() in segments(target)[-1].read_bytes()][:1]
    path = segments(target)[-1]
    data = bytearray(path.read_bytes())
    data[data.index(b"/b%d/data" % last)] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptJournalError):
        safeh5.recover(target)
    report = safeh5.recover(target, "salvage")
    assert held(target) == batches(*(n for n in NUMBERS if n != last), old=True)
    assert report.losses
    assert found.anchor is not None
    assert all((loss.first_lsn or 0) > found.anchor.lsn for loss in report.losses)


def test_a_salvage_names_what_cannot_be_read_of_a_damaged_checkpoint(dead: Path, tmp_path: Path) -> None:
    unreadable = 0
    size = (sidecar(dead) / "staging.h5").stat().st_size
    for offset in range(600, size, size // 12):
        target = copied(dead, tmp_path / str(offset))
        data = bytearray((sidecar(target) / "staging.h5").read_bytes())
        data[offset : offset + 600] = bytes(len(data[offset : offset + 600]))
        (sidecar(target) / "staging.h5").write_bytes(data)
        try:
            report = safeh5.recover(target, "salvage")
        except SafeH5Error:
            continue  # it is seen at once that there is nothing to build on
        problems = {problem.path for problem in safeh5.verify(target).problems}
        assert problems <= {loss.dataset for loss in report.losses}
        unreadable += len(problems)
    assert unreadable


def test_a_salvage_counts_the_losses_that_it_does_not_list(
    dead: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Problem("/a", ProblemKind.DATA, "why")

    def verify(*_: object, **__: object) -> VerifyReport:
        return VerifyReport(path="", level=VerifyLevel.FULL, ok=False, problems=(found,), omitted=7)

    monkeypatch.setattr("safeh5.recovery.unreadable.verify", verify)
    target = copied(dead, tmp_path / "run")
    first, rest = safeh5.recover(target, "salvage").losses
    assert first.dataset == "/a" and rest.what == "7 more cannot be read"


def test_a_damaged_anchor_refuses_everything_but_to_be_set_aside(dead: Path, tmp_path: Path) -> None:
    target = copied(dead, tmp_path / "run")
    path = segments(target)[0]
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    before = snapshot(target.parent)
    assert safeh5.status(target).condition is Condition.CORRUPT
    for action in ("replay", "salvage"):
        with pytest.raises(CorruptJournalError):
            safeh5.recover(target, action)
    assert snapshot(target.parent) == before
    [aside] = safeh5.recover(target, "rollback").kept_aside
    assert (Path(aside) / "staging.h5").exists()
    assert held(target) == batches(old=True)


@pytest.mark.parametrize("offset", [40, 130, 200])
def test_a_damaged_anchor_is_named_before_the_segments_that_it_had_let_go(
    dead: Path, tmp_path: Path, offset: int
) -> None:
    target = copied(dead, tmp_path / "run")
    path = segments(target)[0]
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    assert safeh5.status(target).damage[0].path == str(path)
    path.write_bytes(data[:offset])
    assert safeh5.status(target).damage[0].path == str(path)


# --- without it ----------------------------------------------------------------------------------


def no_staging(place: Path) -> None:
    (place / "staging.h5").unlink()


def short_staging(place: Path) -> None:
    path = place / "staging.h5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty_staging(place: Path) -> None:
    (place / "staging.h5").write_bytes(b"")


def no_slots(place: Path) -> None:
    for path in place.glob("staging.redo-*"):
        path.unlink()


def damaged_slots(place: Path) -> None:
    for path in place.glob("staging.redo-*"):
        data = bytearray(path.read_bytes())
        data[60] ^= 1
        path.write_bytes(data)


def newer_slot_lost(place: Path) -> None:
    sequences = {path: path.read_bytes()[32:40] for path in place.glob("staging.redo-*")}
    assert len(sequences) == 2
    max(sequences, key=lambda path: int.from_bytes(sequences[path], "little")).unlink()


def other_slots(place: Path) -> None:
    for path in place.glob("staging.redo-*"):
        data = bytearray(path.read_bytes())
        data[16:32] = bytes(16)
        path.write_bytes(data)


LOSSES = [no_staging, short_staging, empty_staging, no_slots, damaged_slots, newer_slot_lost, other_slots]


@pytest.mark.parametrize("lose", LOSSES)
def test_a_lost_checkpoint_is_named_and_nothing_is_touched(
    dead: Path, tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    target = copied(dead, tmp_path / "run")
    lose(sidecar(target))
    before = snapshot(target.parent)
    attempts: list[Callable[[], object]] = [
        lambda: safeh5.recover(target),
        lambda: safeh5.recover(target, dry_run=True),
        lambda: safeh5.recover(target, "salvage"),
        lambda: safeh5.recover(target, output=tmp_path / "elsewhere.h5"),
        lambda: safeh5.open(target, resume=True),
        lambda: safeh5.open(target, recover="replay"),
    ]
    for attempt in attempts:
        with pytest.raises(CheckpointLostError) as caught:
            attempt()
        assert isinstance(caught.value, RecoverError)
        assert caught.value.path == str(sidecar(target) / "staging.h5")
        assert "The target is untouched" in str(caught.value)
        assert "safeh5 recover" in str(caught.value)
        assert snapshot(target.parent) == before
    assert not (tmp_path / "elsewhere.h5").exists()
    status = safeh5.status(target)
    assert "checkpoint" in status.detail
    assert status.command is not None
    assert "--rollback" in status.command
    assert held(target) == batches(old=True)


@pytest.mark.parametrize("lose", LOSSES)
def test_a_lost_checkpoint_that_comes_back_is_as_good_as_ever(
    dead: Path, tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    target = copied(dead, tmp_path / "run")
    lose(sidecar(target))
    with pytest.raises(CheckpointLostError):
        safeh5.recover(target)
    for path in sidecar(dead).glob("staging.*"):
        shutil.copy(path, sidecar(target))
    safeh5.recover(target)
    assert held(target) == batches(*NUMBERS, old=True)


@pytest.mark.parametrize("lose", LOSSES)
def test_a_whole_journal_does_without_its_checkpoint(
    tmp_path: Path, lose: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safeh5.recovery.replay.REBUILD_BYTES", -1)
    target = dead_session(tmp_path / "run", *range(6), old=True, checkpoint_bytes=30)
    assert found_in(target)
    lose(sidecar(target))
    safeh5.recover(target)
    assert held(target) == batches(*range(6), old=True)


def test_a_staging_file_that_hdf5_cannot_close_is_one_of_our_errors(
    dead: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Found by the state machine: a damaged checkpoint that opens, and whose free space HDF5 cannot write.
    def close(self: object) -> None:
        raise RuntimeError("Can't decrement id ref count (addr overflow)")

    target = copied(dead, tmp_path / "run")
    with monkeypatch.context() as failing:
        failing.setattr("safeh5.applier.staging.Staging._close_hdf5", close)
        with pytest.raises(ApplyError, match="addr overflow") as caught:
            safeh5.recover(target)
    assert caught.value.path is not None and held(target) == batches(old=True)


def test_a_checkpoint_whose_root_group_does_not_open_is_a_lost_one(
    dead: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Found by the state machine: HDF5 opens a damaged file, and then cannot read its root group.
    def applier(*given: object) -> None:
        raise ValueError("Unable to synchronously open group")

    target = copied(dead, tmp_path / "run")
    with monkeypatch.context() as failing:
        failing.setattr("safeh5.applier.staging.Applier", applier)
        with pytest.raises(CheckpointLostError):
            safeh5.recover(target)
    assert held(target) == batches(old=True)
    safeh5.recover(target)
    assert held(target) == batches(*NUMBERS, old=True)
