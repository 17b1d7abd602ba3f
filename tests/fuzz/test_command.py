"""The command ``python -m safeh5.testing``, as somebody uses it who has the wheel and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from safeh5.testing.harness.command import Exit, main
from safeh5.testing.harness.report import Report
from safeh5.testing.modes import decoder, locks, locks_life, locks_script, soak, strace

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import numpy as np
import safeh5

with safeh5.open("mine.h5") as session:
    frames = session.stream("/scan/frames", shape=(4,), dtype="u2")
    for number in range(3):
        frames.append(np.full(4, number))
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "safeh5.testing", *arguments]


def elsewhere(directory: Path) -> dict[str, str]:
    """An environment with the package and without the rest of the repository."""
    (directory / "site").mkdir()
    (directory / "site" / "safeh5").symlink_to(ROOT / "safeh5")
    return {**os.environ, "PYTHONPATH": str(directory / "site")}


@pytest.mark.parametrize("mode", ["kill", "damage", "faults", "model"])
def test_a_mode_runs_from_the_package_alone(mode: str, tmp_path: Path) -> None:
    environment = elsewhere(tmp_path)
    done = subprocess.run(
        command(mode, "--cases", "2", "--seed", "1"),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == Exit.CLEAN, done.stderr
    assert "no failures" in done.stdout
    assert not (tmp_path / "safeh5-corpus").exists()


@pytest.mark.timeout(300)
def test_the_script_of_a_user_is_killed_at_its_system_calls(tmp_path: Path) -> None:
    # By default a process takes the applying over after two seconds, which a busy machine may need to
    # get there: its calls would not be those that were counted.
    (tmp_path / "mine.py").write_text(SCRIPT.replace('open("mine.h5")', 'open("mine.h5", applier="inline")'))
    done = subprocess.run(
        command("kill", "--workload", "mine.py", "--cases", "3", "--seed", "1", "--json"),
        cwd=tmp_path,
        env=elsewhere(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == Exit.CLEAN, done.stderr
    assert json.loads(done.stdout)["figures"]["killed before a system call"] == 3


@pytest.mark.timeout(300)
def test_the_disk_of_a_user_s_script_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(SCRIPT)
    given = ["--workload", str(tmp_path / "mine.py"), "--cases", "4", "--seed", "1", "--json"]
    assert main(["faults", *given, "--corpus", str(tmp_path / "corpus")]) == Exit.CLEAN
    found = json.loads(capsys.readouterr().out)
    assert found["cases"] == 4 and found["figures"]["effects that can fail"] > 40


@pytest.mark.timeout(300)
def test_a_script_of_a_user_is_soaked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(SCRIPT)
    given = ["--workload", str(tmp_path / "mine.py"), "--cases", "3", "--seed", "1", "--json"]
    assert main(["soak", *given, "--corpus", str(tmp_path / "corpus")]) == Exit.CLEAN
    found = json.loads(capsys.readouterr().out)
    assert found["cases"] >= 3
    assert {word for word in found["figures"]} <= {f"mode {name}" for name in soak.WITH_SCRIPTS}


@pytest.mark.timeout(300)
def test_without_strace_the_script_of_a_user_kills_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(strace, "is_usable", lambda: False)
    (tmp_path / "mine.py").write_text(SCRIPT)
    assert (
        main(["kill", "--workload", str(tmp_path / "mine.py"), "--cases", "3", "--seed", "1"]) == Exit.CLEAN
    )
    assert "strace is not here" in capsys.readouterr().out


@pytest.mark.timeout(300)
def test_the_sessions_of_a_user_s_script_are_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(SCRIPT)
    given = ["--workload", str(tmp_path / "mine.py"), "--cases", "60", "--seed", "1", "--json"]
    assert main(["damage", *given, "--corpus", str(tmp_path / "corpus")]) == Exit.CLEAN
    found = json.loads(capsys.readouterr().out)
    assert found["cases"] == 60 and found["figures"]["sessions to be damaged"] > 2
    assert found["figures"]["recovered and salvaged for real"] > 5


@pytest.mark.timeout(300)
def test_many_processes_run_a_user_s_script_and_one_at_a_time_holds_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first_look = locks_script._first_look

    def small(*given: Any) -> Any:
        return replace(first_look(*given), processes=3, waves=2)

    monkeypatch.setattr(locks_script, "_first_look", small)
    (tmp_path / "mine.py").write_text(SCRIPT)
    given = ["--workload", str(tmp_path / "mine.py"), "--cases", "6", "--seed", "1", "--json"]
    assert main(["locks", *given, "--corpus", str(tmp_path / "corpus")]) == Exit.CLEAN
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert sum(figures.values()) >= 6
    assert all(words.startswith(("processes ", "refused: ")) for words in figures), figures


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["states", "kill", "faults", "damage", "locks", "soak"])
def test_a_script_that_fails_by_itself_is_shown_with_its_error(
    mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text("import sys\nsys.argv[1]\n")
    given = ["--workload", str(tmp_path / "mine.py"), "--seconds", "20", "--corpus", str(tmp_path / "corpus")]
    assert main([mode, *given]) == Exit.USAGE
    said = capsys.readouterr().err
    assert "IndexError" in said and "without arguments" in said


@pytest.mark.timeout(300)
def test_two_who_hold_a_user_s_file_are_found(tmp_path: Path) -> None:
    witness = locks_life.Witness(tmp_path)
    witness.take("scan.h5.lock")
    script = "import sys; from safeh5.testing.modes.locks_life import Witness\n"
    script += "from pathlib import Path; Witness(Path(sys.argv[1])).take('scan.h5.lock')"

    def another() -> bool:
        subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
        return any(tmp_path.glob("two-*"))

    assert another()
    for path in tmp_path.glob("two-*"):
        path.unlink()
    witness.give_back("scan.h5.lock")
    assert not another()


def test_ctrl_c_prints_what_was_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(report: Report, *_: object) -> None:
        report.cases += 7
        raise KeyboardInterrupt

    monkeypatch.setattr(locks, "_round", stopped)
    assert main(["locks", "--seconds", "100"]) == Exit.STOPPED
    said = capsys.readouterr().out
    assert "7 cases" in said and "stopped by Ctrl-C" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["kill", "--seconds", "-1"], "not a length of time"),
        (["kill", "--cases", "0"], "not a number of cases"),
        (["nothing"], "invalid choice"),
        (["soak", "--only", "kills", "--workload", __file__], "in the modes only"),
        (["soak", "--only", "sun"], "--only: sun is none of power-cuts, kills"),
        (["kill", "--only", "kills"], "there is no workload"),
        (["decoder", "--workload", __file__], "it decodes bytes that nobody wrote"),
        (["acquisition", "--workload", __file__], "use kill or locks"),
        (["model", "--workload", __file__], "subclass safeh5.testing.machine.SessionMachine"),
        (["kill", "--workload", "missing.py"], "there is no file: missing.py"),
        (["kill", "--workload", str(ROOT / "tests")], "that is a directory"),
        (["states", "--workload", __file__, "--only", "tree"], "--only chooses among the built-in workloads"),
        (["replay", __file__], "is not a kept case"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == Exit.USAGE
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said


def test_without_atheris_the_decoder_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(decoder.importlib.util, "find_spec", lambda name: None)
    assert main(["decoder", "--seconds", "1"]) == Exit.UNAVAILABLE
    assert "pip install 'safeh5[fuzz]'" in capsys.readouterr().err
