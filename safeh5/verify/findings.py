"""What a verification has found so far, and where it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from safeh5.events import ProgressEvent
from safeh5.options import VerifyLevel
from safeh5.verify.elements import HDF5_ERRORS
from safeh5.verify.report import MOST_FINDINGS, MissingFilter, Problem, ProblemKind, VerifyReport


@dataclass(slots=True)
class Counts:
    """What was visited: see `VerifyReport`."""

    objects: int = 0
    datasets: int = 0
    attributes: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Findings:
    """Problems, warnings and counts; `tell` hears of each step before it is made.

    A step is told *before* libhdf5 is called, so that whoever watches from
    outside knows which object it crashed at.
    """

    tell: Callable[[ProgressEvent, str], None]
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    omitted: int = 0
    counts: Counts = field(default_factory=Counts)
    missing: dict[int, tuple[str, list[str]]] = field(default_factory=dict)

    def problem(self, path: str, what: ProblemKind, detail: str) -> None:
        """Note something that is wrong."""
        self._note(self.problems, Problem(path, what, detail))

    def warn(self, path: str, what: ProblemKind, detail: str) -> None:
        """Note something that is legal but may surprise."""
        self._note(self.warnings, Problem(path, what, detail))

    def _note(self, findings: list[Problem], finding: Problem) -> None:
        if len(findings) < MOST_FINDINGS:
            findings.append(finding)
        else:
            self.omitted += 1

    def missing_filter(self, number: int, name: str, path: str) -> None:
        """Note that the dataset at `path` needs a filter that is not here."""
        datasets = self.missing.setdefault(number, (name, []))[1]
        if len(datasets) < MOST_FINDINGS:
            datasets.append(path)

    def missing_filters(self) -> tuple[MissingFilter, ...]:
        """The missing filters by number, each with its datasets."""
        return tuple(
            MissingFilter(n, name, tuple(paths)) for n, (name, paths) in sorted(self.missing.items())
        )

    @contextmanager
    def guard(self, path: str, what: ProblemKind, doing: str) -> Iterator[None]:
        """Turn an error of libhdf5 into a problem; the walk goes on behind the block."""
        try:
            yield
        except HDF5_ERRORS as error:
            self.problem(path, what, f"{doing}: {reason(error)}")


def reason(error: BaseException) -> str:
    """An error of h5py in words, without the part that is the same in all of them."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = re.sub(r"^(Unable to|Can't) synchronously ", r"\1 ", text)
    return text or type(error).__name__


def shown(path: bytes) -> str:
    """An HDF5 path for people and JSON; bytes that are no UTF-8 are escaped."""
    return path.decode("utf-8", "backslashreplace")


def make_report(path: str, level: VerifyLevel, found: Findings) -> VerifyReport:
    """What is in `found`, frozen."""
    return VerifyReport(
        path=path,
        level=level,
        ok=not found.problems,
        objects=found.counts.objects,
        datasets=found.counts.datasets,
        attributes=found.counts.attributes,
        bytes=found.counts.bytes,
        problems=tuple(found.problems),
        warnings=tuple(found.warnings),
        omitted=found.omitted,
        missing_filters=found.missing_filters(),
    )
