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
from safeh5.testing.modes.kill_cases import (
    CASES,
    HOW,
    Case,
    Ground,
    check,
    check_second,
    enumerate_deaths,
    prepare,
)
from safeh5.testing.zygote import Zygote

WORKLOADS = "safeh5.testing.modes.workloads"

SECOND = 0.3
"""Share of the deaths whose recovery is killed too."""


def run(report: Report, settings: Settings) -> None:
    """Go through all workloads, in an order that the seed decides, until the time or the cases are over."""
    chance = random.Random(settings.seed)
    with Zygote(WORKLOADS) as zygote:
        rounds = 0
        while not report.is_over():
            pairs = [(case, how) for case in CASES for how in HOW]
            chance.shuffle(pairs)
            for case, how in pairs:
                _run_case(report, zygote, chance, case, how, f"{settings.seed} {rounds}")
            rounds += 1
            if not settings.endless:
                return


def _run_case(report: Report, zygote: Zygote, chance: random.Random, case: Case, how: str, salt: str) -> None:
    with working_directory() as directory:
        for death in enumerate_deaths(Ground(zygote, directory), case, how, salt):
            if report.is_over():
                return
            second = chance.randint(1, 25) if chance.random() < SECOND else None
            report.cases += 1
            report.count(f"{case} {how}")
            if second:
                report.count("recovery killed")
            what = _try(case, death, second)
            if what is not None:
                fields = {"case": str(case), "how": how, "nth": death.nth, "part": death.part}
                report.fail(what, {**fields, "second": second})


def _try(case: Case, death: Killed, second: int | None) -> str | None:
    try:
        if second is not None:
            check_second(case, death, second)
        check(case, death)
    except Exception as error:
        return "".join(traceback.format_exception(error))
    return None


def replay(kept: dict[str, Any], directory: Path) -> None:
    """Kill at that place again, recover and look."""
    [case] = [case for case in CASES if str(case) == kept["case"]]
    with Zygote(WORKLOADS) as zygote:
        place = prepare(Ground(zygote, directory), case)
        killed, noted = place.live(
            case.workload,
            nth=kept["nth"],
            how=kept["how"],
            part=kept["part"],
            rebuild_bytes=case.rebuild_bytes,
        )
        death = Killed(kept["nth"], kept["how"], kept["part"], place, noted, killed)
        if kept["second"] is not None:
            check_second(case, death, kept["second"])
        check(case, death)
