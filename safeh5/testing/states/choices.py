"""Which disk states a crash may leave at one point of a trace.

Two kinds of file system are imagined. The *strict* one promises what POSIX
does: what was synced, and nothing about the rest, each pending change of data
or of names being kept or lost on its own. The *ordered* one journals its
metadata (ext4 with ``data=ordered``, xfs): changes of names reach the disk in
their order, every sync takes all earlier ones along, and a file has its new
length only when the bytes are there.

All single fates are tried, and the combinations that file systems are known
for; of the others a share at random, different in each `round_`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final, NamedTuple

from safeh5.testing.states.disk import Change, Choice, Disk, Fate, Inode
from safeh5.testing.states.events import Event, Kind

SECTORS: Final = (512, 4096)
_LOST: Final = Fate("lost")
_TEARS: Final = 6
_COMBINATIONS: Final = 4


class State(NamedTuple):
    """One way to crash.

    Attributes
    ----------
    family : str
        What it is an example of.
    choice : Choice
        The fate of each pending change.
    """

    family: str
    choice: Choice


class Pending(NamedTuple):
    """A pending change of the data of a file."""

    number: int
    event: Event
    inode: Inode


def states(disk: Disk, round_: int, seed: int) -> Iterator[State]:
    """The states at the present point of a trace.

    Parameters
    ----------
    disk : Disk
        What has been done so far.
    round_ : int
        0 for everything that is systematic; above that, for more at random.
    seed : int
        What is tried at random depends on it, the point and the round.
    """
    data = [Pending(n, e, inode) for inode in disk.inodes.values() for n, e in inode.pending]
    data.sort(key=lambda pending: pending.number)
    chance = random.Random(f"{seed} {round_} {disk.count}")
    if round_ == 0:
        yield State("killed", {})
        yield from _strict(disk, data)
        yield from _ordered(disk, data)
        yield from _times(disk)
    yield from _at_random(disk, data, chance)


# --- the strict model -----------------------------------------------------------------


def _strict(disk: Disk, data: list[Pending]) -> Iterator[State]:
    everything = {p.number: _LOST for p in data} | {c.number: _LOST for c in disk.changes}
    yield State("everything pending lost", everything)
    yield State("all data lost, names kept", {p.number: _LOST for p in data})
    yield State("all names lost, data kept", {c.number: _LOST for c in disk.changes})
    yield from _of_files(data)
    for index, pending in enumerate(data):
        yield State("one write lost", {pending.number: _LOST})
        yield State("all writes from one on lost", {p.number: _LOST for p in data[index:]})
        yield from _of_write(pending)
    yield from _of_names(disk.changes, data)


def _of_files(data: list[Pending]) -> Iterator[State]:
    """All pending data of one file, the rest being there."""
    for inode in {p.inode.number: p.inode for p in data}.values():
        mine = [p for p in data if p.inode is inode]
        yield State("one file's data lost", {p.number: _LOST for p in mine})
        yield State("one file kept, the others lost", {p.number: _LOST for p in data if p.inode is not inode})
        writes = [p.number for p in mine if p.event.kind is Kind.WRITE]
        yield State("a file's length kept, zeros in it", dict.fromkeys(writes, Fate("zeros")))
        yield State("a file's length kept, garbage in it", dict.fromkeys(writes, Fate("garbage", 1)))
        for index in range(1, len(mine)):
            yield State("the last writes of one file lost", {p.number: _LOST for p in mine[index:]})


def _of_write(pending: Pending) -> Iterator[State]:
    number, event, _ = pending
    if event.kind is not Kind.WRITE:
        return
    yield State("zeros for one write", {number: Fate("zeros")})
    yield State("garbage for one write", {number: Fate("garbage", number)})
    for at in tears(event):
        yield State("one write torn at a sector", {number: Fate("first", at)})
        yield State("one write torn at a sector", {number: Fate("last", at)})
    for at in {1, len(event.data) // 2, len(event.data) - 1}:
        if 0 < at < len(event.data):
            yield State("a prefix of one write kept", {number: Fate("first", at)})


def tears(event: Event) -> list[int]:
    """Where a write may be torn, as bytes of it: at the ends of its sectors, some of them."""
    found: set[int] = set()
    for sector in SECTORS:
        first = -event.offset % sector
        ends = [at for at in range(first, len(event.data), sector) if at > 0]
        step = max(1, len(ends) // (_TEARS // 2))
        found.update(ends[::step], ends[-1:])
    return sorted(found)


def _of_names(changes: list[Change], data: list[Pending]) -> Iterator[State]:
    for index, change in enumerate(changes):
        yield State("one name lost", {change.number: _LOST})
        rest = {c.number: _LOST for c in changes[index:]}
        yield State("all names from one on lost", rest)
        others = {c.number: _LOST for c in changes if c is not change}
        yield State("one name kept, the others lost", others)
        of_file = {p.number: _LOST for p in data if p.inode.number == change.inode}
        yield State("a name kept, what it names lost", others | of_file)
        if of_file:
            yield State("a name kept, what it names empty", of_file)


# --- file systems that journal their metadata -----------------------------------------


def _ordered(disk: Disk, data: list[Pending]) -> Iterator[State]:
    """Names up to some point, in their order; data in their order, or not at all."""
    names = [c for c in disk.changes if c.number > disk.synced_at]
    lengths = {"data kept": [], "data lost": data, "data half way": data[len(data) // 2 :]}
    for index in range(len(names) + 1):
        lost = {c.number: _LOST for c in names[index:]}
        for what, gone in lengths.items():
            yield State(f"ordered: {what}", lost | {p.number: _LOST for p in gone})


def _times(disk: Disk) -> Iterator[State]:
    """Times and modes that no ``fsync`` has made durable, of one file and of all."""
    whole: dict[int, Fate] = {}
    for inode in disk.inodes.values():
        mine = {number: Fate("times") for number, *_ in inode.soft}
        mine |= {n: Fate("times") for n, e in inode.pending if e.kind is Kind.FACTS}
        if mine:
            whole |= mine
            yield State("times and mode of one file lost", mine)
    if whole:
        yield State("times and modes lost", whole)


# --- combinations ---------------------------------------------------------------------


def _at_random(disk: Disk, data: list[Pending], chance: random.Random) -> Iterator[State]:
    if len(data) + len(disk.changes) < 2:
        return
    for _ in range(_COMBINATIONS):
        share = chance.choice((0.1, 0.3, 0.5, 0.8))
        choice = {c.number: _LOST for c in disk.changes if chance.random() < share}
        for pending in data:
            if chance.random() < share:
                choice[pending.number] = _any_fate(pending.event, chance)
        if choice:
            yield State("at random", choice)


def _any_fate(event: Event, chance: random.Random) -> Fate:
    if event.kind is not Kind.WRITE:
        return _LOST
    at = chance.choice(tears(event) or [max(1, len(event.data) // 2)])
    what = chance.choice(("lost", "lost", "first", "last", "zeros", "garbage"))
    return Fate(what, chance.randrange(1 << 20) if what == "garbage" else at)


# --- kills in the middle of an effect ---------------------------------------------------


def cut_off(event: Event | None, chance: random.Random) -> list[Event]:
    """What there may be of a write whose process was killed in the middle of it."""
    if event is None or event.kind is not Kind.WRITE or len(event.data) < 2:
        return []
    size = len(event.data)
    lengths = sorted({1, size // 2, size - 1, chance.randrange(1, size)})
    fields = (event.kind, event.path, event.other, event.inode, event.offset)
    return [Event(*fields, event.data[:n], event.mode, event.mtime) for n in lengths]
