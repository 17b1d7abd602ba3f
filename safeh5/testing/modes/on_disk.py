"""Deaths on real file systems: a writer is killed, meets a full disk, or loses the power.

For a power cut the writer is stopped, the file system is shut down by its own
ioctl without its log being flushed, unmounted, mounted again and recovered; some
recoveries lose the power too. Deaths happen in a process of their own that is
watched, and several of these may be at work, each on file systems of its own.
"""

from __future__ import annotations

import logging
import random
import shutil
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import safeh5
from safeh5.errors import NothingToRecoverError
from safeh5.recovery import Condition
from safeh5.testing.crash import Place
from safeh5.testing.harness.corpus import keep
from safeh5.testing.harness.places import working_directory
from safeh5.testing.modes.filesystems import CAN_BE_CUT, FileSystem, mounted
from safeh5.testing.world import batches, held, make_old
from safeh5.testing.zygote import Zygote

_WORKLOADS = "safeh5.testing.modes.workloads"
_LEFT = {"btrfs": 6 << 20}
"""Bytes that are left for a writer on a full disk; btrfs refuses long before what it calls free is gone."""

Way = Callable[[FileSystem, Zygote, random.Random], list[str]]
"""A way to die; it returns what happened, in words to be counted."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is to do: the deaths `first`, `first` + `step`, ... of a seed.

    Attributes
    ----------
    seed, first, step : int
        Which deaths.
    end : int or None
        The number of the death before which it stops.
    systems : tuple of FileSystem
        Where, in turn.
    ways : tuple of str
        How.
    corpus : str
        Where failures are kept.
    """

    seed: int
    first: int
    step: int
    end: int | None
    systems: tuple[FileSystem, ...]
    ways: tuple[str, ...]
    corpus: str


def work(order: Order, news: Connection) -> None:
    """Deaths, one after the other."""
    logging.disable(logging.CRITICAL)
    with Zygote(_WORKLOADS) as zygote:
        for number in _numbers(order):
            chance = random.Random(f"{order.seed} {number}")
            system = order.systems[number // order.step % len(order.systems)]
            way = chance.choice(_possible(order.ways, system))
            case: dict[str, Any] = {"system": system.kind, "way": way, "seed": chance.randrange(1 << 31)}
            news.send(("begin", {"number": number, **case}))
            try:
                words = WAYS[way](system, zygote, random.Random(case["seed"]))
            except Exception as error:
                text = "".join(traceback.format_exception(error))
                kept = keep(Path(order.corpus), {"mode": "soak", **case, "text": text})
                news.send(("fail", {"number": number, "text": text, "kept": str(kept)}))
            else:
                news.send(("done", {"number": number, "words": [f"{system.kind}: {word}" for word in words]}))
    news.send(("end", {}))


def _numbers(order: Order) -> Iterator[int]:
    number = order.first
    while order.end is None or number < order.end:
        yield number
        number += order.step


def _possible(ways: tuple[str, ...], system: FileSystem) -> list[str]:
    """The ways to die there; the power fails more often than anything else."""
    can = system.kind in CAN_BE_CUT
    return [way for way in ways for _ in range(5 if way == "cut" else 1) if can or way != "cut"]


def _place(system: FileSystem, zygote: Zygote, chance: random.Random, notes: Path) -> Place:
    """An empty place on the file system; what a child notes goes elsewhere, where the power stays on."""
    root = system.path / "place"
    shutil.rmtree(root, ignore_errors=True)
    (root / "data").mkdir(parents=True)
    old = make_old(root / "data" / "run.h5") if chance.random() < 0.5 else None
    safe = _SafeNotes(zygote, root, old)
    safe.where = notes
    # The old file is somebody's who closed it long ago.
    system.sync()
    return safe


class _SafeNotes(Place):
    """A place whose notes lie elsewhere."""

    where: Path

    @property
    def notes(self) -> Path:
        """On a disk that is not cut off."""
        return self.where / f"notes-{self.lives}"


def killed(system: FileSystem, zygote: Zygote, chance: random.Random) -> list[str]:
    """A writer is killed at no particular moment."""
    with working_directory() as notes:
        place = _place(system, zygote, chance, notes)
        _, noted = place.live(_workload(chance), kill_after=_moment(chance))
        look(place, noted)
    return ["writers killed"]


def cut(system: FileSystem, zygote: Zygote, chance: random.Random) -> list[str]:
    """The power fails under a writer; once more under the recovery, sometimes."""
    words = ["power cuts"]
    with working_directory() as notes:
        place = _place(system, zygote, chance, notes)
        noted = place.stop(_workload(chance), system.cut, stop_after=_moment(chance))
        system.restore()
        if chance.random() < 0.3:
            said = place.stop("replay_or_nothing", system.cut, stop_after=0.02 * chance.random())
            ended = any(word.startswith("effects") for word in said)
            words += ["power cuts", "of these after a recovery" if ended else "of these under a recovery"]
            system.restore()
        look(place, noted)
    return words


def full(system: FileSystem, zygote: Zygote, chance: random.Random) -> list[str]:
    """A writer meets a disk that is really full, and suspends in half of the cases; later there is room."""
    suspend = chance.random() < 0.5
    with working_directory() as notes:
        place = _place(system, zygote, chance, notes)
        left = _LEFT.get(system.kind, 400_000) + (1 << 20) + chance.randrange(700_000)
        with system.almost_full(left):
            _, noted = place.live("until_full", options={"suspend": suspend})
        words = _how_it_was_left(system, place, noted) if suspend else []
        look(place, noted)
    return ["writers on a full disk", *words]


def _how_it_was_left(system: FileSystem, place: Place, noted: list[str]) -> list[str]:
    """A writer that was to suspend has done so, if it had a session at all."""
    if "suspended" in noted:
        found = safeh5.status(place.target).condition
        assert found is Condition.SUSPENDED, f"it was suspended on a full disk, and is {found}"
        return ["of these suspended"]
    if "failed" in noted:
        # Where nothing is overwritten in place a sync itself may find no room, and is never tried again.
        assert system.kind == "btrfs", "a sync failed for want of room, and all bytes had their place"
        return ["of these with a sync that failed"]
    assert not any(note.startswith("b") for note in noted), "it acknowledged, and was not suspended"
    return []


def _workload(chance: random.Random) -> str:
    return chance.choice(["acquire", "come_and_go", "fill"])


def _moment(chance: random.Random) -> float:
    return chance.choice([0.03, 0.15, 0.5]) * chance.random()


def look(place: Place, noted: list[str]) -> None:
    """Recover; all that was acknowledged is there, as a prefix of what was written.

    Raises
    ------
    AssertionError
        It is not.
    """
    promised = {note for note in noted if note.startswith("b")}
    try:
        safeh5.recover(place.target)
    except NothingToRecoverError:
        assert not promised, f"all is lost: {sorted(promised)}"
        return
    if not place.target.exists():
        assert not promised, f"all is lost: {sorted(promised)}"
        return
    found = held(place.target)
    assert promised <= found, f"lost: {sorted(promised - found)}"
    count = len(found - {"old"})
    assert found == batches(*range(count), old=place.old is not None), "not a prefix"
    assert count <= len(promised) + 1, "more than was ever written"


WAYS: dict[str, Way] = {"cut": cut, "kill": killed, "full": full}
"""The ways to die, by name."""


def again(case: dict[str, Any]) -> None:
    """The same way to die, on the same kind of file system, a few times: moments cannot be repeated."""
    with Zygote(_WORKLOADS) as zygote, mounted(case["system"]) as system:
        for number in range(20):
            WAYS[case["way"]](system, zygote, random.Random(case["seed"] + number))
