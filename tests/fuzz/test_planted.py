"""The harness finds what is wrong: bugs planted in the package are caught, kept and shown again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase

from safeh5.recovery import salvage
from safeh5.session import Session
from safeh5.testing.damage import Damage, Kind, NoEffectError, copy_of
from safeh5.testing.harness.registry import replay, run
from safeh5.testing.harness.settings import Settings
from safeh5.testing.modes import model
from safeh5.testing.modes.damage_check import check
from safeh5.testing.modes.templates import make_templates


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
