"""The smallest damage that fails as another did.

Smaller is: to the smallest session; to fewer bytes of it, one bit if that is
enough; nearer to the beginning, or, where the end of a file is lost, less of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from safeh5.testing.damage import OF_WHOLE_FILES, Damage, Kind
from safeh5.testing.harness.shrinking import SECONDS, Patience, first, headline
from safeh5.testing.modes.damage_patients import Patient

Fails = Callable[[int, Damage, bool], str | None]
"""Does a damage to a session, by its number, recovers it for real if so told; returns what was wrong."""

_STEP = 8
"""What is looked for in another session is tried at every so manieth byte; frames are aligned so."""

Pair = tuple[int, Damage]


def smallest(
    patients: list[Patient], index: int, damage: Damage, what: str, fails: Fails, seconds: float = SECONDS
) -> tuple[int, Damage, str]:
    """The smallest damage that fails in the same way, as far as it is found in time.

    Returns the number of the session, the damage, and what is wrong then.
    """
    way = headline(what)
    full = fails(index, damage, False) is None  # else a look tells, which is quick

    def better(candidates: Iterator[Pair], share: float) -> None:
        nonlocal index, damage, what
        found = first(candidates, lambda pair: fails(*pair, full), way, Patience(seconds * share))
        if found is not None:
            (index, damage), what = found

    better(_in_smaller_sessions(patients, index, damage), 0.3)
    size = patients[index].sizes[damage.file]
    better(((index, less) for less in _smaller(damage, size)), 0.4)
    better(((index, earlier) for earlier in _earlier(damage)), 0.3)
    return index, damage, what


def _weight(patient: Patient) -> int:
    return sum(size for name, size in patient.sizes.items() if name.startswith("journal-"))


def _in_smaller_sessions(patients: list[Patient], index: int, damage: Damage) -> Iterator[Pair]:
    """The same kind of damage at every place of the sessions with a smaller journal."""
    for number in sorted(range(len(patients)), key=lambda number: _weight(patients[number])):
        if _weight(patients[number]) >= _weight(patients[index]):
            return
        for file, size in sorted(patients[number].sizes.items()):
            if file.partition("-")[0] != damage.file.partition("-")[0]:
                continue
            whole = damage.kind in OF_WHOLE_FILES or damage.kind is Kind.EXTEND
            for offset in (0,) if whole else range(0, size, _STEP):
                yield number, replace(damage, file=file, offset=offset)


def _smaller(damage: Damage, size: int) -> Iterator[Damage]:
    """Less of the same file: one bit, fewer bytes, a later end."""
    match damage.kind:
        case Kind.FLIP | Kind.MISSING | Kind.RENAMED | Kind.STALE:
            return
        case Kind.TRUNCATE | Kind.EMPTY:
            start = damage.offset if damage.kind is Kind.TRUNCATE else -1
            yield from (replace(damage, kind=Kind.TRUNCATE, offset=at) for at in range(size - 1, start, -1))
        case Kind.EXTEND:
            yield from (replace(damage, length=length) for length in _lengths(damage.length))
        case _:
            hit = range(damage.offset, min(damage.offset + damage.length, size))
            yield from (Damage(Kind.FLIP, damage.file, offset=at) for at in hit)
            for length in _lengths(damage.length):
                for at in range(0, damage.length, length):
                    yield replace(damage, offset=damage.offset + at, second=damage.second + at, length=length)


def _lengths(length: int) -> Iterator[int]:
    less = 1
    while less < length:
        yield less
        less *= 2


def _earlier(damage: Damage) -> Iterator[Damage]:
    """The same nearer to the beginning, where it does not take more of the file for that."""
    if damage.kind in (*OF_WHOLE_FILES, Kind.TRUNCATE, Kind.EXTEND):
        return
    yield from (replace(damage, offset=at) for at in range(damage.offset))
