"""A failure is kept as a small one, and its command shows it again: with the bug, and not without it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fuzz.mutants import ROOT, copy_package, mutants
from safeh5.testing.harness.report import ALIKE, MORE, Report
from safeh5.testing.harness.settings import Settings
from safeh5.testing.harness.shrinking import Patience, fewest, headline
from safeh5.testing.modes.decoder import smallest


def run(command: list[str], tree: Path, place: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)


def found_with(
    name: str, mode: str, root: Path, *options: str
) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The package with a bug in it, the first failure that a mode finds there, and the case that was kept."""
    [mutant] = [mutant for mutant in mutants() if mutant.name == name]
    broken = copy_package(root / "broken")
    mutant.apply(broken)
    only = ["--only", *mutant.only[mode]] if mode in mutant.only else []
    command = [sys.executable, "-m", "safeh5.testing", mode, "--first", "--json", "--seed", "1"]
    done = run([*command, "--seconds", "90", *only, *options], broken, root)
    [failure] = json.loads(done.stdout)["failures"]
    kept = root / failure["kept"]
    if kept.suffix == ".zip":
        return broken, failure, json.loads(zipfile.ZipFile(kept).read("case.json"))
    return broken, failure, json.loads(kept.read_text())


SMALL = {
    # More than one write, and a later one, are what fails first.
    ("journal-fsync-left-out", "states"): lambda case: len(case["fates"]) == 1,
    ("failed-fsync-retried", "faults"): lambda case: case["nth"] < 12 and not case["for_ever"],
    ("damage-read-as-torn-tail", "damage"): lambda case: (
        case["damage"]["kind"] == "flip" and case["template"]["last_segment"] == 1
    ),
    ("sidecar-made-under-its-own-name", "kill"): lambda case: case["nth"] < 5,
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "mode"), SMALL, ids=map("-".join, SMALL))
def test_what_is_kept_is_small_and_its_command_shows_it_until_it_is_mended(
    name: str, mode: str, tmp_path: Path
) -> None:
    broken, failure, case = found_with(name, mode, tmp_path)
    assert SMALL[name, mode](case), {key: case[key] for key in case if key not in ("text", "whole")}
    python, *command = shlex.split(failure["command"])
    assert python == "python"
    assert run([sys.executable, *command], broken, tmp_path).returncode == 1
    assert run([sys.executable, *command], ROOT, tmp_path).returncode == 0


def test_failures_that_differ_in_numbers_and_places_only_read_alike() -> None:
    begin = "Traceback (most recent call last):\n  File"
    one = f"{begin} '/a/b.py', line 3\nAssertionError: lost: {{'b1'}} at /x/y\n"
    two = f"{begin} '/c.py', line 9\nAssertionError: lost: {{'b2', 1}} at /z\n  q"
    assert headline(one) == headline(two) == "AssertionError: lost:  at @"
    assert headline("a crash is taken for corrupt") != headline("a second recovery finds interrupted")


def test_failures_that_read_alike_are_kept_three_times_and_counted(tmp_path: Path) -> None:
    report = Report("kill", Settings(1, corpus=tmp_path))
    for number in range(10):
        report.fail(f"lost: {number}", {"nth": number})
    assert len(report.failures) == len(list(tmp_path.iterdir())) == ALIKE
    assert report.figures[MORE] == 10 - ALIKE
    report.fail("made up", {"nth": 1})
    assert len(report.failures) == ALIKE + 1


def test_as_few_as_fail_are_left_and_none_of_them_can_go() -> None:
    tried = []

    def fails(items: list[int]) -> bool:
        tried.append(items)
        return {3, 17} <= set(items)

    assert fewest(range(40), fails, Patience(10)) == [3, 17]
    assert len(tried) < 60
    assert fewest([1, 2], lambda items: True, Patience(10)) == []
    assert fewest([1, 2], lambda items: True, Patience(0)) == [1, 2]


def test_of_bytes_that_cannot_be_decoded_as_few_are_kept_as_fail() -> None:
    def decode(data: bytes) -> None:
        assert b"x" not in data or b"y" not in data, "a value that nobody wrote"

    assert smallest(decode, bytes(100) + b"x" + bytes(50) + b"y" + bytes(300)) == b"xy"
    assert smallest(decode, b"abc") == b"abc"
