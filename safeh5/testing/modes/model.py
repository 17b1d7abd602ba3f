"""The state machine, for as long as is wanted, with a new seed for each round."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, reproduce_failure, seed, settings
from hypothesis.errors import DidNotReproduce
from hypothesis.stateful import get_state_machine_test

from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings
from safeh5.testing.machine import SessionMachine

ROUND = 20
"""Examples with one seed; what is kept of a failure is its seed and, for this Hypothesis, its choices."""

STEPS = 45
PHASES = (Phase.generate, Phase.shrink)
_BLOB = re.compile(r"reproduce_failure\('(?P<version>[^']+)', (?P<blob>b'[^']+')\)")


class _Counted(SessionMachine):
    """Counts examples and steps."""

    examples = 0
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        _Counted.examples += 1

    def check_invariants(self, *given: Any, **named: Any) -> None:
        _Counted.steps += 1
        super().check_invariants(*given, **named)


def _test(machine: Callable[[], Any], examples: int, shrink: bool = True) -> Callable[[], None]:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        derandomize=False,
        phases=PHASES if shrink else PHASES[:1],
        suppress_health_check=list(HealthCheck),
    )
    return get_state_machine_test(machine, settings=chosen)  # type: ignore[arg-type]


def run(report: Report, settings: Settings) -> None:
    """Run rounds until the time or the number of cases is over, or something was found."""
    begun, steps, number = _Counted.examples, _Counted.steps, 0
    while not report.failures and not report.is_over():
        left = ROUND if settings.cases is None else min(ROUND, settings.cases - report.cases)
        chosen = settings.seed * 1_000_003 + number
        number += 1
        try:
            failure = _round(chosen, left, settings.shrink)
        finally:
            report.cases = _Counted.examples - begun
            report.figures["steps"] = _Counted.steps - steps
        if failure is not None:
            report.fail(failure.pop("text"), failure)


def _round(chosen: int, examples: int, shrink: bool) -> dict[str, Any] | None:
    logging.disable(logging.CRITICAL)
    try:
        seed(chosen)(_test(_Counted, examples, shrink))()
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        found = _BLOB.search(text)
        return {
            "seed": chosen,
            "examples": examples,
            "version": hypothesis.__version__,
            "blob": found["blob"] if found else None,
            "text": text,
        }
    finally:
        logging.disable(logging.NOTSET)
    return None


def replay(case: dict[str, Any], directory: Path) -> None:
    """Fail as it failed, if it still does."""
    if case["blob"] and case["version"] == hypothesis.__version__:
        blob = bytes(case["blob"][2:-1], "ascii")
        try:
            reproduce_failure(case["version"], blob)(_test(SessionMachine, 1))()
        except DidNotReproduce:
            return
    else:
        # The choices mean something to that version only; its seed finds it again, perhaps.
        seed(case["seed"])(_test(SessionMachine, case["examples"]))()
