"""h5py's own test suite, by plain h5py and by `safeh5.File`, compared test by test."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py

from peers import outcomes, replayed
from safeh5.testing.harness.places import working_directory

HERE = Path(__file__).parent
EXCEPTIONS = HERE / "exceptions.toml"
FORMS = (*replayed.FORMS, "killed")


@dataclass(frozen=True)
class Part:
    """Which of h5py's tests are run.

    Attributes
    ----------
    share : float
        About which part of them; 1.0 for all.
    seed : int
        Which ones, when it is not all: whole classes of tests are drawn.
    match : str
        As pytest's ``-k``.
    """

    share: float = 1.0
    seed: int = 0
    match: str = ""


@dataclass
class Report:
    """What a run found.

    Attributes
    ----------
    plain, journaled : mapping of str to dict
        Test to how it ended.
    unlisted : list of str
        Tests that pass with plain h5py only, and stand in no exception.
    outlived : list of str
        Exceptions that are none any more.
    listed : dict of str to str
        Tests that pass with plain h5py only, as was known, and why.
    files : dict of str to tuple of int
        By form: files compared, files that differ.
    differing : list of dict
        The findings that say so.
    """

    plain: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    journaled: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)
    outlived: list[str] = field(default_factory=list)
    listed: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    differing: list[dict[str, Any]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing was found that is not known."""
        return not (self.unlisted or self.outlived or self.differing) and bool(self.journaled)


# --- exceptions -------------------------------------------------------------------------


@dataclass(frozen=True)
class Exceptions:
    """What `safeh5.File` is known not to do as h5py does.

    Attributes
    ----------
    reasons : mapping of str to str
        Name of a test to why it fails.
    files : mapping of str to str
        The same for tests whose files may differ after a kill.
    """

    reasons: Mapping[str, str]
    files: Mapping[str, str]

    @classmethod
    def load(cls, path: Path = EXCEPTIONS) -> Exceptions:
        """The exceptions that hold for the installed h5py."""
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        return cls(_reasons(found.get("test", ())), _reasons(found.get("file", ())))


def _reasons(entries: Iterable[dict[str, Any]]) -> dict[str, str]:
    version = h5py.version.version_tuple[:2]
    return {
        name: entry["reason"]
        for entry in entries
        for name in entry["names"]
        if _parts(entry.get("since", "0.0")) <= version <= _parts(entry.get("until", "99.0"))
    }


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


# --- running ----------------------------------------------------------------------------


def run(
    part: Part,
    *,
    kills: Part | None = None,
    workers: int = 0,
    exceptions: Exceptions,
    plugins: Iterable[str] = (),
) -> Report:
    """Run the suite with plain h5py and with `safeh5.File`, and compare.

    Parameters
    ----------
    part : Part
        Which tests.
    kills : Part, optional
        Which of these are run again, and killed instead of closing a file.
    workers : int
        Processes to spread the tests over; 0 for none but this one.
    exceptions : Exceptions
        What is known.
    plugins : iterable of str
        More pytest plugins for the runs with `safeh5.File`.
    """
    extra = tuple(plugins)
    with working_directory() as place:
        plain = _pytest(place, "plain", part, workers, ())
        journaled = _pytest(place, "journaled", part, workers, ("peers.stand_in", "peers.replayed", *extra))
        found = outcomes.read_lines(place / "journaled.files")
        if kills is not None:
            _pytest(place, "killed", kills, workers, ("peers.killed", *extra), within=part)
            found += outcomes.read_lines(place / "killed.files")
    report = Report(plain, journaled)
    _compare(report, exceptions)
    _count(report, found, exceptions)
    return report


def _pytest(
    place: Path, name: str, part: Part, workers: int, plugins: Iterable[str], within: Part | None = None
) -> dict[str, dict[str, Any]]:
    """Run pytest on h5py's tests in a process of its own; how each test ended."""
    directory = place / name
    directory.mkdir()
    environ = dict(os.environ, TMPDIR=str(directory), PYTHONPATH=_path())
    environ[outcomes.FILE] = str(place / f"{name}.outcomes")
    environ[replayed.FILE] = str(place / f"{name}.files")
    environ[outcomes.PARTS] = outcomes.write_parts((p.share, p.seed) for p in (part, within) if p)
    command = [sys.executable, "-m", "pytest", "--quiet", "-c", str(HERE / "h5py.ini")]
    command += ["--rootdir", str(directory)]
    for plugin in (*plugins, "peers.outcomes"):
        command += ["-p", plugin]
    if workers:
        command += ["-n", str(workers)]
    match = part.match or (within.match if within else "")
    if match:
        command += ["-k", match]
    command += ["--pyargs", "h5py", "-m", "not network"]
    with open(place / f"{name}.log", "w", encoding="utf-8") as log:
        done = subprocess.run(command, cwd=directory, env=environ, stdout=log, stderr=log, check=False)
    if done.returncode not in (0, 1, 5):
        # Neither all passed, nor some failed, nor none was there: it was cut off.
        print((place / f"{name}.log").read_text(encoding="utf-8")[-10000:])
    ended = {line["test"]: line for line in outcomes.read_lines(place / f"{name}.outcomes")}
    if not ended and within is None:
        raise RuntimeError((place / f"{name}.log").read_text(encoding="utf-8")[-5000:])
    return ended


def _path() -> str:
    return os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH", ""))))


# --- comparing --------------------------------------------------------------------------


def _compare(report: Report, exceptions: Exceptions) -> None:
    for name, ended in sorted(report.plain.items()):
        ours = report.journaled.get(name, {"outcome": "missing", "why": "the run was cut off"})
        if ended["outcome"] == ours["outcome"] or ended["outcome"] != "passed":
            if name in exceptions.reasons:
                report.outlived.append(name)
        elif name in exceptions.reasons:
            report.listed[name] = exceptions.reasons[name]
        else:
            report.unlisted.append(f"{name}: {ours['outcome']}: {ours['why']}")


def _count(report: Report, found: Iterable[dict[str, Any]], exceptions: Exceptions) -> None:
    lines = list(found)
    for form in FORMS:
        alike = [line for line in lines if line["form"] == form]
        report.files[form] = len(alike), sum(bool(line["differences"]) for line in alike)
    report.differing = [x for x in lines if x["differences"] and x["test"] not in exceptions.files]
