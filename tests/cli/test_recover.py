"""``safeh5 recover`` finishes or undoes, asks before it destroys, and may be run again."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

import safeh5
from safeh5.cli import recover
from tests.cli.conftest import Run


def sidecar(target: Path) -> Path:
    return target.with_name(target.name + ".safeh5")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits at the keyboard."""
    monkeypatch.setattr(recover, "_at_terminal", lambda: True)


def test_replay_is_the_default_and_brings_back_what_was_acknowledged(run: Run, interrupted: Path) -> None:
    ran = run("recover", interrupted)
    assert ran.code == 0, ran.err
    assert "recovered" in ran.out
    with h5py.File(interrupted) as file:
        assert file["Scan_000/frames"].shape == (6, 10, 10)
        assert "cancelled" not in file
    assert not sidecar(interrupted).exists()


def test_recovering_again_does_nothing(run: Run, interrupted: Path) -> None:
    run("recover", interrupted)
    ran = run("recover", interrupted)
    assert ran.code == 0
    assert "nothing to do" in ran.out


def test_a_dry_run_prints_the_plan_and_changes_nothing(run: Run, interrupted: Path) -> None:
    before = {p: p.read_bytes() for p in interrupted.parent.rglob("*") if p.is_file()}
    ran = run("recover", interrupted, "--dry-run")
    assert ran.code == 0
    assert "COMMIT" in ran.out
    assert {p: p.read_bytes() for p in interrupted.parent.rglob("*") if p.is_file()} == before


def test_output_leaves_target_and_journal_alone(run: Run, interrupted: Path, tmp_path: Path) -> None:
    ran = run("recover", interrupted, "--output", tmp_path / "other.h5")
    assert ran.code == 0, ran.err
    assert sidecar(interrupted).is_dir()
    assert not interrupted.exists()
    with h5py.File(tmp_path / "other.h5") as file:
        assert "Scan_000" in file


def test_roll_back_keeps_the_journal_aside(run: Run, interrupted: Path) -> None:
    ran = run("recover", interrupted, "--rollback")
    assert ran.code == 0
    assert not sidecar(interrupted).exists()
    (aside,) = interrupted.parent.glob("run.h5.safeh5-rolledback-*")
    assert str(aside) in ran.out


def test_without_a_terminal_purge_needs_yes(run: Run, interrupted: Path) -> None:
    ran = run("recover", interrupted, "--rollback", "--purge")
    assert ran.code == 2
    assert "--yes" in ran.err
    assert sidecar(interrupted).is_dir()
    assert run("recover", interrupted, "--rollback", "--purge", "--yes").code == 0
    assert list(interrupted.parent.iterdir()) == []


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("options", [("--rollback",), ("--salvage",), ("--rollback", "--purge")])
def test_on_a_terminal_it_asks_before_it_gives_anything_up(
    run: Run, interrupted: Path, options: tuple[str, ...]
) -> None:
    ran = run("recover", interrupted, *options, stdin="n\n")
    assert ran.code == 1
    assert "?" in ran.err
    assert "Nothing was changed" in ran.err
    assert sidecar(interrupted).is_dir()
    assert run("recover", interrupted, *options, stdin="y\n").code == 0
    assert not sidecar(interrupted).exists()


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_replay_does_not_ask(run: Run, interrupted: Path) -> None:
    assert run("recover", interrupted, stdin="").code == 0


def test_damage_is_refused_with_the_place_and_the_next_command(run: Run, corrupt: Path) -> None:
    ran = run("recover", corrupt)
    assert ran.code == 6
    assert "journal-00000001.log" in ran.err
    assert "--salvage" in ran.err
    assert "Traceback" not in ran.err
    assert not corrupt.exists()


def test_salvage_names_every_loss_and_ends_as_data_lost(run: Run, corrupt: Path) -> None:
    ran = run("recover", corrupt, "--salvage", "--yes")
    assert ran.code == 6, ran.err
    assert "lost" in ran.out
    with h5py.File(corrupt) as file:
        assert "after" in file


def test_a_live_session_is_locked(run: Run, tmp_path: Path) -> None:
    with safeh5.open(tmp_path / "live.h5") as session:
        session.write(safeh5.MicroDataset("x", [1, 2]))
        ran = run("recover", tmp_path / "live.h5")
        assert ran.code == 4
        assert "process" in ran.err


def test_nothing_at_the_path_is_not_found(run: Run, tmp_path: Path) -> None:
    assert run("recover", tmp_path / "nothing.h5").code == 3


def test_a_directory_is_a_sentence(run: Run, interrupted: Path) -> None:
    ran = run("recover", interrupted.parent)
    assert ran.code == 2
    assert "safeh5 status" in ran.err


@pytest.mark.parametrize(
    "options", [("--rollback", "--salvage"), ("--purge",), ("--replay", "--purge"), ("--no-such-option",)]
)
def test_options_that_do_not_fit_are_usage_errors(
    run: Run, interrupted: Path, options: tuple[str, ...]
) -> None:
    assert run("recover", interrupted, *options).code == 2
    assert sidecar(interrupted).is_dir()


def test_json_is_one_object_and_nothing_else(run: Run, interrupted: Path) -> None:
    ran = run("recover", interrupted, "--json")
    assert ran.code == 0
    (report,) = ran.json["reports"]
    assert report["result"] == str(interrupted)
    assert report["records"] > 0


def test_errors_are_json_too(run: Run, corrupt: Path) -> None:
    ran = run("recover", corrupt, "--json")
    assert (ran.code, ran.err) == (6, "")
    (error,) = ran.json["errors"]
    assert error["type"] == "CorruptJournalError"
    assert error["segment"] == 1
    assert error["lsn"] > 0
    assert "--salvage" in error["hint"]
