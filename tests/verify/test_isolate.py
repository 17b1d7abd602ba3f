"""A reader that crashes, hangs or lies is a finding in the report."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from safeh5.events import ProgressEvent, silent
from safeh5.options import VerifyLevel
from safeh5.verify.isolate import supervise
from safeh5.verify.report import ProblemKind, VerifyReport
from tests.load import slowness

STEP = (
    '{"step": {"task": "reading elements", "done": 5, "total": 9, "unit": "bytes"}, "at": "/a/b",'
    ' "counts": {"objects": 3, "datasets": 2, "attributes": 1, "bytes": 5}}'
)
PROBLEM = '{"problem": {"path": "/c", "what": "data", "detail": "bad"}}'


def run(*statements: str, stall: float | None = 20.0) -> VerifyReport:
    program = ";".join(["import os, signal, sys, time", *statements])
    return supervise([sys.executable, "-c", program], "x.h5", VerifyLevel.FULL, silent, stall)


def say(line: str) -> str:
    return f"print({line!r}, flush=True)"


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_crash_is_a_problem_that_names_the_object() -> None:
    report = run(say(STEP), "os.kill(os.getpid(), signal.SIGSEGV)")
    assert not report.ok
    assert [(p.path, p.what) for p in report.problems] == [("/a/b", ProblemKind.CRASH)]
    assert "SIGSEGV" in report.problems[0].detail


def test_what_was_found_before_a_crash_is_kept() -> None:
    report = run(say(STEP), say(PROBLEM), "os.abort()")
    assert [p.path for p in report.problems] == ["/c", "/a/b"]
    assert (report.objects, report.datasets, report.attributes, report.bytes) == (3, 2, 1, 5)


def test_a_hang_is_a_problem_that_names_the_object() -> None:
    began = time.monotonic()
    report = run(say(STEP), "time.sleep(60)", stall=1.0 * slowness())  # it has to start, too
    assert time.monotonic() - began < 40
    assert [(p.path, p.what) for p in report.problems] == [("/a/b", ProblemKind.STALL)]


def test_an_exit_without_a_report_is_a_problem_with_the_last_words() -> None:
    report = run("sys.stderr.write('first\\nlast words\\n')", "sys.exit(3)")
    assert report.problems[0].what == ProblemKind.CRASH
    assert "code 3" in report.problems[0].detail
    assert "last words" in report.problems[0].detail


def test_a_line_torn_by_the_crash_is_no_traceback() -> None:
    report = run(say(STEP), "sys.stdout.write('{\"prob')", "sys.stdout.flush()", "os._exit(1)")
    assert [(p.path, p.what) for p in report.problems] == [("/a/b", ProblemKind.CRASH)]


def test_progress_of_the_child_is_progress_of_the_parent() -> None:
    events: list[ProgressEvent] = []
    program = f"print({STEP!r})"
    supervise([sys.executable, "-c", program], "x.h5", VerifyLevel.FULL, events.append, 20)
    assert events == [ProgressEvent("reading elements", 5, 9, "bytes")]


def test_an_error_in_the_callers_progress_leaves_no_process(tmp_path: Path) -> None:
    def fail(event: ProgressEvent) -> None:
        raise KeyError(event.task)

    marker = tmp_path / "alive"
    touch = f"time.sleep(3); pathlib.Path({str(marker)!r}).touch()"
    program = f"import time, pathlib; print({STEP!r}, flush=True); {touch}"
    with pytest.raises(KeyError):
        supervise([sys.executable, "-c", program], "x.h5", VerifyLevel.FULL, fail, 20)
    time.sleep(3.5)
    assert not marker.exists()
