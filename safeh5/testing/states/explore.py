"""Going through the crash states of a recording."""

from __future__ import annotations

import hashlib
import random
import shutil
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from safeh5.recovery import replay
from safeh5.testing.states.check import REPLAY, RESUME, ROLL_BACK, StateError, check, place
from safeh5.testing.states.choices import State, cut_off, states
from safeh5.testing.states.contents import Contents
from safeh5.testing.states.disk import Choice, Disk, Tree
from safeh5.testing.states.events import Event, Kind
from safeh5.testing.states.history import Expected, History
from safeh5.testing.states.workload import Recording

_OTHER_WAYS = 8
"""One state in so many is resumed too, and one is rolled back."""


class Found(NamedTuple):
    """A disk state after which something was not as promised.

    Attributes
    ----------
    point : int
        How many events came before the crash.
    half : bytes or None
        What there was of the event in the middle of which a process was killed.
    state : State
        The fates of what was pending.
    way : str
        What was done about it.
    what : str
        What was wrong.
    tree : Tree
        The disk.
    expected : dict
        What should have been found.
    """

    point: int
    half: bytes | None
    state: State
    way: str
    what: str
    tree: Tree
    expected: dict[str, Expected]


@dataclass
class Tally:
    """What was gone through.

    Attributes
    ----------
    points : int
        Places of the trace at which it crashed.
    built : int
        Disk states that were built, those among them that are alike.
    checked : int
        Different disk states that were recovered, each with what was expected of it.
    families : Counter
        The same by family.
    """

    points: int = 0
    built: int = 0
    checked: int = 0
    families: Counter[str] = field(default_factory=Counter)


@contextmanager
def recovering_like(recording: Recording) -> Iterator[None]:
    """Recover from the last checkpoint, if the workload says so, as is done with large files."""
    usual = replay.REBUILD_BYTES
    if recording.workload.from_checkpoint:
        replay.REBUILD_BYTES = -1  # type: ignore[misc]
    try:
        yield
    finally:
        replay.REBUILD_BYTES = usual  # type: ignore[misc]


class Explorer:
    """Builds the states of one recording, recovers each, and looks.

    Parameters
    ----------
    recording : Recording
        What is crashed.
    contents : Contents
        What may be found; filled on the way.
    directory : Path
        An empty one, that is quick to write.
    seed : int
        What is tried at random depends on it.
    is_over : callable
        Whether to stop, from time to time.
    """

    def __init__(
        self,
        recording: Recording,
        contents: Contents,
        directory: Path,
        seed: int,
        is_over: Callable[[Tally], bool] = lambda tally: False,
    ) -> None:
        self.recording, self.contents, self.seed = recording, contents, seed
        self.tally = Tally()
        self._directory = directory
        self._is_over = is_over
        self._seen: set[bytes] = set()
        self._rounds = 0

    def round(self, shard: tuple[int, int] = (0, 1)) -> Iterator[Found]:
        """Every systematic state in the first round, random ones in each; yields what was wrong.

        Parameters
        ----------
        shard : (int, int)
            Which part of how many: the states of a part are those whose
            digest falls to it, so no two parts try the same.
        """
        with recovering_like(self.recording):
            for point, disk, expected, upcoming in self.points():
                self.tally.points += self._rounds == 0
                for half, state, tree in self._states(disk, upcoming):
                    if self._is_over(self.tally):
                        return
                    found = self._try(point, half, state, tree, expected, shard)
                    if found is not None:
                        yield found
        self._rounds += 1

    def points(self) -> Iterator[tuple[int, Disk, dict[str, Expected], Event | None]]:
        """Each place to crash: what was done, what is expected, what would have come next."""
        disk = Disk(self.recording.start)
        events, scratch = self.recording.events, self._directory / "history"
        shutil.rmtree(scratch, ignore_errors=True)
        history = History(self.contents, scratch, events, disk)
        upcoming: Event | None
        for index, event in enumerate(events):
            if event.kind is not Kind.MARK:
                yield index, disk, history.expected(), event
            disk.apply(event)
            history.follow(event, disk)
        yield len(events), disk, history.expected(), None

    def _states(self, disk: Disk, upcoming: Event | None) -> Iterator[tuple[bytes | None, State, Tree]]:
        for state in states(disk, upcoming, self._rounds, self.seed):
            yield None, state, disk.build(state.choice)
        if self._rounds == 0:
            for half in cut_off(upcoming, random.Random(f"{self.seed} {disk.count}")):
                yield half.data, State("killed in a write", {}), with_half(disk, half)

    def _try(
        self, point: int, half: bytes | None, state: State, tree: Tree,
        expected: dict[str, Expected], shard: tuple[int, int],
    ) -> Found | None:  # fmt: skip
        self.tally.built += 1
        digest = hashlib.blake2b(tree.digest + repr(expected).encode(), digest_size=16).digest()
        number = int.from_bytes(digest[:4], "little")
        if digest in self._seen or number % shard[1] != shard[0]:
            return None
        self._seen.add(digest)
        self.tally.checked += 1
        self.tally.families[state.family] += 1
        for way in _ways(number // shard[1]):
            what = self.judge(tree, expected, way)
            if what is not None:
                return Found(point, half, state, way, what, tree, expected)
        return None

    def judge(self, tree: Tree, expected: dict[str, Expected], way: str) -> str | None:
        """What is wrong after a state; None when nothing is."""
        root = self._directory / "state"
        try:
            place(tree, root)
            check(root, expected, self.contents, way)
        except StateError as error:
            return str(error)
        except Exception as error:
            return "".join(traceback.format_exception(error))
        return None


def with_half(disk: Disk, half: Event) -> Tree:
    """What a process leaves that was killed in the middle of a write."""
    inode, before = disk._inode_of(half), disk.count
    inode.pending.append((before + 1, half))
    try:
        return disk.build({})
    finally:
        inode.pending.pop()


def _ways(number: int) -> list[str]:
    ways = [REPLAY]
    if number % _OTHER_WAYS == 0:
        ways.append(RESUME)
    if number % _OTHER_WAYS == 1:
        ways.append(ROLL_BACK)
    return ways


def simplest(explorer: Explorer, found: Found) -> Found:
    """The same failure with as few fates as it takes: what does not matter is kept whole."""
    if found.half is not None:
        return found
    disk = next(disk for point, disk, _, _ in explorer.points() if point == found.point)
    choice: Choice = found.state.choice
    with recovering_like(explorer.recording):
        for number in sorted(choice, reverse=True):
            less = {key: fate for key, fate in choice.items() if key != number}
            tree = disk.build(less)
            what = explorer.judge(tree, found.expected, found.way)
            if what is not None:
                choice = less
                found = found._replace(state=State(found.state.family, less), tree=tree, what=what)
    return found


def story(recording: Recording, found: Found) -> list[str]:
    """What led to a failure, in words: the last events, and the fates of those that were pending."""
    lines, number = [], 0
    for event in recording.events[: found.point]:
        number += event.kind is not Kind.MARK
        fate = found.state.choice.get(number) if event.kind is not Kind.MARK else None
        if event.kind is Kind.MARK and event.path == "operation":
            continue
        lines.append(str(event) + (f"    <- {_words(fate)}" if fate else ""))
    if found.half is not None:
        lines.append(f"{recording.events[found.point]}    <- killed after {len(found.half)} bytes of it")
    return lines


def _words(fate: tuple[str, int]) -> str:
    from safeh5.testing.states.disk import FATES

    return FATES[fate[0]].replace("`at`", str(fate[1])).replace("`fdatasync`", "fdatasync")
