"""The harness is tested: planted bugs fit the source, and are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.__main__ import main
from fuzz.hunt import hunt
from fuzz.mutants import Mutant, copy_package, mutants

QUICK = ["damage-read-as-torn-tail", "failed-fsync-retried", "no-lock-at-all", "commit-record-left-out"]
"""A few that are found within seconds, one for each of four modes; the others are for the long run."""


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_every_planted_bug_still_fits_the_source(mutant: Mutant, tmp_path: Path) -> None:
    mutant.apply(copy_package(tmp_path))
    assert mutant.modes


def test_there_are_enough_of_them_and_no_two_have_one_name() -> None:
    names = [mutant.name for mutant in mutants()]
    assert len(set(names)) == len(names) >= 30


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_found(name: str) -> None:
    [mutant] = [mutant for mutant in mutants() if mutant.name == name]
    assert any(catch.caught for catch in hunt(mutant, mutant.modes[:1], seed=1, seconds=30))


def test_a_mutant_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", "nothing"]) == 2
    assert "nothing" in capsys.readouterr().err
