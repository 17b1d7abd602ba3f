"""One kill, done by itself; and the smallest one that fails as another did.

Smaller is: no recovery killed, or fewer; a workload with fewer effects; an earlier
effect; before it rather than half way through or after it.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from safeh5.testing.crash import Killed, Place
from safeh5.testing.harness.shrinking import SECONDS, Patience, first, headline
from safeh5.testing.modes.kill_cases import CASES, HOW, Case, Ground, check, check_second, prepare
from safeh5.testing.zygote import Zygote


class OneKill(NamedTuple):
    """A process that is killed at one effect, and the effects at which the recoveries after it are.

    Attributes
    ----------
    case : Case
        What it does.
    how : str
        See `DeadlyStorage`, as `nth` and `part`.
    nth, part : int
        Where.
    second : tuple of int
        At which effect its recovery is killed, and the one after that.
    """

    case: Case
    how: str
    nth: int
    part: int
    second: tuple[int, ...] = ()

    def facts(self) -> dict[str, Any]:
        """What is kept of it."""
        return {**self._asdict(), "case": str(self.case), "second": list(self.second)}

    @classmethod
    def of(cls, kept: dict[str, Any]) -> OneKill:
        """What `facts` gave."""
        [case] = [case for case in CASES if str(case) == kept["case"]]
        second = kept["second"] or []
        return cls(
            case,
            kept["how"],
            kept["nth"],
            kept["part"],
            tuple(second if isinstance(second, list) else [second]),
        )


class Killer:
    """Does one kill after the other.

    Parameters
    ----------
    zygote : Zygote
        Makes the processes.
    directory : Path
        Where there is room for them.
    """

    def __init__(self, zygote: Zygote, directory: Path) -> None:
        self._ground = Ground(zygote, directory)
        self._templates: dict[str, Place] = {}

    def do(self, one: OneKill) -> bool:
        """Kill, recover and look; returns whether there was anything to be killed.

        Raises
        ------
        AssertionError
            Something is not as it was promised.
        """
        place = self._fresh(one.case)
        size = one.case.rebuild_bytes
        killed, noted = place.live(
            one.case.workload, nth=one.nth, how=one.how, part=one.part, rebuild_bytes=size
        )
        death = Killed(one.nth, one.how, one.part, place, noted, killed)
        if one.second:
            check_second(one.case, death, *one.second)
        check(one.case, death)
        return killed

    def attempt(self, one: OneKill) -> str | None:
        """Do it; returns what was wrong, with the traceback."""
        try:
            self.do(one)
        except Exception as error:
            return "".join(traceback.format_exception(error))
        return None

    def effects(self, case: Case) -> int:
        """How many effects a workload has that nobody kills."""
        _, noted = self._fresh(case).live(case.workload, rebuild_bytes=case.rebuild_bytes)
        return int(noted[-1].removeprefix("effects "))

    def _fresh(self, case: Case) -> Place:
        template = self._templates.get(str(case))
        if template is None:
            template = self._templates[str(case)] = prepare(self._ground, case)
        return template.copy("small")


def smallest(killer: Killer, one: OneKill, what: str, seconds: float = SECONDS) -> tuple[OneKill, str]:
    """The smallest kill that fails in the same way, as far as it is found in time, and what it says."""
    way = headline(what)

    def better(candidates: Iterator[OneKill], share: float) -> None:
        nonlocal one, what
        found = first(candidates, killer.attempt, way, Patience(seconds * share))
        if found is not None:
            one, what = found

    better((one._replace(second=one.second[:count]) for count in range(len(one.second))), 0.2)
    better(_shorter(killer, one), 0.4)
    better(_earlier(one), 0.4)
    return one, what


def _shorter(killer: Killer, one: OneKill) -> Iterator[OneKill]:
    """Workloads of fewer effects, the shortest first; killed in the same manner, everywhere."""
    counts = {case: killer.effects(case) for case in CASES if case.recovery == one.case.recovery}
    for case in sorted(counts, key=lambda case: counts[case]):
        if counts[case] >= counts.get(one.case, 1 << 30):
            return
        for nth in range(1, counts[case] + 1):
            yield one._replace(case=case, nth=nth)


def _earlier(one: OneKill) -> Iterator[OneKill]:
    for nth in range(1, one.nth + 1):
        for how in HOW:
            if (nth, HOW.index(how)) < (one.nth, HOW.index(one.how)):
                yield one._replace(nth=nth, how=how)


def again(kept: dict[str, Any], directory: Path, workloads: str) -> None:
    """A kept kill again.

    Raises
    ------
    AssertionError
        It still fails.
    """
    with Zygote(workloads) as zygote:
        Killer(zygote, directory).do(OneKill.of(kept))
