"""The small form of each mode, with a seed; the long form is in fuzz/README.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fuzz.__main__ import main, replay, run
from fuzz.corpus import kept

CASES = {"model": 40, "kill": 100, "damage": 250}


@pytest.mark.parametrize("mode", CASES)
def test_a_small_seeded_run_finds_nothing(mode: str, tmp_path: Path) -> None:
    result = run(mode, 1, seconds=None, cases=CASES[mode], kept=tmp_path)
    assert not result.failures, result.failures[0].what
    assert result.cases >= CASES[mode]


@pytest.mark.parametrize("path", kept(), ids=lambda path: path.name)
def test_what_was_found_once_stays_mended(path: Path) -> None:
    replay(path)


def test_the_result_is_one_json_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kill", "--cases", "3", "--seed", "5", "--json", "--corpus", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["mode"], found["seed"], found["cases"], found["failures"]) == ("kill", 5, 3, [])
