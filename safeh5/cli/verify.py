"""``safeh5 verify``: whether every byte of an HDF5 file is what it claims to be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from safeh5.cli.exits import of_verification
from safeh5.cli.outcome import outcome
from safeh5.cli.progress import shown_progress
from safeh5.cli.text import facts, number, say, size
from safeh5.options import VerifyLevel
from safeh5.verify import STALL_SECONDS, VerifyReport
from safeh5.verify import verify as read_all

MOST_LINES = 50


def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="HDF5 files.")],
    level: Annotated[
        VerifyLevel, typer.Option(help="Read every element too, or headers and attributes only.")
    ] = VerifyLevel.FULL,
    stall: Annotated[
        float, typer.Option(metavar="SECONDS", help="Give up when one object or block takes longer.")
    ] = STALL_SECONDS,
    json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Walk a file, read every element through every filter, follow every reference.

    The file is never changed. It is read in a process of its own: a crash of
    libhdf5 on a damaged file is reported like any other finding.
    """
    with outcome(json) as result:
        for file in files:
            with result.attempt():
                with shown_progress() as progress:
                    report = read_all(file, level, progress, isolated=True, stall_seconds=stall)
                result.add(report.to_dict(), of_verification(report))
                if not json:
                    show(report)


def show(report: VerifyReport) -> None:
    """Print one report."""
    say(
        Text.assemble(
            ("good" if report.ok else "NOT GOOD", "bold green" if report.ok else "bold red"), " ", report.path
        )
    )
    read = (
        f"{number(report.objects, 'object')}, {number(report.datasets, 'dataset')}, "
        f"{number(report.attributes, 'attribute')}, {size(report.bytes)} of elements"
    )
    facts(
        [
            ("read", read),
            *(
                ("filter", f"{m.id} ({m.name}) is missing, {_users(m.datasets)}")
                for m in report.missing_filters
            ),
            *(("problem", f"{p.path}: {p.detail}") for p in report.problems[:MOST_LINES]),
            ("problem", _more(len(report.problems))),
            *(("note", f"{w.path}: {w.detail}") for w in report.warnings[:MOST_LINES]),
            ("note", _more(len(report.warnings))),
            ("omitted", number(report.omitted, "finding") if report.omitted else None),
        ]
    )


def _users(datasets: tuple[str, ...]) -> str:
    others = len(datasets) - 1
    return f"used by {datasets[0]}" + (f" and {number(others, 'other')}" if others else "")


def _more(count: int) -> str | None:
    return f"... and {count - MOST_LINES:,} more (see --json)" if count > MOST_LINES else None
