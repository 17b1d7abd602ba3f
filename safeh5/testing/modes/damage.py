"""Damaged sessions: generated damage on small journals, with bounds on time and memory.

The cases run in a process of their own, which has little memory to waste and
is watched: one that hangs or is killed by a signal is a failure like any other.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import random
import resource
import shutil
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from safeh5.recovery import RecoveryReport
from safeh5.testing.damage import Damage, NoEffectError, copy_of, random_damage
from safeh5.testing.damaged import check_damaged, may_be_lost_in_silence
from safeh5.testing.harness.corpus import keep
from safeh5.testing.harness.places import working_directory
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings
from safeh5.testing.modes.templates import Template, make_templates
from safeh5.testing.world import batches, held

MEMORY = 1 << 30
"""Bytes of address space that the process may add to what it has when the cases begin."""

PATIENCE = 30.0
"""Seconds without news after which the process hangs."""


@dataclass(frozen=True, slots=True)
class _Order:
    """What the process is to do."""

    seed: int
    first: int
    cases: int | None
    seconds: float | None
    root: str
    corpus: str


def run(report: Report, settings: Settings) -> None:
    """Damage sessions until the time or the number of cases is over."""
    while not report.is_over():
        more = None if settings.cases is None else settings.cases - report.cases
        with working_directory() as path:
            order = _Order(settings.seed, report.cases, more, settings.left, str(path), str(settings.corpus))
            if _watch(report, order):
                return


def _watch(report: Report, order: _Order) -> bool:
    """Run a process; returns whether it did all it was told to."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(order, theirs))
    process.start()
    theirs.close()
    doing: dict[str, Any] = {}
    try:
        while ours.poll(PATIENCE):
            kind, news = ours.recv()
            if kind == "end":
                return True
            _note(report, kind, news)
            doing = news if kind == "begin" else {}
        problem = f"nothing was heard for {PATIENCE} s"
    except EOFError:
        process.join()
        problem = f"the process ended with {process.exitcode}"
    finally:
        process.kill()
        process.join()
    if not doing:
        raise AssertionError(f"before the first case: {problem}")
    report.cases += 1
    report.failed(problem, _keep(order, {**doing, "text": problem}))
    return False


def _note(report: Report, kind: str, news: dict[str, Any]) -> None:
    if kind == "done":
        report.cases += 1
        report.count(news["outcome"])
        report.at_most("slowest ms", round(news["seconds"] * 1000))
    elif kind == "fail":
        report.cases += 1
        report.failed(news["text"], Path(news["kept"]))


def _keep(order: _Order, case: dict[str, Any]) -> Path:
    return keep(Path(order.corpus), {"mode": "damage", **case}, Path(order.root, "damaged"))


# --- the process --------------------------------------------------------------------------


def work(order: _Order, news: Connection) -> None:
    """Cases, one after the other; what is being done is in ``damaged``, not to be changed."""
    logging.disable(logging.CRITICAL)
    root = Path(order.root)
    templates = make_templates(root / "templates")
    _bound_memory()
    until = None if order.seconds is None else time.monotonic() + order.seconds
    number = order.first
    while (until is None or time.monotonic() < until) and (
        order.cases is None or number < order.first + order.cases
    ):
        _case(order, templates, number, news)
        number += 1
    news.send(("end", {}))


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if os.path.exists("/proc/self/statm") else 0
    if pages:
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _case(order: _Order, templates: list[Template], number: int, news: Connection) -> None:
    chance, root = random.Random(f"{order.seed} {number}"), Path(order.root)
    template = chance.choice(templates)
    copy_of(template.directory, root / "damaged")
    sidecar = root / "damaged" / "run.h5.safeh5"
    while True:
        damage = random_damage(chance, sidecar, template.others, "journal-")
        with contextlib.suppress(NoEffectError):
            damage.apply(sidecar, template.others)
            break
    facts = {"number": number, "damage": damage.to_dict(), "template": template.facts()}
    news.send(("begin", facts))
    try:
        outcome, seconds = _check(root / "damaged", root / "work", template, damage)
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        news.send(("fail", {"text": text, "kept": str(_keep(order, {**facts, "text": text}))}))
    else:
        news.send(("done", {"outcome": outcome, "seconds": seconds}))


def _check(damaged: Path, scratch: Path, template: Template, damage: Damage) -> tuple[str, float]:
    """What must be true of `template` after `damage`; the outcome in a word, and the time it took."""
    target = copy_of(damaged, scratch / "replay") / "run.h5"
    silent = may_be_lost_in_silence(damage, template.last_segment)
    # A journal that was pruned builds on the staging file, which has no checksums: decision 0012.
    unchecked = template.pruned and damage.file == "staging.h5"

    def replayed(target: Path, report: RecoveryReport) -> None:
        if unchecked:
            return
        found = _held(target)
        assert found in template.prefixes(), f"not a prefix: {sorted(found)}"
        said = report.torn or report.unfinished or report.damage or report.losses
        assert found == template.all() or said or silent, f"lost without a word: {template.all() - found}"

    def salvaged(target: Path, report: RecoveryReport) -> None:
        if unchecked:
            return
        found = _held(target)
        assert found <= template.all(), f"made up: {found - template.all()}"
        said = report.torn or report.unfinished or report.damage or report.losses
        assert found == template.all() or said or silent, f"lost without a word: {template.all() - found}"

    outcome = check_damaged(target, damage, scratch / "salvage", replayed=replayed, salvaged=salvaged)
    words = f"{outcome.condition}: replay {outcome.replay}, salvage {outcome.salvage}"
    return words, outcome.seconds


def _held(target: Path) -> set[str]:
    return held(target) if target.exists() else batches()


def replay(case: dict[str, Any], directory: Path) -> None:
    """Recover the damaged session that was kept."""
    template = Template.of(case["template"], directory)
    damaged = directory / "files"
    damaged.mkdir()
    for entry in list(directory.iterdir()):
        if entry != damaged:
            shutil.move(entry, damaged)
    _check(damaged, directory / "scratch", template, Damage.from_dict(case["damage"]))
