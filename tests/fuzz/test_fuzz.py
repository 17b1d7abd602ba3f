"""The small form of each mode, with a seed; the long form is in fuzz/README.md."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

import safeh5
from fuzz.__main__ import CORPUS, main
from safeh5.testing.harness.corpus import keep, kept, load
from safeh5.testing.harness.registry import replay, run
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings
from tests.support import sidecar

CASES = {"model": 300, "kill": 100, "damage": 3000}


def check(report: Report, at_least: int) -> None:
    assert not report.failures, report.failures[0].what
    assert report.cases >= at_least


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", CASES)
def test_a_small_seeded_run_finds_nothing(mode: str, tmp_path: Path) -> None:
    check(run(mode, Settings(1, cases=CASES[mode], corpus=tmp_path)), CASES[mode])


@pytest.mark.timeout(900)
def test_every_bit_and_every_length_of_small_journals_is_told_from_what_was_written(tmp_path: Path) -> None:
    check(run("damage", Settings(1, exhaustive=True, corpus=tmp_path)), 30_000)


@pytest.mark.timeout(900)
def test_every_fault_at_every_call_of_the_short_workloads_is_one_of_our_errors(tmp_path: Path) -> None:
    report = run("faults", Settings(1, exhaustive=True, corpus=tmp_path))
    check(report, 14 * report.figures["calls that can fail"])


def test_faults_at_random_calls_of_all_workloads_find_nothing(tmp_path: Path) -> None:
    check(run("faults", Settings(2, cases=150, corpus=tmp_path)), 150)


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_bytes_that_nobody_wrote_are_decoded_or_refused(tmp_path: Path) -> None:
    check(run("decoder", Settings(1, cases=2000, corpus=tmp_path)), 2000)


@pytest.mark.parametrize("path", kept(CORPUS), ids=lambda path: path.name)
def test_what_was_found_once_stays_mended(path: Path) -> None:
    replay(path)


def test_a_kept_failure_names_no_place_of_the_machine_that_found_it(tmp_path: Path) -> None:
    where = str(Path(pytest.__file__).resolve())
    case = {"mode": "model", "text": f'File "{where}", line 1'}
    text = keep(tmp_path, case).read_text()
    assert "__init__.py" in text and str(Path(where).parents[1]) not in text


def test_a_kept_session_names_no_place_of_the_machine_that_found_it(tmp_path: Path) -> None:
    target = tmp_path / "work" / "run.h5"
    target.parent.mkdir()
    session = safeh5.open(target)
    owner = sidecar(target) / "owner.json"
    page = json.loads(owner.read_text())
    owner.write_text(json.dumps({**page, "command": f"{sys.executable} acquire.py"}))
    kept_in = keep(tmp_path / "corpus", {"mode": "damage"}, target.parent)
    session.rollback()
    load(kept_in, tmp_path / "again")
    said = json.loads((sidecar(tmp_path / "again" / "run.h5") / "owner.json").read_text())
    assert said == {**page, "command": f"{Path(sys.executable).name} acquire.py"}


@pytest.mark.parametrize("path", [p for p in kept(CORPUS) if p.suffix == ".zip"], ids=lambda path: path.name)
def test_no_session_of_the_corpus_names_a_place_of_a_machine(path: Path, tmp_path: Path) -> None:
    load(path, tmp_path)
    for page in tmp_path.rglob("owner.json"):
        assert not json.loads(page.read_text())["command"].startswith("/")


def test_the_result_is_one_json_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kill", "--cases", "3", "--seed", "5", "--json", "--corpus", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["mode"], found["seed"], found["cases"], found["failures"]) == ("kill", 5, 3, [])
