"""The harness finds what is wrong: bugs planted in the package are caught, kept and shown again."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase

from safeh5.errors import CorruptJournalError
from safeh5.journal import Gap, salvage_frames, walk
from safeh5.recovery import plan, salvage
from safeh5.session import Session
from safeh5.testing.damage import Damage, Kind, NoEffectError, copy_of
from safeh5.testing.harness.registry import replay, run
from safeh5.testing.harness.settings import Settings
from safeh5.testing.modes import looking, model
from safeh5.testing.modes.damage_check import check
from safeh5.testing.modes.damage_patients import Patient
from safeh5.testing.modes.looking import look
from safeh5.testing.modes.templates import make_templates
from safeh5.testing.world import values


def test_a_planted_bug_is_found_by_the_model_and_kept_until_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "PHASES", (Phase.generate,))  # to make it small takes a minute
    with monkeypatch.context() as planted:
        planted.setattr(Session, "rollback", lambda self, keep=False: Session.commit(self))
        report = run("model", Settings(1, cases=100, corpus=tmp_path))
        [failure] = report.failures
        assert failure.command.startswith("python -m safeh5.testing replay ")
        with pytest.raises(AssertionError):
            replay(failure.kept)
    replay(failure.kept)


def test_a_planted_bug_in_salvage_is_found_by_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = make_templates(tmp_path / "templates")[0]
    damage = Damage(Kind.SWAP, "journal-00000001.log", offset=720, length=512, second=1376)
    damaged = copy_of(template.directory, tmp_path / "damaged")
    damage.apply(damaged / "run.h5.safeh5")
    check(damaged, tmp_path / "scratch", template, damage)

    def nothing_is_left_out(audit: Any, batch: int, lsn: int) -> None:
        pass

    monkeypatch.setattr(salvage, "_leave_out", nothing_is_left_out)
    with pytest.raises(AssertionError):
        check(damaged, tmp_path / "scratch", template, damage)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    """An interrupted session in five segments, to be damaged."""
    root = tmp_path_factory.mktemp("looking")
    return Patient.of(make_templates(root / "templates")[2], root / "damaged")


def in_values(session: Patient) -> Damage:
    """A bit in the values of the first batch."""
    needle = values(0).tobytes()
    [path] = [path for path in session.sidecar.glob("journal-*") if needle in path.read_bytes()]
    return Damage(Kind.FLIP, path.name, offset=path.read_bytes().index(needle) + 5, bit=3)


def look_after(session: Patient, damage: Damage) -> str:
    changed = session.hurt(damage)
    try:
        return look(session.place / "run.h5", damage, session.whole, changed)
    finally:
        session.mend(damage)


IN_A_HEADER = Damage(Kind.FLIP, "journal-00000002.log", offset=200, bit=0)


def test_a_flipped_bit_is_refused_and_the_frame_that_it_hit_is_named(session: Patient) -> None:
    assert look_after(session, in_values(session)) == "refused: CorruptJournalError"
    assert look_after(session, IN_A_HEADER) == "refused: CorruptJournalError"


def test_an_error_that_names_another_frame_is_found(
    session: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = plan.corrupt_journal

    def blames_the_next(evidence: Any) -> CorruptJournalError:
        error = honest(evidence)
        assert error.lsn is not None
        error.lsn += 1
        return error

    monkeypatch.setattr(plan, "corrupt_journal", blames_the_next)
    with pytest.raises(AssertionError, match="was damaged, in the frame at"):
        look_after(session, IN_A_HEADER)


def test_a_payload_that_nobody_checks_is_found(session: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = walk.parse

    def believes_payloads(*given: Any, **options: Any) -> Any:
        return honest(*given, **{**options, "whole": False})

    monkeypatch.setattr(walk, "parse", believes_payloads)
    with pytest.raises(AssertionError, match="made up"):
        look_after(session, in_values(session))


def test_a_salvage_that_is_silent_about_a_lost_frame_is_found(
    session: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_gaps(*given: Any) -> Any:
        return (item for item in salvage_frames(*given) if not isinstance(item, Gap))

    monkeypatch.setattr(looking, "salvage_frames", without_gaps)
    with pytest.raises(AssertionError, match="salvage says nothing of the frames"):
        look_after(session, in_values(session))


def test_damage_taken_for_a_torn_end_is_found(session: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = importlib.import_module("safeh5.journal.scan")
    monkeypatch.setattr(scan._Frames, "judge", lambda self, *_, **__: None)
    monkeypatch.setattr(scan._Scan, "_misfit", lambda *_: None)
    with pytest.raises(AssertionError, match="taken for a torn end"):
        look_after(session, in_values(session))


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.MISSING, Kind.RENAMED)])
def test_damage_that_changes_nothing_is_no_damage(tmp_path: Path, kind: Kind) -> None:
    (tmp_path / "file").write_bytes(b"")
    damage = Damage(kind, "file", length=0)
    with pytest.raises(NoEffectError):
        damage.apply(tmp_path, [tmp_path])
    (tmp_path / "file").write_bytes(bytes(8) + b"12345678" + bytes(8))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_bytes(b"87654321")
    Damage(kind, "file", offset=8, length=4, second=0).apply(tmp_path, [tmp_path / "other"])
