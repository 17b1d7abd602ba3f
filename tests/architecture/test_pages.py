"""What the reference pages list is what the code has."""

from __future__ import annotations

import re

from safeh5.recovery.report import Condition
from tests.architecture.sources import ROOT


def first_column(page: str, heading: str) -> list[str]:
    """The first column of the table whose header row begins with `heading`."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.search(rf"^\| {heading} \|.*\n\|[ -|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found, f"{page} has no table of {heading!r}"
    return [row.split("|")[1].strip() for row in found[1].splitlines()]


def test_every_condition_that_status_can_name_is_explained() -> None:
    listed = first_column("reference/states-and-guarantees.md", "condition")
    assert listed == [condition.value for condition in Condition]


def test_every_decision_has_a_number_of_its_own_that_stands_in_its_heading() -> None:
    numbers = []
    for page in sorted((ROOT / "docs" / "decisions").glob("0*.md")):
        numbers.append(page.name[:4])
        assert page.read_text(encoding="utf-8").startswith(f"# {numbers[-1]}: "), page.name
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
