"""Going through the crash states of a recording."""

from __future__ import annotations

import hashlib
import itertools
import random
import shutil
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from safeh5.recovery import replay
from safeh5.testing.states.check import REPLAY, RESUME, ROLL_BACK, StateError, check, place
from safeh5.testing.states.choices import State, cut_off, states
from safeh5.testing.states.contents import Contents
from safeh5.testing.states.disk import Disk, Fate, Tree
from safeh5.testing.states.events import Event, Kind
from safeh5.testing.states.history import Expected, History
from safeh5.testing.states.workload import Recording

ROUND_POINTS = 8
"""A round crashes at one place in so many, so that a short run sees all of a trace."""

FIRST: Final = (
    frozenset(
        {
            "killed", "everything pending lost", "all names lost, data kept", "one name lost",
            "times and modes lost",
        }
    ),
    frozenset({"all data lost, names kept", "one write lost", "one name kept, the others lost"}),
)  # fmt: skip
"""The families that are tried first, and those that come next."""

HALF: Final = "killed in a write"

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
def recovering(*, from_checkpoint: bool) -> Iterator[None]:
    """Recover from the last checkpoint, if the workload says so, as is done with large files."""
    usual = replay.REBUILD_BYTES
    if from_checkpoint:
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

    Attributes
    ----------
    tally : Tally
        What was gone through; may be replaced by an empty one at any time.
    complete : bool
        Whether every systematic state was tried.
    """

    def __init__(
        self,
        recording: Recording,
        contents: Contents,
        directory: Path,
        seed: int,
    ) -> None:
        self.recording, self.contents, self.seed = recording, contents, seed
        self.tally = Tally()
        self._directory = directory
        self.complete = False
        self._seen: set[bytes] = set()
        self._follows = 0

    def explore(self) -> Iterator[Found | None]:
        """Recover one state after the other, for ever; yields what was wrong, or None.

        First the plainest states of every place, which find most; then every
        systematic one, in rounds that each crash at one place in `ROUND_POINTS`,
        so that a short run sees all of a trace; then more at random.
        """
        for families in FIRST:
            yield from self._round(0, range(ROUND_POINTS), families)
        for number in itertools.count():
            self.complete = number >= ROUND_POINTS
            round_, stripe = divmod(number, ROUND_POINTS)
            yield from self._round(round_, range(stripe, stripe + 1))
            yield None

    def _round(
        self, round_: int, stripes: range, families: frozenset[str] = frozenset()
    ) -> Iterator[Found | None]:
        for point, disk, expected, upcoming in self.points():
            if point % ROUND_POINTS not in stripes:
                continue
            self.tally.points += families is FIRST[0]
            for half, state, tree in self.states(disk, upcoming, round_, families):
                yield self._try(point, half, state, tree, expected)

    def like(
        self, family: str, behind: str, describe: Callable[[list[Event]], str]
    ) -> Iterator[tuple[State, Tree, dict[str, Expected]]]:
        """All states of one family at the points that `describe` describes so."""
        for _, disk, expected, upcoming in self._points_behind(behind, describe):
            for _, state, tree in self.states(disk, upcoming, 0):
                if state.family == family:
                    yield state, tree, expected

    def exactly(
        self, fates: Mapping[int, Fate], behind: str, describe: Callable[[list[Event]], str]
    ) -> Iterator[tuple[State, Tree, dict[str, Expected]]]:
        """These fates, of events by how many before the crash they were, at the points described so."""
        for point, disk, expected, _ in self._points_behind(behind, describe):
            choice = {point - back: fate for back, fate in fates.items()}
            yield State("as it was kept", choice), disk.build(choice), expected

    def _points_behind(
        self, behind: str, describe: Callable[[list[Event]], str]
    ) -> Iterator[tuple[int, Disk, dict[str, Expected], Event | None]]:
        for found in self.points():
            if describe(self.recording.events[: found[0]]) == behind:
                yield found

    def points(self) -> Iterator[tuple[int, Disk, dict[str, Expected], Event | None]]:
        """Each place to crash: what was done, what is expected, what would have come next."""
        disk = Disk(self.recording.start)
        self._follows += 1
        events, scratch = self.recording.events, self._directory / f"history-{self._follows}"
        history = History(self.contents, scratch, events, disk)
        for index, event in enumerate(events):
            if event.kind is not Kind.MARK:
                yield index, disk, history.expected(), event
            disk.apply(event)
            history.follow(event, disk)
        yield len(events), disk, history.expected(), None
        shutil.rmtree(scratch, ignore_errors=True)

    def states(
        self, disk: Disk, upcoming: Event | None, round_: int, families: frozenset[str] = frozenset()
    ) -> Iterator[tuple[bytes | None, State, Tree]]:
        """The states at one point, with what there was of the event that was cut off; of some families."""
        for state in states(disk, round_, self.seed):
            if not families or state.family in families:
                yield None, state, disk.build(state.choice)
        if round_ == 0 and (not families or HALF in families):
            for half in cut_off(upcoming, random.Random(f"{self.seed} {disk.count}")):
                yield half.data, State(HALF, {}), with_half(disk, half)

    def _try(
        self, point: int, half: bytes | None, state: State, tree: Tree, expected: dict[str, Expected]
    ) -> Found | None:
        self.tally.built += 1
        digest = hashlib.blake2b(tree.digest + repr(expected).encode(), digest_size=16).digest()
        if digest in self._seen:
            return None
        self._seen.add(digest)
        self.tally.checked += 1
        self.tally.families[state.family] += 1
        for way in _ways(int.from_bytes(digest[:4], "little")):
            what = self.judge(tree, expected, way)
            if what is not None:
                return Found(point, half, state, way, what, tree, expected)
        return None

    def judge(self, tree: Tree, expected: dict[str, Expected], way: str) -> str | None:
        """What is wrong after a state; None when nothing is."""
        root = self._directory / "state"
        try:
            place(tree, root)
            with recovering(from_checkpoint=self.recording.workload.from_checkpoint):
                check(root, expected, self.contents, way)
        except StateError as error:
            return str(error)
        except Exception as error:
            return "".join(traceback.format_exception(error))
        return None


def with_half(disk: Disk, half: Event) -> Tree:
    """What a process leaves that was killed in the middle of a write."""
    inode = disk._inode_of(half)
    # A number of its own for each length: what a disk has built it keeps, by these numbers.
    inode.pending.append((-(disk.count << 32) - len(half.data), half))
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


def story(recording: Recording, found: Found) -> list[str]:
    """What led to a failure, in words: the last events, and the fates of those that were pending."""
    lines = []
    for number, event in enumerate(recording.events[: found.point], 1):
        fate = found.state.choice.get(number)
        if event.kind is Kind.MARK and event.path == "operation":
            continue
        lines.append(str(event) + (f"    <- {_words(fate)}" if fate else ""))
    if found.half is not None:
        lines.append(f"{recording.events[found.point]}    <- killed after {len(found.half)} bytes of it")
    return lines


def _words(fate: tuple[str, int]) -> str:
    from safeh5.testing.states.disk import FATES

    return FATES[fate[0]].replace("`at`", str(fate[1])).replace("`fdatasync`", "fdatasync")
