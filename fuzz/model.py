"""The state machine, for as long as is wanted, with a new seed for each round."""

from __future__ import annotations

import logging
import re
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, reproduce_failure, seed, settings
from hypothesis.errors import DidNotReproduce
from hypothesis.stateful import get_state_machine_test

from fuzz.corpus import Failure, Result, keep
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


def _test(machine: Callable[[], Any], examples: int) -> Callable[[], None]:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        derandomize=False,
        phases=PHASES,
        suppress_health_check=list(HealthCheck),
    )
    return get_state_machine_test(machine, settings=chosen)  # type: ignore[arg-type]


def run(result: Result, *, seconds: float | None, cases: int | None, corpus: Path) -> None:
    """Run rounds until the time or the number of cases is over, or something was found."""
    until = None if seconds is None else time.monotonic() + seconds
    begun, steps, number = _Counted.examples, _Counted.steps, 0
    while not result.failures and (until is None or time.monotonic() < until):
        left = ROUND if cases is None else min(ROUND, cases - (_Counted.examples - begun))
        if left <= 0:
            break
        chosen = result.seed * 1_000_003 + number
        number += 1
        failure = _round(chosen, left)
        if failure is not None:
            result.failures.append(Failure(failure["text"], keep(corpus, failure)))
    result.cases = _Counted.examples - begun
    result.figures["steps"] = _Counted.steps - steps


def _round(chosen: int, examples: int) -> dict[str, Any] | None:
    logging.disable(logging.CRITICAL)
    try:
        seed(chosen)(_test(_Counted, examples))()
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        found = _BLOB.search(text)
        return {
            "mode": "model",
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
