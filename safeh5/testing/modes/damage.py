"""Damaged sessions: generated damage on small journals, with bounds on time and memory.

The cases run in a process of their own, which has little memory to waste and
is watched: one that hangs or is killed by a signal is a failure like any other.
"""

from __future__ import annotations

import contextlib
import logging
import random
import shutil
import time
import traceback
from dataclasses import dataclass
from functools import partial
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
from safeh5.testing.harness.watched import Unfinished, bound_memory, watch
from safeh5.testing.modes.templates import Template, make_templates
from safeh5.testing.world import batches, held


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
            try:
                watch(work, order, partial(_note, report), enough=report.is_over)
            except Unfinished as problem:
                report.cases += 1
                facts = {**problem.doing, "text": str(problem)}
                report.failed(str(problem), _keep(order, facts))


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
    bound_memory()
    until = None if order.seconds is None else time.monotonic() + order.seconds
    number = order.first
    while (until is None or time.monotonic() < until) and (
        order.cases is None or number < order.first + order.cases
    ):
        _case(order, templates, number, news)
        number += 1
    news.send(("end", {}))


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
