"""Real SIGKILL at every change of the disk that a workload makes, and at those of its recovery."""

from __future__ import annotations

import random
import traceback
from pathlib import Path
from typing import Any

from safeh5.testing.crash import Killed
from safeh5.testing.harness.places import working_directory
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings
from safeh5.testing.modes import strace
from safeh5.testing.modes.kill_cases import CASES, HOW, Case, Ground, check, check_second, enumerate_deaths
from safeh5.testing.modes.kill_small import Killer, OneKill, again, smallest
from safeh5.testing.modes.recorded import first_run
from safeh5.testing.modes.syscalls import (
    Kill,
    Sweep,
    attempt,
    facts,
    smallest_kill,
    sweepable,
    workload_of,
)
from safeh5.testing.states.workload import Workload
from safeh5.testing.zygote import Zygote

WORKLOADS = "safeh5.testing.modes.workloads"

TAKES_NAMES = True

EVERY = 6
"""After so many workloads killed at effects of the storage layer, one is killed at its system calls."""

SOME = 0.1
"""Share of those system calls that are chosen; a process under strace takes a second."""

SECOND = 0.4
"""Share of the deaths whose recovery is to be killed too, and of these recoveries in turn."""

DEPTHS = ("recoveries killed", "recoveries of killed recoveries killed")
"""What is counted of them: those that were killed, and did not end before."""


def run(report: Report, settings: Settings) -> None:
    """Go through all workloads, in an order that the seed decides, until the time or the cases are over."""
    chance = random.Random(settings.seed)
    if settings.workload is not None:
        _sweep(report, chance, first_run(report, settings), share=1.0)
        return
    names = settings.chosen(map(str, CASES))
    with Zygote(WORKLOADS) as zygote:
        rounds = 0
        while not report.is_over():
            pairs = [(case, how) for case in CASES for how in HOW if str(case) in names]
            chance.shuffle(pairs)
            for number, (case, how) in enumerate(pairs):
                _run_case(report, zygote, chance, case, how, f"{settings.seed} {rounds}")
                if number % EVERY == EVERY - 1 and not settings.only:
                    _sweep(report, chance, chance.choice(sweepable()), share=SOME)
            rounds += 1
            if not settings.endless:
                return


def _sweep(report: Report, chance: random.Random, workload: Workload, share: float) -> None:
    """Kill a share of a workload's system calls; those of a user's script all, until the time is over."""
    if not strace.is_usable():
        report.note("strace is not here or may not trace: processes kill themselves before what they do")
    with working_directory() as directory:
        sweep = Sweep(workload, directory)
        for kill in sweep.kills(chance):
            if report.is_over():
                return
            if chance.random() >= share:
                continue
            what = attempt(sweep, kill)
            report.cases += 1
            report.count("killed before a system call", int(sweep.killed))
            _count_depth(report, sweep.depth)
            if what is None:
                continue
            if report.is_to_be_small(what):
                kill, what = smallest_kill(sweep, kill, what)
            report.fail(what, facts(sweep, kill))


def _run_case(report: Report, zygote: Zygote, chance: random.Random, case: Case, how: str, salt: str) -> None:
    with working_directory() as directory:
        for death in enumerate_deaths(Ground(zygote, directory / "all"), case, how, salt):
            if report.is_over():
                return
            second = _recoveries(chance)
            report.cases += 1
            report.count(f"{case} {how}")
            what = _try(report, case, death, second)
            if what is None:
                continue
            one = OneKill(case, how, death.nth, death.part, tuple(second))
            if report.is_to_be_small(what):
                one, what = smallest(Killer(zygote, directory / "small"), one, what)
            report.fail(what, one.facts())


def _recoveries(chance: random.Random) -> list[int]:
    """At which effects the recovery, and the one after it, are to be killed; none, mostly."""
    chosen: list[int] = []
    while len(chosen) < len(DEPTHS) and chance.random() < SECOND:
        chosen.append(chance.choice([chance.randint(1, 6), chance.randint(1, 25)]))
    return chosen


def _count_depth(report: Report, depth: int) -> None:
    for words in DEPTHS[:depth]:
        report.count(words)


def _try(report: Report, case: Case, death: Killed, second: list[int]) -> str | None:
    try:
        if second:
            _count_depth(report, check_second(case, death, *second))
        check(case, death)
    except Exception as error:
        return "".join(traceback.format_exception(error))
    return None


def replay(kept: dict[str, Any], directory: Path) -> None:
    """Kill at that place again, recover and look."""
    if "command" in kept:
        sweep = Sweep(workload_of(kept["command"]), directory / "sweep")
        sweep.do(Kill(kept["life"], kept["nth"], tuple(kept["recoveries"])))
        return
    again(kept, directory, WORKLOADS)
