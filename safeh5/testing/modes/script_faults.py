"""A user's script on a disk that fails: each thing that it does to the disk, in each way.

The script is run as it stands, in a process of its own. What its session made
of the fault is judged as after a crash: the target is the old file or the new
one, and a recovery brings all that was promised.
"""

from __future__ import annotations

import json
import random
import subprocess
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from safeh5.storage.children import environment
from safeh5.testing.harness.places import working_directory
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings
from safeh5.testing.harness.shrinking import SECONDS, Patience, first, headline
from safeh5.testing.modes import fault_kinds, strace
from safeh5.testing.modes.recorded import first_run
from safeh5.testing.modes.syscalls import Sweep
from safeh5.testing.states.check import REPLAY, check
from safeh5.testing.states.explore import recovering
from safeh5.testing.states.workload import Workload

KINDS = tuple(kind for kind in fault_kinds.KINDS if kind != "short")
"""A short write is a matter of the storage layer, which the built-in workloads go through."""


class ScriptTry(NamedTuple):
    """One thing that fails."""

    nth: int
    kind: str
    for_ever: bool


class FaultSweep(Sweep):
    """A script whose disk fails."""

    def live(self, one: ScriptTry) -> dict[str, Any]:
        """Run it; returns what it told at its end.

        Raises
        ------
        AssertionError
            It ended with an error that is none of ours.
        """
        self._begin(0)
        outcome = self.directory / "outcome"
        outcome.unlink(missing_ok=True)
        command = self._command(0)
        place = command.index("safeh5.testing.states.life")
        given = [str(one.nth), one.kind, str(one.for_ever), str(outcome)]
        done = subprocess.run(
            [*command[:place], "safeh5.testing.modes.faulty_life", *given, *command[place + 1 :]],
            cwd=self.root,
            env={**environment(), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=strace.SECONDS,
        )
        words = f"{one}: {done.stdout}{done.stderr}"
        assert done.returncode >= 0, f"it was killed by the signal {-done.returncode}; {words}"
        told: dict[str, Any] = json.loads(outcome.read_text()) if outcome.exists() else {}
        assert told.get("ours", True), f"not one of our errors; {words}"
        return told

    def fail(self, one: ScriptTry) -> str:
        """Let it fail, recover, look; returns how the script ended, in a word.

        Raises
        ------
        AssertionError
            Something is not as it was promised.
        """
        told = self.live(one)
        expected = self._expected()
        if expected:  # else it came to no session: nothing was promised, and nothing waits
            with recovering(from_checkpoint=self.workload.from_checkpoint):
                check(self.root, expected, self._contents, REPLAY)
        return str(told.get("error", "none")).partition("(")[0]


def run_script(report: Report, settings: Settings) -> None:
    """Everything that a script does to the disk fails, in an order that the seed decides."""
    workload = first_run(report, settings)
    with working_directory() as directory:
        sweep = FaultSweep(workload, directory)
        count = int(sweep.live(ScriptTry(0, "EIO", False)).get("count", 0))
        report.count("effects that can fail", count)
        tries = [ScriptTry(n, k, ever) for n in range(1, count + 1) for k in KINDS for ever in (False, True)]
        random.Random(settings.seed).shuffle(tries)
        for one in tries:
            if report.is_over():
                return
            _try(report, sweep, one)


def _try(report: Report, sweep: FaultSweep, one: ScriptTry) -> None:
    report.cases += 1
    report.count(f"{one.kind}, {'for ever' if one.for_ever else 'once'}")
    try:
        report.count(f"outcome: {sweep.fail(one)}")
    except Exception as error:
        what = "".join(traceback.format_exception(error))
        if report.is_to_be_small(what):
            one, what = _smallest(sweep, one, what)
        report.fail(what, {"command": list(sweep.workload.command), **one._asdict()})


def _smallest(sweep: FaultSweep, one: ScriptTry, what: str) -> tuple[ScriptTry, str]:
    """Once and not for ever, at the first thing that fails in the same way."""

    def fails(other: ScriptTry) -> str | None:
        try:
            sweep.fail(other)
        except Exception as error:
            return "".join(traceback.format_exception(error))
        return None

    way, patience = headline(what), Patience(2 * SECONDS)
    once = [one._replace(for_ever=False)] if one.for_ever else []
    one, what = first(once, fails, way, patience) or (one, what)
    return first((one._replace(nth=nth) for nth in range(1, one.nth)), fails, way, patience) or (one, what)


def replay_script(case: dict[str, Any], directory: Path) -> None:
    """Fail that again."""
    command = tuple(case["command"])
    sweep = FaultSweep(Workload(Path(command[1]).name, command), directory / "sweep")
    sweep.fail(ScriptTry(case["nth"], case["kind"], case["for_ever"]))
