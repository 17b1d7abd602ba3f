"""The small form of each mode, with a seed; the long form is in fuzz/README.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fuzz.__main__ import CORPUS, main
from safeh5.testing.harness.corpus import kept
from safeh5.testing.harness.registry import replay, run
from safeh5.testing.harness.settings import Settings

CASES = {"model": 40, "kill": 100, "faults": 150, "states": 300, "damage": 250}


@pytest.mark.parametrize("mode", CASES)
def test_a_small_seeded_run_finds_nothing(mode: str, tmp_path: Path) -> None:
    report = run(mode, Settings(1, cases=CASES[mode], corpus=tmp_path))
    assert not report.failures, report.failures[0].what
    assert report.cases >= CASES[mode]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_twenty_thousand_crash_states_are_recovered_as_promised(tmp_path: Path) -> None:
    report = run("states", Settings(20261122, cases=20_000, corpus=tmp_path))
    assert not report.failures, report.failures[0].what
    assert report.cases >= 20_000


@pytest.mark.parametrize("path", kept(CORPUS), ids=lambda path: path.name)
def test_what_was_found_once_stays_mended(path: Path) -> None:
    replay(path)


def test_the_result_is_one_json_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kill", "--cases", "3", "--seed", "5", "--json", "--corpus", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["mode"], found["seed"], found["cases"], found["failures"]) == ("kill", 5, 3, [])
