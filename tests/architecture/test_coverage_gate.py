"""The gate of `python3 dev.py coverage` lets nothing through that is neither tested nor excused."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).resolve().parents[1]


CODE = "if fails:\n    give_up()\ngo_on()\n"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_gate", HERE / "coverage_gate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def gate(
    directory: Path, lines: list[int], branches: list[list[int]], excused: str = "", code: str = CODE
) -> int:
    """The gate over a small project that has one branch."""
    (directory / "code.py").write_text(code)
    text = f'[[exception]]\nfile = "code.py"\ncode = "{excused}"\nreason = "cannot be"\n' if excused else ""
    (directory / "exceptions.toml").write_text(text)
    found = report(directory, lines, branches)
    return int(load().main(found, directory, directory / "exceptions.toml"))


def report(directory: Path, lines: list[int], branches: list[list[int]]) -> Path:
    totals = {"covered_branches": 1, "num_branches": 2, "covered_lines": 2, "num_statements": 3}
    files = {"code.py": {"missing_lines": lines, "missing_branches": branches}}
    path = directory / "report.json"
    path.write_text(json.dumps({"files": files, "totals": totals}))
    return path


def test_all_that_is_tested_passes(tmp_path: Path) -> None:
    assert gate(tmp_path, [], []) == 0


@pytest.mark.parametrize(("lines", "branches"), [([2], [[1, 2]]), ([], [[1, 3]])])
def test_a_line_or_a_branch_that_no_test_takes_fails(
    lines: list[int], branches: list[list[int]], tmp_path: Path
) -> None:
    assert gate(tmp_path, lines, branches) == 1


def test_what_is_excused_passes(tmp_path: Path) -> None:
    assert gate(tmp_path, [2], [[1, 2]], "give_up()") == 0


def test_an_excuse_is_for_one_line_and_not_for_every_line_of_that_text(tmp_path: Path) -> None:
    assert gate(tmp_path, [2, 3], [], "give_up()") == 1
    assert gate(tmp_path, [2, 3], [], "give_up()", code="if fails:\n    give_up()\ngive_up()\n") == 1


def test_an_excuse_for_a_line_that_is_gone_fails(tmp_path: Path) -> None:
    assert gate(tmp_path, [], [], "gave_up()") == 1


def test_every_excuse_stands_for_a_line_and_has_a_reason() -> None:
    module = load()
    given = module.excuses(module.EXCEPTIONS)
    assert not module.stale(given, module.ROOT)
    assert all(len(one.reason) > 10 for one in given)
    assert len({(one.file, one.code) for one in given}) == len(given)
