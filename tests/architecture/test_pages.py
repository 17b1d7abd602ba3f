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
