"""What a run of the harness found."""

from __future__ import annotations

import json
import os
import shlex
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safeh5
from safeh5.testing.harness.corpus import keep
from safeh5.testing.harness.settings import Settings
from safeh5.testing.harness.shrinking import headline

ALIKE = 3
"""Failures that read alike of which the files are kept and shown; more of them are counted."""

MORE = "failures like those below, not kept"

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
    _ways: Counter[str] = field(default_factory=Counter)

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
        if self._ways.total() >= (1 if self.settings.first else ENOUGH):
            return True
        return self.settings.is_over(self.cases)

    def is_to_be_small(self, what: str) -> bool:
        """Whether to make this failure small before it is kept: the first one of those that read alike."""
        return self.settings.shrink and not self._ways[headline(what)]

    def fail(self, what: str, case: dict[str, Any], directory: Path | None = None) -> None:
        """Keep a case that failed, with the files of `directory` if it is about any."""
        self.failed(what, keep(self.settings.corpus, {"mode": self.mode, **case, "text": what}, directory))

    def failed(self, what: str, kept: Path) -> None:
        """Note a failure that is kept already."""
        way = headline(what)
        self._ways[way] += 1
        if any(failure.kept == kept for failure in self.failures):
            self.count(MORE)
        elif self._ways[way] > ALIKE:
            self.count(MORE)
            kept.unlink(missing_ok=True)
        else:
            where = shlex.quote(os.path.relpath(kept))
            self.failures.append(Failure(what, kept, f"{self.settings.program} replay {where}"))

    def take(self, failures: list[Failure]) -> None:
        """Those that a part of this run has kept."""
        for failure in failures:
            self.failed(failure.what, failure.kept)

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
