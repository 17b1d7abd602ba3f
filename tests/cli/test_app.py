"""The command as a whole: exit codes, no tracebacks, plain pipes, help."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from safeh5 import errors
from safeh5.cli import status as status_module
from safeh5.cli.exits import Exit, of_error
from safeh5.events import ProgressEvent
from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "safeh5", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=environment.pop("cwd", None),
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def test_python_m_safeh5_is_the_command() -> None:
    ran = command("--version")
    assert ran.returncode == 0
    assert ran.stdout.startswith("safeh5 ")
    assert "HDF5" in ran.stdout


def test_help_names_every_command_and_the_exit_codes(run: Run) -> None:
    ran = run("--help")
    for word in ("status", "recover", "inspect", "verify", "demo", "data lost or damaged"):
        assert word in ran.out
    for name in ("status", "recover", "inspect", "verify", "demo"):
        assert run(name, "--help").code == 0


def test_an_unknown_command_is_a_usage_error(run: Run) -> None:
    assert run("repair").code == 2


def test_completion_can_be_installed(run: Run) -> None:
    assert "--install-completion" in run("--help").out


def test_every_error_of_the_tree_has_a_code() -> None:
    def tree(kind: type[errors.SafeH5Error]) -> list[type[errors.SafeH5Error]]:
        return [kind, *(sub for child in kind.__subclasses__() for sub in tree(child))]

    for kind in tree(errors.SafeH5Error):
        assert of_error(kind("what happened")) in set(Exit) - {Exit.DONE}
    assert of_error(errors.SessionLockedError("x")) == 4
    assert of_error(errors.InterruptedSessionError("x")) == 5
    assert of_error(errors.CorruptJournalError("x")) == 6
    assert of_error(errors.TargetNotFoundError("x")) == 3


def test_an_unexpected_exception_is_called_a_bug_in_one_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(path: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(status_module, "ask", broken)
    ran = run("status", tmp_path / "a.h5")
    assert ran.code == 1
    assert "bug" in ran.err
    assert "SAFEH5_DEBUG=1" in ran.err
    assert "Traceback (most" not in ran.err
    assert "Traceback (most" in run("--debug", "status", tmp_path / "a.h5").err
    as_json = run("status", tmp_path / "a.h5", "--json")
    assert as_json.json["errors"][0]["type"] == "ZeroDivisionError"


def test_an_error_of_the_system_is_no_bug(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(path: object) -> None:
        raise PermissionError(13, "Permission denied", "/data/run.h5")

    monkeypatch.setattr(status_module, "ask", refused)
    ran = run("status", tmp_path / "a.h5")
    assert ran.code == 1
    assert ran.err.strip() == "safeh5: /data/run.h5: Permission denied."


def test_ctrl_c_ends_with_130_and_a_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stopped(path: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status_module, "ask", stopped)
    ran = run("status", tmp_path / "a.h5")
    assert ran.code == 130
    assert "stopped" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_reader_that_closes_the_pipe_is_no_error(tmp_path: Path) -> None:
    script = f"{sys.executable} -m safeh5 status {tmp_path} --json | true; exit ${{PIPESTATUS[0]}}"
    ran = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.stderr == ""


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_that_are_no_text_are_printed_all_the_same(tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/odd-\xff.h5")
    ran = command("status", odd, LC_ALL="C.UTF-8")
    assert ran.returncode == 3
    assert "odd-" in ran.stderr
    assert "Traceback" not in ran.stderr
    ran = command("status", odd, "--json")
    assert json.loads(ran.stdout)["errors"][0]["path"] == odd


def test_a_pipe_gets_no_colours_and_whole_lines(interrupted: Path) -> None:
    ran = command("status", interrupted, COLUMNS="20")
    assert "\x1b" not in ran.stdout
    assert f"safeh5 recover {interrupted}" in ran.stdout


def test_without_a_terminal_long_work_is_told_in_lines(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from safeh5.cli import progress

    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with caplog.at_level("INFO", "safeh5"), progress.shown_progress() as told:
        told(ProgressEvent("replaying journal", 1 << 20, 1 << 21))
    assert caplog.messages == ["replaying journal: 1.0 MiB of 2.0 MiB"]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_recovery_stopped_by_ctrl_c_can_be_run_again(interrupted: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "safeh5", "recover", str(interrupted)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    child.communicate()
    assert command("recover", interrupted).returncode == 0
    assert interrupted.exists()


LOADED = """
import sys
from safeh5.cli import main
sys.argv = ["safeh5", *sys.argv[1:]]
try:
    main()
finally:
    print(*sorted(name for name in sys.modules if name.split(".")[0] in ("safeh5", "h5py")), file=sys.stderr)
"""


def test_a_command_loads_what_it_needs_and_no_other_command(tmp_path: Path) -> None:
    def loaded(*arguments: str) -> set[str]:
        command = [sys.executable, "-c", LOADED, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return set(done.stderr.split())

    asking = loaded("status", str(tmp_path))
    assert "safeh5.recovery.looking" in asking
    assert not asking & {"h5py", "safeh5.h5", "safeh5.session", "safeh5.applier", "safeh5.cli.run"}
    verifying = loaded("verify", str(tmp_path / "none.h5"))
    assert "safeh5.verify.check" in verifying
    assert not verifying & {"safeh5.h5", "safeh5.session", "safeh5.applier", "safeh5.cli.demo"}


def test_the_help_names_every_command_and_a_slip_is_told(run: Run) -> None:
    shown = run("--help").out
    for name in ("status", "recover", "inspect", "verify", "demo", "run"):
        assert name in shown
    slip = run("statu")
    assert slip.code == Exit.USAGE and "No such command" in slip.err
