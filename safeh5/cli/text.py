"""Words, numbers and lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from rich.console import Console
from rich.text import Text


@cache
def console(*, error: bool = False) -> Console:
    """A console that colours a terminal and leaves a pipe plain; paths stay in one piece."""
    return Console(stderr=error, highlight=False, markup=False, emoji=False, soft_wrap=True)


def say(text: str | Text = "", style: str | None = None) -> None:
    """Print a line on standard output."""
    console().print(text, style=style)


def size(count: int) -> str:
    """A number of bytes: ``12 bytes``, ``3.4 MiB``."""
    if count < 1024:
        return number(count, "byte")
    power = min((count.bit_length() - 1) // 10, 4)
    return f"{count / 1024**power:.1f} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"


def number(count: int, word: str, plural: str | None = None) -> str:
    """``1 record``, ``1,204 records``."""
    return f"{count:,} {word if count == 1 else plural or word + 's'}"


def amount(count: int, unit: str) -> str:
    """A count in the unit of a progress event."""
    return size(count) if unit == "bytes" else f"{count:,} {unit}"


def torn_end(count: int, segment: int, offset: int) -> str:
    """The torn end of a journal in words."""
    return f"{size(count)} in segment {segment} from offset {offset}, never acknowledged"


def facts(rows: Iterable[tuple[str, str | None]], indent: str = "    ") -> None:
    """Print lines of a name and a value, the values below each other; None is left out."""
    kept = [(name, value) for name, value in rows if value is not None]
    width = max((len(name) for name, _ in kept), default=0)
    for name, value in kept:
        say(Text.assemble(indent, (name.ljust(width), "dim"), "  ", value))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset()) -> None:
    """Print columns, those in `right` aligned to the right, never cut off."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for index, line in enumerate(lines):
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        say(Text("  ".join(cells).rstrip(), style="" if index else "bold"))
