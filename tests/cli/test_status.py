"""``safeh5 status`` says what waits and changes nothing."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

import safeh5
from tests.cli.conftest import Run


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "clean.h5", "w") as file:
        file["x"] = 1
    return tmp_path / "clean.h5"


def snapshot(directory: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_a_clean_file_is_clean(run: Run, clean: Path) -> None:
    ran = run("status", clean)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("clean")
    assert str(clean) in ran.out


def test_an_interrupted_session_waits_and_the_command_is_named(run: Run, interrupted: Path) -> None:
    before = snapshot(interrupted.parent)
    ran = run("status", interrupted)
    assert ran.code == 5
    assert ran.out.startswith("interrupted")
    assert f"safeh5 recover {interrupted}" in ran.out
    assert "acknowledged" in ran.out
    assert snapshot(interrupted.parent) == before


def test_the_sidecar_stands_for_its_target(run: Run, interrupted: Path) -> None:
    sidecar = interrupted.with_name("run.h5.safeh5")
    assert run("status", sidecar).out == run("status", interrupted).out


def test_a_directory_tree_is_searched(run: Run, interrupted: Path) -> None:
    ran = run("status", interrupted.parent)
    assert ran.code == 5
    assert str(interrupted) in ran.out


def test_a_directory_without_sessions_is_clean(run: Run, clean: Path) -> None:
    ran = run("status", clean.parent)
    assert ran.code == 0
    assert "nothing waits" in ran.out


def test_the_default_is_the_current_directory(
    run: Run, interrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(interrupted.parent)
    assert run("status").code == 5


def test_a_live_session_is_live(run: Run, tmp_path: Path) -> None:
    with safeh5.open(tmp_path / "live.h5") as session:
        session.write(safeh5.MicroDataset("x", [1, 2]))
        ran = run("status", tmp_path / "live.h5")
        assert ran.code == 4
        assert ran.out.startswith("live")


def test_a_suspended_session_waits(run: Run, tmp_path: Path) -> None:
    session = safeh5.open(tmp_path / "a.h5")
    session.write(safeh5.MicroDataset("x", [1, 2]))
    session.suspend()
    ran = run("status", tmp_path / "a.h5")
    assert ran.code == 5
    assert ran.out.startswith("suspended")


def test_a_damaged_journal_is_damage_with_its_place(run: Run, corrupt: Path) -> None:
    ran = run("status", corrupt)
    assert ran.code == 6
    assert "journal-00000001.log" in ran.out
    assert "LSN" in ran.out
    assert "--salvage" in ran.out


def test_a_foreign_sidecar_is_a_sentence(run: Run, clean: Path) -> None:
    clean.with_name("clean.h5.safeh5").mkdir()
    ran = run("status", clean)
    assert ran.code == 1
    assert ran.out.startswith("foreign")
    assert "Traceback" not in ran.out + ran.err


def test_nothing_at_the_path_is_not_found(run: Run, tmp_path: Path) -> None:
    ran = run("status", tmp_path / "nothing.h5")
    assert ran.code == 3
    assert ran.out == ""
    assert "nothing.h5" in ran.err


def test_json_is_one_object_and_nothing_else(run: Run, interrupted: Path) -> None:
    ran = run("status", interrupted, "--json")
    assert (ran.code, ran.err) == (5, "")
    assert (ran.json["ok"], ran.json["exit_code"], ran.json["errors"]) == (False, 5, [])
    (report,) = ran.json["reports"]
    assert report["condition"] == "interrupted"
    assert report["records"] > 0
    assert report["target"] == str(interrupted)


def test_with_several_paths_each_is_told_and_the_highest_code_counts(
    run: Run, interrupted: Path, clean: Path, tmp_path: Path
) -> None:
    ran = run("status", clean, tmp_path / "nothing.h5", interrupted, "--json")
    assert ran.code == 5
    assert [r["condition"] for r in ran.json["reports"]] == ["clean", "interrupted"]
    (error,) = ran.json["errors"]
    assert (error["type"], error["exit_code"]) == ("TargetNotFoundError", 3)
    assert error["path"] == str(tmp_path / "nothing.h5")
