"""Reading the pages: their code blocks, and the comments that say what to do with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.sources import ROOT

DOCS = ROOT / "docs"
EXAMPLES = [ROOT / "README.md", *sorted(DOCS.glob("tutorial/*.md")), *sorted(DOCS.glob("how-to/*.md"))]

_FENCE = re.compile(r"(?:^<!-- (?P<mark>.+?) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes
    ----------
    language, text : str
        What it is, and what is in it.
    mark : str
        The comment right above it; ``""`` for none. ``output`` means: this is
        what the block before prints, ``...`` standing for anything. ``not run: WHY``
        means what it says.
    line : int
        Where it begins in its page, counted from 1.
    """

    language: str
    text: str
    mark: str
    line: int


def blocks(page: Path) -> list[Block]:
    """The code blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found["language"], found["text"], found["mark"] or "", text[: found.start("text")].count("\n") + 1
        )
        for found in _FENCE.finditer(text)
    ]


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table of a page below a heading, without its header row."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#|\Z)", text, re.M | re.S)
    assert found, f"{page} has no section {heading!r}"
    first = re.search(r"(?:^\|.*\n)+", found[1], re.M)
    assert first, f"{page} has no table below {heading!r}"
    lines = first[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def in_code(cell: str) -> list[str]:
    """What stands in backquotes in a cell of a table."""
    return re.findall(r"`([^`]+)`", cell)
