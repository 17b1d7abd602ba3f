"""What a run of the harness found."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safeh5
from safeh5.testing.harness.corpus import keep
from safeh5.testing.harness.settings import Settings

ENOUGH = 100
"""Failures after which a run ends: more of them say nothing new, and each is kept as a file."""


@dataclass
class Failure:
    """Something that must not be.

    Attributes
    ----------
    what : str
        What happened, with the traceback.
    kept : Path
        The file that reproduces it.
    command : str
        What to type to see it again.
    """

    what: str
    kept: Path
    command: str


@dataclass
class Report:
    """What a run has done and found.

    Attributes
    ----------
    mode : str
        Which mode.
    settings : Settings
        What it was told.
    cases : int
        How many cases were tried.
    seconds : float
        How long that took.
    failures : list of Failure
        What went wrong.
    figures : dict
        Counts by kind of case and outcome.
    notes : list of str
        What the reader should know of: what was left out here, and why.
    interrupted : bool
        Whether it was stopped by Ctrl-C.
    """

    mode: str
    settings: Settings
    cases: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False

    def count(self, what: str, more: int = 1) -> None:
        """One more of these."""
        self.figures[what] = self.figures.get(what, 0) + more

    def at_most(self, what: str, value: int) -> None:
        """Keep the largest value of a figure."""
        self.figures[what] = max(self.figures.get(what, 0), value)

    def note(self, text: str) -> None:
        """Say something once."""
        if text not in self.notes:
            self.notes.append(text)

    def is_over(self) -> bool:
        """Whether to stop: the time or the number of cases is over, or enough was found."""
        if len(self.failures) >= (1 if self.settings.first else ENOUGH):
            return True
        return self.settings.is_over(self.cases)

    def fail(self, what: str, case: dict[str, Any], directory: Path | None = None) -> Failure:
        """Keep a case that failed, with the files of `directory` if it is about any."""
        kept = keep(self.settings.corpus, {"mode": self.mode, **case, "text": what}, directory)
        return self.failed(what, kept)

    def failed(self, what: str, kept: Path) -> Failure:
        """Note a failure that is kept already."""
        failure = Failure(what, kept, f"{self.settings.program} replay {os.path.relpath(kept)}")
        self.failures.append(failure)
        return failure

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "safeh5": safeh5.__version__,
            "mode": self.mode,
            "seed": self.settings.seed,
            "cases": self.cases,
            "seconds": round(self.seconds, 1),
            "interrupted": self.interrupted,
            "figures": dict(sorted(self.figures.items())),
            "notes": self.notes,
            "failures": [
                {"what": f.what, "kept": os.fspath(f.kept), "command": f.command} for f in self.failures
            ],
        }

    def to_json(self) -> str:
        """One JSON object on one line."""
        return json.dumps(self.to_dict())

    def to_text(self) -> str:
        """For people."""
        stopped = ", stopped by Ctrl-C" if self.interrupted else ""
        speed = f" ({self.cases / self.seconds:.0f} a second)" if self.seconds > 1 else ""
        lines = [
            f"{self.mode}, seed {self.settings.seed}:"
            f" {self.cases} cases in {self.seconds:.1f} s{speed}{stopped}"
        ]
        lines += [f"  {count:10,}  {what}" for what, count in sorted(self.figures.items())]
        lines += [f"note: {note}" for note in self.notes]
        for failure in self.failures:
            lines += ["", failure.what.rstrip(), f"again: {failure.command}"]
        count = len(self.failures)
        lines.append(f"{count or 'no'} failure{'' if count == 1 else 's'}")
        return "\n".join(lines)
