"""What a run of the harness is told."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

USUAL_SECONDS = 60.0
"""How long a mode runs that is told neither a time nor a number of cases."""


class UsageError(Exception):
    """The command cannot be carried out as it was given; the message is one sentence for people."""


class UnavailableError(Exception):
    """What the mode needs is not on this machine; the message is one sentence that says what."""


@dataclass
class Settings:
    """How long, which seed, whose workload, where failures are kept.

    Attributes
    ----------
    seed : int
        What is tried depends on it alone.
    seconds, cases : float, int, optional
        When to stop. With neither, a mode that can come to an end runs to it.
    workload : Path, optional
        A file of the user's, in the place of the built-in workloads.
    corpus : Path
        Where failures are kept.
    exhaustive : bool
        Everything there is of what can be counted up, once, instead of some of it at random.
    first : bool
        Stop at the first failure.
    shrink : bool
        Make what failed small before it is kept.
    program : str
        What stands before ``replay`` in the command that shows a failure again.
    jobs : int, optional
        How many processes at a time, for modes that can use more than one; else one for each core.
    only, file_systems : tuple of str
        Built-in workloads, or parts of the soak, and file systems that it is done on; all when empty.
    """

    seed: int
    seconds: float | None = None
    cases: int | None = None
    workload: Path | None = None
    corpus: Path = Path("safeh5-corpus")
    exhaustive: bool = False
    first: bool = False
    shrink: bool = True
    program: str = "python -m safeh5.testing"
    jobs: int | None = None
    only: tuple[str, ...] = ()
    file_systems: tuple[str, ...] = ()
    _until: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.start()

    def chosen(self, names: Iterable[str]) -> list[str]:
        """Those of these workloads that are to be gone through.

        Raises
        ------
        UsageError
            One was asked for that there is not.
        """
        known = list(names)
        for name in self.only:
            if name not in known:
                raise UsageError(f"--only: there is no workload {name!r}; these are: {'; '.join(known)}")
        return [name for name in known if not self.only or name in self.only]

    def start(self) -> None:
        """The time counts from here."""
        self._until = None if self.seconds is None else time.monotonic() + self.seconds

    def is_over(self, cases: int) -> bool:
        """Whether to stop after so many cases."""
        late = self._until is not None and time.monotonic() >= self._until
        return late or (self.cases is not None and cases >= self.cases)

    @property
    def processes(self) -> int:
        """How many processes at a time."""
        if self.jobs is not None:
            return self.jobs
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    @property
    def endless(self) -> bool:
        """Whether something else than the end of the cases stops the run."""
        return self.seconds is not None or self.cases is not None

    @property
    def left(self) -> float | None:
        """Seconds that are left; None without a limit."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())
