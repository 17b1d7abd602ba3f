"""The smallest crash that fails as one did: the shortest part of the trace, and the fewest fates."""

from __future__ import annotations

from safeh5.testing.harness.shrinking import SECONDS, Patience, fewest, headline
from safeh5.testing.states.choices import State, states
from safeh5.testing.states.disk import Choice, Disk, Fate
from safeh5.testing.states.explore import FIRST, HALF, Explorer, Found


def simplest(explorer: Explorer, found: Found, seconds: float = SECONDS) -> Found:
    """The same failure, as early in the trace and with as few fates as it takes, or as there is time for.

    What does not matter is kept whole, and what can be is lost whole and not in part.
    """
    found = _earliest(explorer, found, Patience(seconds / 2))
    if found.half is not None:
        return found
    disk = _disk_at(explorer, found.point)
    return _named(explorer, disk, _with_fewest_fates(explorer, disk, found, Patience(seconds / 2)))


def _earliest(explorer: Explorer, found: Found, patience: Patience) -> Found:
    """A crash after fewer effects, by one of the plain families or that of the failure."""
    families, way, seen = FIRST[0] | FIRST[1] | {found.state.family, HALF}, headline(found.what), set[bytes]()
    for point, disk, expected, upcoming in explorer.points():
        if point >= found.point or patience.is_over:
            break
        for half, state, tree in explorer.states(disk, upcoming, 0, families):
            digest = tree.digest + repr(expected).encode()
            if digest in seen:
                continue
            seen.add(digest)
            what = explorer.judge(tree, expected, found.way)
            if what is not None and headline(what) == way:
                return Found(point, half, state, found.way, what, tree, expected)
            if patience.is_over:
                break
    return found


def _disk_at(explorer: Explorer, point: int) -> Disk:
    return next(disk for number, disk, _, _ in explorer.points() if number == point)


def _with_fewest_fates(explorer: Explorer, disk: Disk, found: Found, patience: Patience) -> Found:
    best, way = found, headline(found.what)

    def fails(choice: Choice) -> bool:
        nonlocal best
        tree = disk.build(choice)
        what = explorer.judge(tree, found.expected, found.way)
        if what is None or headline(what) != way:
            return False
        best = best._replace(state=State(found.state.family, choice), tree=tree, what=what)
        return True

    fewest(sorted(found.state.choice.items()), lambda kept: fails(dict(kept)), patience)
    for number, fate in sorted(best.state.choice.items()):
        if fate.what != "lost" and not patience.is_over:
            fails({**best.state.choice, number: Fate("lost")})
    return best


def _named(explorer: Explorer, disk: Disk, found: Found) -> Found:
    """With the name of the family that a crash is an example of, now that it is small."""
    for state in states(disk, 0, explorer.seed):
        if disk.build(state.choice).digest == found.tree.digest:
            return found._replace(state=State(state.family, found.state.choice))
    return found
