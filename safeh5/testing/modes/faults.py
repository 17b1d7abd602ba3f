"""Every storage call of every workload fails in turn, in every way, once and for ever.

The result is one of our errors, or none where the call could be done without.
Then the process ends where it stands: the target is the old file or the new
one, and a recovery with a disk that works brings all that was acknowledged.
"""

from __future__ import annotations

import gc
import logging
import random
import shutil
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from safeh5.errors import SafeH5Error
from safeh5.recovery import Action
from safeh5.recovery import replay as replaying
from safeh5.session import signals
from safeh5.testing.crash import Place
from safeh5.testing.faults import Call, FaultyStorage
from safeh5.testing.harness.places import working_directory
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings
from safeh5.testing.harness.shrinking import Patience, first, headline
from safeh5.testing.harness.watched import Unfinished, watch
from safeh5.testing.modes import fault_kinds, kill_cases, workloads
from safeh5.testing.modes.kill_cases import ACTIONS, CASES, Case, Ground
from safeh5.testing.modes.script_faults import replay_script, run_script
from safeh5.testing.zygote import Zygote

TAKES_NAMES = True

SHORT = 5
"""How many of the workloads, the shortest, are gone through whole when everything is asked for."""


class Try(NamedTuple):
    """One call of one workload that fails."""

    case: int
    kind: str
    for_ever: bool
    nth: int

    def facts(self) -> dict[str, Any]:
        """What is kept of it."""
        return {**self._asdict(), "case": str(CASES[self.case])}


@dataclass(frozen=True, slots=True)
class _Order:
    """What the process is to do: these, with what they start from in ``root/case-<i>``."""

    tries: tuple[Try, ...]
    root: str
    old: dict[int, bytes | None]
    cases: int | None
    seconds: float | None
    counts: dict[int, int]
    shrink: bool


def run(report: Report, settings: Settings) -> None:
    """Every call with every fault, in an order that the seed decides; of the short workloads if so asked."""
    if settings.workload is not None:
        run_script(report, settings)
        return
    with working_directory() as root:
        names = settings.chosen(map(str, CASES))
        old = {n: base for n, base in _prepare_all(root).items() if str(CASES[n]) in names}
        counts = {number: _count_calls(number, root, old) for number in old}
        chosen = sorted(counts, key=lambda number: counts[number])
        tries = every_try({n: counts[n] for n in chosen[: SHORT if settings.exhaustive else None]})
        random.Random(settings.seed).shuffle(tries)
        report.count("calls that can fail", sum(counts[n] for n in {one.case for one in tries}))
        order = _Order(tuple(tries), str(root), old, settings.cases, settings.left, counts, settings.shrink)
        _run_tries(report, settings, order)


def every_try(counts: dict[int, int]) -> list[Try]:
    """Every call of these workloads with every way of failing."""
    return [
        Try(case, kind, for_ever, nth)
        for case, count in counts.items()
        for kind in fault_kinds.KINDS
        for for_ever in (False, True)
        for nth in range(1, count + 1)
    ]


def _count_calls(number: int, root: Path, old: dict[int, bytes | None]) -> int:
    """How many calls a workload makes when nothing fails."""
    storage = FaultyStorage()
    error = _live(CASES[number], storage, _begin(number, root) / "run.h5", [])
    assert error is None, error
    return len(storage.calls)


def _begin(number: int, root: Path) -> Path:
    """The directory as the workload finds it."""
    data = root / "run" / "data"
    shutil.rmtree(root / "run", ignore_errors=True)
    shutil.copytree(root / f"case-{number}" / "data", data)
    return data


def _prepare_all(root: Path) -> dict[int, bytes | None]:
    """What each workload starts from; returns the old files."""
    old = {}
    with Zygote("safeh5.testing.modes.workloads") as zygote:
        for number, case in enumerate(CASES):
            place = kill_cases.prepare(Ground(zygote, root / f"made-{number}"), case)
            shutil.copytree(place.directory, root / f"case-{number}" / "data")
            old[number] = place.old
    return old


def _run_tries(report: Report, settings: Settings, order: _Order) -> None:
    """Do these, in a process that is begun anew behind a call that it does not survive."""
    left = order.tries
    while left and not report.is_over():
        cases = None if settings.cases is None else settings.cases - report.cases
        order = replace(order, tries=left, cases=cases, seconds=settings.left)
        try:
            watch(work, order, partial(_note, report), enough=report.is_over)
            return
        except Unfinished as problem:
            report.cases += 1
            report.fail(f"{problem.doing['case']}: {problem}", problem.doing["case"])
            left = left[problem.doing["index"] + 1 :]


def _note(report: Report, kind: str, news: dict[str, Any]) -> None:
    if kind == "begin":
        return
    report.cases += 1
    report.count(f"{news['case']['kind']}, {'for ever' if news['case']['for_ever'] else 'once'}")
    report.count(f"outcome: {news['outcome']}")
    if kind == "fail":
        report.fail(news["text"], news["case"])


# --- the process --------------------------------------------------------------------------


def work(order: _Order, news: Connection) -> None:
    """One try after the other."""
    logging.disable(logging.CRITICAL)
    budget, known = Settings(0, order.seconds, order.cases), set[str]()
    for index, one in enumerate(order.tries):
        if budget.is_over(index):
            break
        _tell(news, index, one)
        try:
            outcome = attempt(one, Path(order.root), order.old[one.case])
        except Exception as error:
            text = "".join(traceback.format_exception(error))
            if order.shrink and headline(text) not in known:
                known.add(headline(text))
                one, text = _smallest(order, one, text, partial(_tell, news, index))
            news.send(("fail", {"outcome": "failed", "text": text, "case": one.facts()}))
        else:
            news.send(("done", {"outcome": outcome, "case": one.facts()}))
    news.send(("end", {}))


def _tell(news: Connection, index: int, one: Try) -> None:
    """What is done from here on, smaller cases too: it may not be survived."""
    news.send(("begin", {"index": index, "case": one.facts()}))


def _smallest(order: _Order, one: Try, what: str, tell: Callable[[Try], None]) -> tuple[Try, str]:
    """Once and not for ever, in the shortest workload, at the first call that fails in the same way."""

    def fails(other: Try) -> str | None:
        tell(other)
        try:
            attempt(other, Path(order.root), order.old[other.case])
        except Exception as error:
            return "".join(traceback.format_exception(error))
        return None

    way = headline(what)
    once = [one._replace(for_ever=False)] if one.for_ever else []
    one, what = first(once, fails, way, Patience()) or (one, what)
    return first(_smaller(order.counts, one), fails, way, Patience()) or (one, what)


def _smaller(counts: dict[int, int], one: Try) -> Iterator[Try]:
    """The same fault elsewhere: the shortest workload first, and of each the first call."""
    for case in sorted(counts, key=lambda case: (counts[case], case)):
        if case == one.case:
            yield from (one._replace(nth=nth) for nth in range(1, one.nth))
            return
        yield from (one._replace(case=case, nth=nth) for nth in range(1, counts[case] + 1))


def attempt(one: Try, root: Path, old: bytes | None) -> str:
    """Fail one call; returns how that ended in a word.

    Raises
    ------
    AssertionError
        If anything is not as it should be.
    """
    case, data = CASES[one.case], _begin(one.case, root)
    storage, noted = FaultyStorage(fault_kinds.fault(one.kind, one.nth, one.for_ever)), list[str]()
    error = _live(case, storage, data / "run.h5", noted)
    if len(storage.calls) < one.nth:
        assert error is None, "it fails without a fault"
        return "no such call"
    call = storage.calls[one.nth - 1]
    _check_error(error, call.path, one.kind, data)
    _check_sync(error, call, one.kind)
    _recover(case, root, old, noted)
    if error is None:
        assert "committed" in noted or case.before or ACTIONS[case.recovery] is Action.ROLLBACK
    return "none" if error is None else type(error).__name__


def _live(case: Case, storage: FaultyStorage, target: Path, noted: list[str]) -> BaseException | None:
    """The workload in this process; returns what it raised. What it left open is let go of."""
    usual = replaying.REBUILD_BYTES
    try:
        replaying.REBUILD_BYTES = case.rebuild_bytes  # type: ignore[misc]
        workloads.WORKLOADS[case.workload](str(target), storage, noted.append)
    except (Exception, MemoryError) as error:
        words = "".join(traceback.format_exception(error))
        error.with_traceback(None).__context__ = None
        error.add_note(words)
        return error
    finally:
        replaying.REBUILD_BYTES = usual  # type: ignore[misc]
        _freeze(target.parent)
        storage.mend()
        _end_sessions()
    return None


def _freeze(directory: Path) -> None:
    """Keep what the next process would find, before this one tidies up."""
    shutil.rmtree(directory.parent / "left", ignore_errors=True)
    shutil.copytree(directory, directory.parent / "left" / "data", ignore=shutil.ignore_patterns("*.lock"))


def _end_sessions() -> None:
    for session in list(signals._open):
        with suppress(Exception):
            session.rollback()  # type: ignore[attr-defined]
    gc.collect()


def _check_error(error: BaseException | None, path: str, kind: str, directory: Path) -> None:
    if error is None or (kind == "MemoryError" and isinstance(error, MemoryError)):
        return
    where = f"at {path}: {error!r}\n" + "\n".join(getattr(error, "__notes__", ()))
    assert isinstance(error, SafeH5Error), f"not one of our errors, {where}"
    words = str(error)
    assert str(directory) in words, f"the error does not say where, {where}"


def _check_sync(error: BaseException | None, call: Call, kind: str) -> None:
    """A failed fsync of what makes data durable is never passed over, nor tried again until it works."""
    of_journal = call.effect == "sync" and "/journal-" in call.path
    assert error is not None or not of_journal, f"fsync of {call.path} failed with {kind}, and all was well"


def _recover(case: Case, root: Path, old: bytes | None, noted: list[str]) -> None:
    place = Place(None, root / "run" / "left", old)  # type: ignore[arg-type]
    kill_cases.check_target_after_death(case, place, noted)
    kill_cases.settle(case, place)
    kill_cases.check_after_recovery(case, place, noted)


def replay(case: dict[str, Any], directory: Path) -> None:
    """Fail that call again."""
    if "command" in case:
        replay_script(case, directory)
        return
    [number] = [i for i, known in enumerate(CASES) if str(known) == case["case"]]
    with Zygote("safeh5.testing.modes.workloads") as zygote:
        place = kill_cases.prepare(Ground(zygote, directory / "made"), CASES[number])
    shutil.copytree(place.directory, directory / f"case-{number}" / "data")
    attempt(Try(number, case["kind"], case["for_ever"], case["nth"]), directory, place.old)
