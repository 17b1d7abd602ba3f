"""Killed at no particular moment: in libhdf5, in numpy, in the garbage collector, anywhere."""

from __future__ import annotations

import random

import pytest

import safeh5
from safeh5.errors import NothingToRecoverError
from safeh5.testing.modes.kill_cases import check_litter
from tests.crash.conftest import MakePlace, Place
from tests.support import batches, held


def acknowledged(noted: list[str]) -> set[str]:
    return {note for note in noted if note.startswith("b")}


def check(place: Place, noted: list[str]) -> None:
    """Recover; what was acknowledged is there, and at most one batch more."""
    promised = acknowledged(noted)
    try:
        safeh5.recover(place.target)
    except NothingToRecoverError:
        assert not promised
        return
    check_litter(place)
    if not promised and not place.target.exists():
        return
    found = held(place.target) - {"old"}
    assert found in (promised, promised | batches(len(promised))), found ^ promised


@pytest.mark.parametrize("workload", ["acquire", "come_and_go"])
@pytest.mark.parametrize("old", [False, True], ids=["new", "over-old"])
def test_killed_at_a_random_moment_all_acknowledged_batches_are_there(
    make_place: MakePlace, workload: str, old: bool
) -> None:
    hunt(make_place, workload, old, rounds=12, seed=7)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("workload", ["acquire", "come_and_go"])
@pytest.mark.parametrize("old", [False, True], ids=["new", "over-old"])
def test_killed_at_very_many_random_moments_all_acknowledged_batches_are_there(
    make_place: MakePlace, workload: str, old: bool, seed: int
) -> None:
    hunt(make_place, workload, old, rounds=100, seed=seed)


def hunt(make_place: MakePlace, workload: str, old: bool, rounds: int, seed: int) -> None:
    chance = random.Random(f"{workload} {old} {seed}")
    template = make_place(old=old)
    for number in range(rounds):
        place = template.copy("round")
        seconds = chance.choice([0.02, 0.1, 0.4]) * chance.random()
        killed, noted = place.live(workload, kill_after=seconds)
        assert killed
        try:
            check(place, noted)
        except BaseException as error:
            error.add_note(f"round {number}, killed after {seconds} s, acknowledged {len(noted)}")
            raise


def test_a_session_that_is_killed_again_and_again_is_resumed_again_and_again(
    make_place: MakePlace,
) -> None:
    chance = random.Random(3)
    place = make_place(old=True)
    written: set[str] = set()
    for _ in range(10):
        killed, noted = place.live("resume_and_go_on", kill_after=0.15 * chance.random())
        assert killed
        written |= acknowledged(noted)
    with safeh5.open(place.target, resume=True):
        pass
    found = held(place.target)
    assert written <= found
    assert found - {"old"} == batches(*range(len(found) - 1))
    # The torn ends of the journals are kept beside the target, and nothing else is.
    check_litter(place)
