"""A user's script, run once under the recorder, and what is to be said of it before it is crashed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from safeh5.testing.harness.places import working_directory
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings, UsageError
from safeh5.testing.states.history import ProofError, targets_of
from safeh5.testing.states.proof import prove
from safeh5.testing.states.workload import Recording, Workload, record

_ENDINGS = (0, -9)


def workload_of_user(settings: Settings) -> Workload:
    """The script that the user has named."""
    assert settings.workload is not None
    script = settings.workload.resolve()
    return Workload(script.name, ("script", str(script)))


def first_run(report: Report, settings: Settings) -> Workload:
    """The script that the user has named, after it was run once by itself; what was seen is noted.

    Raises
    ------
    UsageError
        It cannot be crashed.
    """
    workload = workload_of_user(settings)
    with working_directory() as directory:
        for note in recorded(workload, directory / "recording")[1]:
            report.note(note)
    return workload


def recorded(workload: Workload, directory: Path) -> tuple[Recording, tuple[str, ...]]:
    """Record a workload, and say what was seen of a user's.

    Raises
    ------
    UsageError
        It cannot be crashed; the message says why, and what helps.
    """
    recording, name = _run(workload, directory), workload.name
    targets = targets_of(recording.events)
    if not targets:
        raise UsageError(
            f"{name} wrote no file with safeh5 in its working directory. It is run in an empty one,"
            " so that it can be crashed there: give its files relative paths, in that directory"
        )
    try:
        others = prove(recording)
    except ProofError as error:
        raise UsageError(f"{name} cannot be crashed: {error}") from error
    if workload.command[0] != "script":
        return recording, ()
    promised = sum(event.path == "promise" for event in recording.events)
    notes = [f"{name} wrote {', '.join(targets)}: {len(recording.events)} events, {promised} promises"]
    notes += [f"{path} was written past safeh5: what a crash does to it is not looked at" for path in others]
    return recording, tuple(notes)


def _run(workload: Workload, directory: Path) -> Recording:
    try:
        recording = record(workload, directory)
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"{workload.name} did not end within {error.timeout:g} s when it was run to be recorded;"
            " let it acquire less, and ask nobody anything"
        ) from error
    if any(code not in _ENDINGS for code in recording.codes):
        said = recording.said.strip()[-2000:] or "nothing"
        codes = ", ".join(str(code) for code in recording.codes)
        raise UsageError(
            f"{workload.name} failed when it was run to be recorded, in an empty directory and without"
            f" arguments (exit code {codes}); it said:\n{said}"
        )
    return recording
