"""Every storage call of every workload fails in turn, in every way, once and for ever.

The result is one of our errors, or none where the call could be done without.
Then the process ends where it stands: the target is the old file or the new
one, and a recovery with a disk that works brings all that was acknowledged.
"""

from __future__ import annotations

import gc
import itertools
import logging
import random
import shutil
import traceback
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from safeh5.errors import SafeH5Error
from safeh5.recovery import Action
from safeh5.recovery import replay as replaying
from safeh5.session import signals
from safeh5.testing.crash import Place
from safeh5.testing.faults import Call, FaultyStorage
from safeh5.testing.harness.places import working_directory
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings
from safeh5.testing.harness.watched import Unfinished, watch
from safeh5.testing.modes import fault_kinds, kill_cases, workloads
from safeh5.testing.modes.kill_cases import ACTIONS, CASES, Case, Ground
from safeh5.testing.zygote import Zygote


@dataclass(frozen=True, slots=True)
class Round:
    """One workload, and one way of failing: all its calls in turn."""

    case: int
    kind: str
    for_ever: bool
    first: int = 1


@dataclass(frozen=True, slots=True)
class _Order:
    """What the process is to do: rounds, with what they start from in ``root/case-<i>``."""

    rounds: tuple[Round, ...]
    root: str
    old: dict[int, bytes | None]
    cases: int | None
    seconds: float | None


def run(report: Report, settings: Settings) -> None:
    """All rounds in an order that the seed decides; without a limit, each once."""
    chance = random.Random(settings.seed)
    with working_directory() as root:
        old = _prepare_all(root)
        while not report.is_over():
            run_rounds(report, settings, rounds(chance), root, old)
            if not settings.endless:
                return


def rounds(chance: random.Random) -> list[Round]:
    """Every workload with every way of failing."""
    found = [
        Round(case, kind, for_ever)
        for case in range(len(CASES))
        for kind in fault_kinds.KINDS
        for for_ever in (False, True)
    ]
    chance.shuffle(found)
    return found


def _prepare_all(root: Path) -> dict[int, bytes | None]:
    """What each workload starts from; returns the old files."""
    old = {}
    with Zygote("safeh5.testing.modes.workloads") as zygote:
        for number, case in enumerate(CASES):
            place = kill_cases.prepare(Ground(zygote, root / f"made-{number}"), case)
            shutil.copytree(place.directory, root / f"case-{number}" / "data")
            old[number] = place.old
    return old


def run_rounds(
    report: Report, settings: Settings, left: list[Round], root: Path, old: dict[int, bytes | None]
) -> None:
    """Do these rounds, in a process that is begun anew behind a call that it does not survive."""
    while left and not report.is_over():
        cases = None if settings.cases is None else settings.cases - report.cases
        try:
            watch(
                work,
                _Order(tuple(left), str(root), old, cases, settings.left),
                partial(_note, report),
                enough=report.is_over,
            )
            return
        except Unfinished as problem:
            index, case = problem.doing["index"], problem.doing["case"]
            report.cases += 1
            report.fail(f"{case}: {problem}", case)
            left = [replace(left[index], first=case["nth"] + 1), *left[index + 1 :]]


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
    """Every call of every round."""
    logging.disable(logging.CRITICAL)
    budget = Settings(0, order.seconds, order.cases)
    done = 0
    for index, one in enumerate(order.rounds):
        for nth in itertools.count(one.first):
            if budget.is_over(done):
                break
            done += 1
            if not _tell(order, index, nth, news):
                break
    news.send(("end", {}))


def _tell(order: _Order, index: int, nth: int, news: Connection) -> bool:
    """Try one call and say how it went; returns whether there was such a call."""
    one = order.rounds[index]
    case = {"case": str(CASES[one.case]), "kind": one.kind, "for_ever": one.for_ever, "nth": nth}
    news.send(("begin", {"index": index, "case": case}))
    try:
        outcome = try_call(one, nth, Path(order.root), order.old[one.case])
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        news.send(("fail", {"outcome": "failed", "text": text, "case": case}))
        return True
    if outcome is not None:
        news.send(("done", {"outcome": outcome, "case": case}))
    return outcome is not None


def try_call(one: Round, nth: int, root: Path, old: bytes | None) -> str | None:
    """Fail one call; returns how that ended in a word, None when there is no such call.

    Raises
    ------
    AssertionError
        If anything is not as it should be.
    """
    case = CASES[one.case]
    fault = fault_kinds.fault(one.kind, nth, one.for_ever)
    data = root / "run" / "data"
    shutil.rmtree(root / "run", ignore_errors=True)
    shutil.copytree(root / f"case-{one.case}" / "data", data)
    storage, noted = FaultyStorage(fault), list[str]()
    error = _live(case, storage, data / "run.h5", noted)
    if len(storage.calls) < nth:
        assert error is None, "it fails without a fault"
        return None
    _check_error(error, storage.calls[nth - 1].path, one.kind, data)
    _check_sync(error, storage.calls[nth - 1], one.kind)
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
    [number] = [i for i, known in enumerate(CASES) if str(known) == case["case"]]
    with Zygote("safeh5.testing.modes.workloads") as zygote:
        place = kill_cases.prepare(Ground(zygote, directory / "made"), CASES[number])
    shutil.copytree(place.directory, directory / f"case-{number}" / "data")
    one = Round(number, case["kind"], case["for_ever"])
    try_call(one, case["nth"], directory, place.old)
