"""The harness is tested: planted bugs fit the source, and are found."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from fuzz.__main__ import main
from fuzz.hunt import HEADING, PAGE, Catch, hunt, write_row
from fuzz.mutants import ROOT, Edit, Mutant, mutants
from safeh5.testing.harness.registry import MODES
from safeh5.testing.modes.kill_cases import CASES
from safeh5.testing.states.workloads import WORKLOADS

QUICK = [
    "decoder-trusts-lengths",
    "failed-fsync-retried",
    "no-lock-at-all",
    "sidecar-made-under-its-own-name",
    "salvage-does-not-name-losses",
    "sidecar-name-not-synced",
    "failed-write-not-cut-off",
    "pages-placed-under-a-reader",
    "row-lost-at-a-checkpoint",
]
"""A few that are found within seconds, of each mode some; the others are for the long run."""


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_every_planted_bug_still_fits_the_source(mutant: Mutant) -> None:
    assert mutant.planted(ROOT)
    assert mutant.modes and set(mutant.modes) <= set(MODES) and set(mutant.only) <= set(mutant.modes)
    for mode, names in mutant.only.items():
        assert set(names) <= (set(WORKLOADS) if mode == "states" else set(map(str, CASES))), mode


def test_a_planted_bug_that_does_not_fit_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\nx = 1\n")
    for old, times in (("x = 1", 2), ("y", 0)):
        with pytest.raises(ValueError, match=f"stands {times} times"):
            Mutant("m", "", ("model",), (Edit("a.py", old, "z"),)).apply(tmp_path)


def test_there_are_enough_of_them_and_no_two_have_one_name() -> None:
    names = [mutant.name for mutant in mutants()]
    assert len(set(names)) == len(names) >= 60


def test_the_table_has_all_of_them_each_found_by_a_mode() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = list(itertools.takewhile(bool, lines[lines.index(HEADING) + 2 :]))
    said = [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows]
    assert [(name, breaks) for name, breaks, _ in said] == [(m.name, m.breaks) for m in mutants()]
    assert all("**" in found for _, _, found in said), "not found by any mode"


def test_a_line_of_the_table_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    first, second, *_ = mutants()
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{HEADING}\n| --- | --- | --- |\n| gone | x | y |\n\nbehind\n")
    for mutant, seconds in ((second, 1.0), (first, 2.0), (second, 3.0)):
        write_row(mutant, [Catch(mutant.name, "kill", True, seconds, 7)], page)
    rows = [f"| {m.name} | {m.breaks} | **kill** in {s} s, 7 cases |" for m, s in ((first, 2), (second, 3))]
    assert page.read_text().splitlines()[4:] == [*rows, "", "behind"]


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_found(name: str) -> None:
    [mutant] = [mutant for mutant in mutants() if mutant.name == name]
    assert any(catch.caught for catch in hunt(mutant, mutant.modes[:1], seed=1, seconds=60))


def test_a_mutant_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", "nothing"]) == 2
    assert "nothing" in capsys.readouterr().err
