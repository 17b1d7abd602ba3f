"""Killed before, after and half way through every change of the disk.

Each case runs a workload in a child that kills itself at its Nth effect, for
all N until the workload ends, then recovers and looks. A second round kills
the recovery as well, at each of its effects, and recovers again.
"""

from __future__ import annotations

import itertools

import pytest

from safeh5.testing.modes.kill_cases import (
    CASES,
    Case,
    Ground,
    check,
    check_second,
    enumerate_deaths,
    second_kills,
)

HOW = ("before", "half", pytest.param("after", marks=pytest.mark.slow))
"""After one effect is before the next, as far as the disk is concerned; so that is for the long run."""


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_killed_at_any_change_of_the_disk_the_target_is_whole_and_promises_are_kept(
    ground: Ground, case: Case, how: str
) -> None:
    for death in enumerate_deaths(ground, case, how):
        with _named(f"killed {how} effect {death.nth}, noted {death.noted}"):
            check(case, death)


@pytest.mark.parametrize("how", ["before", "half"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_recovery_killed_too_is_finished_by_the_next_one(ground: Ground, case: Case, how: str) -> None:
    chosen = second_kills(case, how)
    for death in enumerate_deaths(ground, case, how):
        second = next(chosen)
        if second is not None:
            with _named(f"killed {how} effect {death.nth} (noted {death.noted}), its recovery at {second}"):
                check_second(case, death, second)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_recovery_killed_at_any_change_of_the_disk_is_finished_by_the_next_one(
    ground: Ground, case: Case, how: str
) -> None:
    for death in enumerate_deaths(ground, case, how):
        for second in itertools.count(1):
            with _named(f"killed {how} effect {death.nth} (noted {death.noted}), its recovery at {second}"):
                if not check_second(case, death, second):
                    break


class _named:
    """Adds to whatever goes wrong inside where it did."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            error.add_note(self.where)
