"""Real SIGKILL at every change of the disk that a workload makes, and at those of its recovery."""

from __future__ import annotations

import os
import random
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from fuzz.corpus import Failure, Result, keep
from fuzz.kill_cases import CASES, HOW, Case, Ground, check, check_second, enumerate_deaths, prepare
from fuzz.places import quick_directory
from safeh5.testing.crash import Killed
from safeh5.testing.zygote import Zygote

SECOND = 0.3
"""Share of the deaths whose recovery is killed too."""


def run(result: Result, *, seconds: float | None, cases: int | None, corpus: Path) -> None:
    """Go through all workloads, in an order that the seed decides, until the time or the cases are over."""
    until = None if seconds is None else time.monotonic() + seconds
    chance = random.Random(result.seed)
    with Zygote("fuzz.workloads") as zygote:
        rounds = 0
        while not _over(result, until, cases):
            pairs = [(case, how) for case in CASES for how in HOW]
            chance.shuffle(pairs)
            for case, how in pairs:
                _run_case(result, zygote, chance, case, how, until, cases, corpus, f"{result.seed} {rounds}")
            rounds += 1
            if seconds is None and cases is None:
                return


def _over(result: Result, until: float | None, cases: int | None) -> bool:
    return (until is not None and time.monotonic() > until) or (cases is not None and result.cases >= cases)


def _run_case(
    result: Result,
    zygote: Zygote,
    chance: random.Random,
    case: Case,
    how: str,
    until: float | None,
    cases: int | None,
    corpus: Path,
    salt: str,
) -> None:
    with tempfile.TemporaryDirectory(dir=quick_directory()) as path:
        ground = Ground(zygote, Path(os.path.realpath(path)))
        for death in enumerate_deaths(ground, case, how, salt):
            if _over(result, until, cases):
                return
            second = chance.randint(1, 25) if chance.random() < SECOND else None
            result.cases += 1
            result.count(f"{case} {how}")
            if second:
                result.count("recovery killed")
            what = _try(case, death, second)
            if what is not None:
                fields = {"mode": "kill", "case": str(case), "how": how, "nth": death.nth, "part": death.part}
                result.failures.append(
                    Failure(what, keep(corpus, {**fields, "second": second, "text": what}))
                )


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
    with Zygote("fuzz.workloads") as zygote:
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
