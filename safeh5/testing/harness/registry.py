"""Which modes there are.

Each is a module of `safeh5.testing.modes` with

``run(report, settings)``
    Try cases until ``report.is_over()``; count them in the report, and give it
    each failure (`Report.fail`). `UnavailableError` if the machine lacks
    something, `UsageError` for settings that make no sense.

``replay(case, directory)``
    Do one kept case again, in an empty directory but for the files that were
    kept with it; raises what it raised, if it still does.

and, where its own workloads can be chosen from by their names, ``TAKES_NAMES = True``.
A user's file may take their place, except in those of `WITHOUT_SCRIPTS`. A mode is
imported when it is asked for: some need extras that others do without.
"""

from __future__ import annotations

import importlib
import time
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from safeh5.testing.harness import corpus
from safeh5.testing.harness.places import working_directory
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings, UnavailableError, UsageError

MODES: dict[str, str] = {
    "model": "Random programs against plain h5py: a Hypothesis state machine",
    "kill": "SIGKILL before and after everything that touches the disk, recoveries included",
    "faults": "Every storage call fails in turn, in every way, once and for ever",
    "states": "Every disk state that a power cut or a kill may leave, recovered and looked at",
    "damage": "Bits flip, blocks are lost, files are gone: the truth, or an error that names the place",
    "decoder": "Bytes that nobody wrote, guided by coverage (needs atheris: the extra fuzz)",
    "locks": "Many processes open, crash, recover and commit one target: never two holders",
    "acquisition": "One acquisition, its acquirer and its applier killed at random, to the file of an oracle",
    "soak": "Everything at random; where root, on real file systems, full ones, and with the power cut",
}
"""Name and summary of each mode, in the order of the help."""

WITHOUT_SCRIPTS: dict[str, str] = {
    "model": "it draws its programs; to add steps of yours, subclass safeh5.testing.machine.SessionMachine",
    "decoder": "it decodes bytes that nobody wrote, a script has no part in it; use damage",
    "acquisition": "its oracle knows each item of its own acquisition by number; use kill or locks",
}
"""Why a mode takes no script of the user's, and what does."""


def load(name: str) -> ModuleType:
    """The module of a mode.

    Raises
    ------
    UnavailableError
        Something that it needs is not installed.
    """
    try:
        return importlib.import_module(f"safeh5.testing.modes.{name}")
    except ImportError as missing:
        if missing.name and missing.name.startswith("safeh5."):
            raise
        raise UnavailableError(
            f"the mode {name} needs {missing.name or missing}, which is not installed;"
            " run: pip install 'safeh5[testing]'"
        ) from missing


def run(name: str, settings: Settings) -> Report:
    """Run one mode to its end; Ctrl-C ends it early, with what was done so far.

    What goes wrong although nothing was done to it, a workload that fails by itself, is a
    failure too, and the end of the run.
    """
    if settings.workload is not None and name in WITHOUT_SCRIPTS:
        raise UsageError(f"--workload is not for the mode {name}: {WITHOUT_SCRIPTS[name]}")
    if settings.workload is not None and settings.only and name != "soak":
        raise UsageError("--only chooses among the built-in workloads, and --workload is in their place")
    mode = load(name)
    if settings.only and not getattr(mode, "TAKES_NAMES", False):
        raise UsageError(f"the workloads of the mode {name} cannot be chosen from; --only is not for it")
    report, started = Report(name, settings), time.monotonic()
    settings.start()
    try:
        mode.run(report, settings)
    except KeyboardInterrupt:
        report.interrupted = True
    except (UsageError, UnavailableError):
        raise
    except Exception as error:
        report.cases += 1
        script = None if settings.workload is None else str(settings.workload.resolve())
        again = {"seed": settings.seed, "cases": report.cases, "only": settings.only, "workload": script}
        report.fail("".join(traceback.format_exception(error)), {"again": again})
    report.seconds = time.monotonic() - started
    return report


def replay(path: Path) -> str:
    """Do a kept case again; returns its mode. Raises what it raised, if it still does."""
    with working_directory() as place:
        try:
            case = corpus.load(path, place)
            name = case["mode"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is not a kept case: {error}") from error
        if name not in MODES:
            raise UsageError(f"{path} is of a mode {name!r} that there is not")
        if "again" in case:
            _run_again(name, case["again"], place)
        else:
            load(name).replay(case, place)
    return str(name)


def _run_again(name: str, again: dict[str, Any], place: Path) -> None:
    settings = Settings(again["seed"], cases=again["cases"], corpus=place, only=tuple(again["only"]))
    settings.workload = Path(again["workload"]) if again.get("workload") else None
    report = run(name, settings)
    assert not report.failures, report.failures[0].what
