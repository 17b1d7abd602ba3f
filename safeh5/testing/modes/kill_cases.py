"""Killed at every change of the disk: what must be true then, and after recovery.

A `Case` is a workload, what it starts from and how it is recovered. `check`
looks at one death of it; `enumerate_deaths` makes all of them, in children
that are really killed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import safeh5
from safeh5.errors import NothingToRecoverError
from safeh5.recovery import Action, Condition, replay
from safeh5.testing.crash import Killed, Place, deaths
from safeh5.testing.world import batches, entries, held, make_old
from safeh5.testing.zygote import Zygote

HOW = ("before", "half", "after")


@dataclass
class Ground:
    """Where places are made: a directory that is quick to write, and a zygote."""

    zygote: Zygote
    root: Path
    count: int = 0

    def make(self, *, old: bool) -> Place:
        """A new place; with `old` there is a file already."""
        self.count += 1
        root = self.root / f"place-{self.count}"
        (root / "data").mkdir(parents=True)
        return Place(self.zygote, root, make_old(root / "data" / "run.h5") if old else None)


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
    order: tuple[str, ...] = ("b0", "b1", "b2")
    """What it writes, in this order."""
    from_checkpoint: bool = False
    """Whether recovery goes on from the last checkpoint, as it does with large files."""

    def __str__(self) -> str:
        over, quick = "-over-old" if self.old else "", "-from-checkpoint" if self.from_checkpoint else ""
        return f"{self.workload}{over}{quick}"

    @property
    def rebuild_bytes(self) -> int:
        """Up to which size recovery builds the file from the beginning."""
        return -1 if self.from_checkpoint else replay.REBUILD_BYTES


FRAMES = tuple(f"f{n}" for n in range(6))
CASES = [
    Case("commit", old=False),
    Case("commit", old=True),
    Case("commit", old=True, from_checkpoint=True),
    Case("write_trees", old=True),
    Case("stream_frames", old=False, order=FRAMES),
    Case("stream_in_groups", old=True, order=FRAMES),
    Case("through_h5py", old=True),
    Case("fill_a_little", old=True, order=tuple(f"b{n}" for n in range(7))),
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


def prepare(ground: Ground, case: Case) -> Place:
    """The place as the workload finds it."""
    place = ground.make(old=case.old)
    if case.before:
        killed, _ = place.live(case.before)
        assert killed
    if case.damage:
        segment = place.sidecar / "journal-00000001.log"
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
    if case.damage:
        return batches(0, 2, old=case.old)
    return prefixes(case)[-1]


def prefixes(case: Case) -> list[set[str]]:
    """What the target may hold after a recovery: all that was written up to somewhere."""
    first = batches(old=case.old and case.keeps_old)
    return [first | set(case.order[:count]) for count in range(len(case.order) + 1)]


def settle(case: Case, place: Place) -> None:
    """Recover, twice: the second time there is nothing left to do."""
    usual = replay.REBUILD_BYTES
    action = ACTIONS[case.recovery]
    try:
        replay.REBUILD_BYTES = case.rebuild_bytes  # type: ignore[misc]
        report = safeh5.recover(place.target, action, purge=case.recovery == "purge")
        assert report.before is not Condition.CORRUPT or report.losses, f"lost without a word: {report}"
        assert safeh5.recover(place.target).before is Condition.CLEAN
    except NothingToRecoverError:
        assert not place.target.exists()
    finally:
        replay.REBUILD_BYTES = usual  # type: ignore[misc]


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
    return {note for note in noted if note in case.order}


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
    assert found in prefixes(case), f"not a prefix: {sorted(found)}"


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


def enumerate_deaths(ground: Ground, case: Case, how: str, salt: str = "") -> Iterator[Killed]:
    """Every death of a case; the last child lives and commits, and that is looked at too."""
    template = prepare(ground, case)
    salt, size = f"{case}{salt}", case.rebuild_bytes
    for death in deaths(template, case.workload, how, salt=salt, rebuild_bytes=size):
        if death.killed:
            yield death
        else:
            assert death.nth > 8, "this workload has hardly any effects"
            check_target_after_death(case, death.place, death.noted)


def check(case: Case, death: Killed) -> None:
    """Look at the target, recover, look again."""
    check_target_after_death(case, death.place, death.noted)
    settle(case, death.place)
    check_after_recovery(case, death.place, death.noted)


def check_second(case: Case, death: Killed, *nths: int) -> int:
    """Kill the recovery of a death at one of its effects, that of what it left at another, recover, look.

    Returns how many recoveries were killed: one that ends before is the last.
    """
    place, depth = death.place.copy("again"), 0
    for nth in nths:
        killed = _kill_recovery(case, place, death.how, nth)
        if place.target.exists() and place.target.read_bytes() != place.old:
            check_content(case, place, death.noted)
        if not killed:
            break
        depth += 1
    settle(case, place)
    check_after_recovery(case, place, death.noted)
    return depth


def _kill_recovery(case: Case, place: Place, how: str, nth: int) -> bool:
    if not place.target.exists() and not entries(place.target):
        return False
    if not place.sidecar.exists() and not place.target.exists():
        return False
    killed, _ = place.live(case.recovery, nth=nth, how=how, part=30, rebuild_bytes=case.rebuild_bytes)
    return killed


def second_kills(case: Case, how: str, share: float = 0.3) -> Iterator[int | None]:
    """For each death in turn, at which effect its recovery is killed; None to let it live."""
    chance = random.Random(f"second {case} {how}")
    while True:
        yield chance.randint(1, 25) if chance.random() < share else None
