"""A session whose journal is pruned, killed anywhere: nothing acknowledged is lost, the bound is kept."""

from __future__ import annotations

import random

import pytest

import safeh5
from safeh5.errors import NothingToRecoverError
from safeh5.journal import scan
from safeh5.storage import Storage
from safeh5.testing.modes.workloads import LIMIT, journal_bytes
from tests.crash.conftest import MakePlace, Place
from tests.support import batches, entries, held


def sidecar(place: Place) -> str:
    return f"{place.target}.safeh5"


def check(place: Place, noted: list[str]) -> int:
    """Recover; all that was promised is there, as a prefix; returns how many batches that is."""
    promised = {note for note in noted if note.startswith("b")}
    try:
        safeh5.recover(place.target)
    except NothingToRecoverError:
        assert not promised
        return 0
    old = place.old is not None
    found = held(place.target)
    count = len(found - {"old"})
    assert found == batches(*range(count), old=old)
    assert promised <= found, f"lost: {promised - found}"
    assert [name for name in entries(place.target) if "-torn-" not in name] == []
    return count


@pytest.mark.parametrize("how", ["before", "half", pytest.param("after", marks=pytest.mark.slow)])
@pytest.mark.parametrize("old", [False, True])
def test_killed_at_any_effect_while_the_journal_is_pruned(make_place: MakePlace, how: str, old: bool) -> None:
    template = make_place(old=old)
    chance, pruned = random.Random(how), 0
    for nth in range(1, 2000):
        place = template.copy("case")
        part = chance.choice([1, 30, 90, 1 << 30])
        killed, noted = place.live("fill_a_little", nth=nth, how=how, part=part)
        if not killed:
            assert noted[-2] == "committed"
            break
        if "committed" not in noted and (place.directory / "run.h5.safeh5").exists():
            pruned += not scan(Storage(), sidecar(place)).is_complete
        check(place, noted)
    assert pruned > 20
    assert check(place, noted) == 7


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_long_session_killed_at_random_loses_nothing_and_keeps_its_bound(
    make_place: MakePlace, seed: int
) -> None:
    place = make_place(old=True)
    chance, noted, pruned = random.Random(seed), [], 0
    for _ in range(40):
        killed, more = place.live("fill", kill_after=chance.uniform(0.05, 0.3))
        assert killed
        noted += more
        if (place.directory / "run.h5.safeh5").exists():
            assert journal_bytes(place.target) <= LIMIT + 2 * (LIMIT // 4)
            pruned += not scan(Storage(), sidecar(place)).is_complete
    assert pruned > 20
    assert check(place, noted) > 40


def test_a_recovery_of_a_pruned_session_can_be_killed_anywhere(make_place: MakePlace) -> None:
    template = make_place(old=True)
    noted: list[str] = []
    while scan(Storage(), sidecar(template)).is_complete if noted else True:
        noted += template.live("fill", kill_after=0.4)[1]
    for nth in range(1, 500):
        place = template.copy("case")
        killed, _ = place.live("replay", nth=nth, how="before")
        check(place, noted)
        if not killed:
            break
    assert nth > 10
