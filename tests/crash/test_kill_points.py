"""Killed before, after and half way through every change of the disk.

Each case runs a workload in a child that kills itself at its Nth effect, for
all N until the workload ends, then recovers and looks. A second round kills
the recovery as well, at each of its effects, and recovers again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

import safeh5
from safeh5.errors import NothingToRecoverError
from safeh5.recovery import Action, Condition, replay
from tests.crash.conftest import MakePlace, Place
from tests.support import batches, entries, held

HOW = ("before", "half", pytest.param("after", marks=pytest.mark.slow))
"""After one effect is before the next, as far as the disk is concerned; so that is for the long run."""


@dataclass(frozen=True)
class Case:
    """A workload, what it starts from, and what may be found after its death."""

    workload: str
    old: bool
    recovery: str = "replay"
    before: str | None = None
    """A workload that leaves something behind first."""
    keeps_old: bool = True
    """Whether the old content is part of the new."""
    damage: bool = False
    """Whether the journal is damaged before."""
    from_checkpoint: bool = False
    """Whether recovery goes on from the last checkpoint, as it does with large files."""

    def __str__(self) -> str:
        over, quick = "-over-old" if self.old else "", "-from-checkpoint" if self.from_checkpoint else ""
        return f"{self.workload}{over}{quick}"

    @property
    def rebuild_bytes(self) -> int:
        """Up to which size recovery builds the file from the beginning."""
        return -1 if self.from_checkpoint else replay.REBUILD_BYTES


CASES = [
    Case("commit", old=False),
    Case("commit", old=True),
    Case("commit", old=True, from_checkpoint=True),
    Case("overwrite", old=True, keeps_old=False),
    Case("suspend_and_resume", old=True),
    Case("suspend_and_resume", old=False, from_checkpoint=True),
    Case("roll_back", old=True, recovery="recover_by_roll_back"),
    Case("roll_back_and_keep", old=False, recovery="recover_by_roll_back"),
    Case("replay", old=True, before="die_working"),
    Case("replay", old=True, before="die_working", from_checkpoint=True),
    Case("replay", old=False, before="die_working"),
    Case("recover_by_roll_back", old=True, before="die_working", recovery="recover_by_roll_back"),
    Case("purge", old=True, before="die_working", recovery="purge"),
    Case("salvage", old=True, before="die_working", recovery="salvage", damage=True),
    Case("salvage", old=False, before="die_working", recovery="salvage", damage=True),
]
ACTIONS = {
    "replay": Action.REPLAY,
    "recover_by_roll_back": Action.ROLLBACK,
    "purge": Action.ROLLBACK,
    "salvage": Action.SALVAGE,
}


# --- one life and death -----------------------------------------------------------------


def prepare(make_place: MakePlace, case: Case) -> Place:
    """The place as the workload finds it."""
    place = make_place(old=case.old)
    if case.before:
        killed, _ = place.live(case.before)
        assert killed
    if case.damage:
        segment = place.directory / "run.h5.safeh5" / "journal-00000001.log"
        data = bytearray(segment.read_bytes())
        at = data.index(b"/b1/data")
        data[at] ^= 1
        segment.write_bytes(data)
    return place


def check_target_after_death(case: Case, place: Place, noted: list[str]) -> None:
    """The old file or the new one, whole; nobody has recovered anything yet."""
    if not place.target.exists():
        assert not case.old, "the old file is gone"
        assert "committed" not in noted
        return
    if place.target.read_bytes() == place.old:
        assert "committed" not in noted, "the file was committed and is the old one"
        return
    assert held(place.target) == result(case), "the target is neither the old file nor the new one"


def result(case: Case) -> set[str]:
    """What the target holds when everything was done."""
    old = case.old and case.keeps_old
    return batches(0, 2, old=old) if case.damage else batches(0, 1, 2, old=old)


def settle(case: Case, place: Place) -> None:
    """Recover, twice: the second time there is nothing left to do."""
    usual = replay.REBUILD_BYTES
    action = ACTIONS[case.recovery]
    try:
        replay.REBUILD_BYTES = case.rebuild_bytes
        safeh5.recover(place.target, action, purge=case.recovery == "purge")
        assert safeh5.recover(place.target).before is Condition.CLEAN
    except NothingToRecoverError:
        assert not place.target.exists()
    finally:
        replay.REBUILD_BYTES = usual


def check_after_recovery(case: Case, place: Place, noted: list[str]) -> None:
    """All that was promised is there, and nothing else lies about."""
    check_litter(place)
    if ACTIONS[case.recovery] is Action.ROLLBACK:
        check_rolled_back(case, place)
        return
    if not place.target.exists():
        assert not promises(case, noted) and not case.old
        return
    check_content(case, place, noted)


def promises(case: Case, noted: list[str]) -> set[str]:
    """What was acknowledged."""
    if case.before:
        return result(case)
    return {note for note in noted if note.startswith("b")}


def check_content(case: Case, place: Place, noted: list[str]) -> None:
    """The target is whole batches up to somewhere, what was acknowledged among them."""
    found, promised = held(place.target), promises(case, noted)
    if case.damage:
        assert found == result(case)
        return
    # A session that had journaled nothing yet leaves the old file, also in mode "w".
    if found == {"old"}:
        assert not promised and case.old
        return
    assert promised <= found, f"lost: {promised - found}"
    assert found in [batches(*range(n), old=case.old and case.keeps_old) for n in range(4)]


def check_rolled_back(case: Case, place: Place) -> None:
    """As it was before the session, byte for byte."""
    if case.old:
        assert place.target.read_bytes() == place.old
    else:
        assert not place.target.exists()


def check_litter(place: Place) -> None:
    """The target, and what is kept aside under a name that says so."""
    kept = ("run.h5.safeh5-torn-", "run.h5.safeh5-rolledback-", "run.h5.safeh5-damaged-")
    litter = [name for name in entries(place.target) if not name.startswith(kept)]
    assert not litter, litter


# --- all of them --------------------------------------------------------------------------


def deaths(make_place: MakePlace, case: Case, how: str) -> Iterator[tuple[int, Place, list[str]]]:
    """Every place in which a child died at its Nth effect, until one lives to the end."""
    template = prepare(make_place, case)
    chance = random.Random(f"{case} {how}")
    for nth in range(1, 1000):
        place = template.copy("case")
        part = chance.choice([1, 30, 90, 1 << 30])
        killed, noted = place.live(
            case.workload, nth=nth, how=how, part=part, rebuild_bytes=case.rebuild_bytes
        )
        if not killed:
            assert noted[-1] == f"effects {nth - 1}"
            assert nth > 8, "this workload has hardly any effects"
            check_target_after_death(case, place, noted)
            return
        yield nth, place, noted


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_killed_at_any_change_of_the_disk_the_target_is_whole_and_promises_are_kept(
    make_place: MakePlace, case: Case, how: str
) -> None:
    for nth, place, noted in deaths(make_place, case, how):
        with _named(f"killed {how} effect {nth}, noted {noted}"):
            check_target_after_death(case, place, noted)
            settle(case, place)
            check_after_recovery(case, place, noted)


def _kill_recoveries(
    make_place: MakePlace, case: Case, how: str, choose: Callable[[int], Iterator[int]]
) -> None:
    """Kill the workload at its effects, then the recovery at the chosen ones, then recover."""
    for nth, dead, noted in deaths(make_place, case, how):
        for second in choose(nth):
            place = dead.copy("again")
            with _named(f"killed {how} effect {nth} (noted {noted}), its recovery at {second}"):
                killed = _kill_recovery(case, place, how, second)
                if place.target.exists() and place.target.read_bytes() != place.old:
                    check_content(case, place, noted)
                settle(case, place)
                check_after_recovery(case, place, noted)
            if not killed:
                break


def _kill_recovery(case: Case, place: Place, how: str, nth: int) -> bool:
    if not place.target.exists() and not entries(place.target):
        return False
    if not (place.directory / "run.h5.safeh5").exists() and not place.target.exists():
        return False
    killed, _ = place.live(case.recovery, nth=nth, how=how, part=30, rebuild_bytes=case.rebuild_bytes)
    return killed


@pytest.mark.parametrize("how", ["before", "half"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_recovery_killed_too_is_finished_by_the_next_one(make_place: MakePlace, case: Case, how: str) -> None:
    chance = random.Random(f"second {case} {how}")
    _kill_recoveries(
        make_place, case, how, lambda nth: iter([chance.randint(1, 25)] if chance.random() < 0.3 else [])
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_recovery_killed_at_any_change_of_the_disk_is_finished_by_the_next_one(
    make_place: MakePlace, case: Case, how: str
) -> None:
    _kill_recoveries(make_place, case, how, lambda nth: iter(range(1, 1000)))


class _named:
    """Adds to whatever goes wrong inside where it did."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            error.add_note(self.where)
