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
import zlib
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from safeh5.recovery import RecoveryReport
from safeh5.testing.damage import Damage, Kind, NoEffectError, copy_of, random_damage
from safeh5.testing.damaged import check_damaged, may_be_lost_in_silence
from safeh5.testing.harness.corpus import keep
from safeh5.testing.harness.places import working_directory
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings
from safeh5.testing.harness.watched import Unfinished, bound_memory, watch
from safeh5.testing.modes import exhaustive
from safeh5.testing.modes.command_line import check_command_line
from safeh5.testing.modes.templates import Template, make_templates
from safeh5.testing.world import batches, held

SHOWN = 15
"""Of so many damaged sessions one is shown by the command line."""


@dataclass(frozen=True, slots=True)
class _Order:
    """What the process is to do."""

    seed: int
    first: int
    cases: int | None
    seconds: float | None
    root: str
    corpus: str
    exhaustive: bool = False


def run(report: Report, settings: Settings) -> None:
    """Damage sessions until the time or the number of cases is over."""
    while not report.is_over():
        more = None if settings.cases is None else settings.cases - report.cases
        with working_directory() as path:
            order = _Order(
                settings.seed,
                report.cases,
                more,
                settings.left,
                str(path),
                str(settings.corpus),
                settings.exhaustive,
            )
            try:
                watch(work, order, partial(_note, report), enough=report.is_over)
            except Unfinished as problem:
                report.cases += 1
                facts = {**problem.doing, "text": str(problem)}
                report.failed(str(problem), _keep(order, facts))
            else:
                if settings.exhaustive:
                    return


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
    if order.exhaustive:
        _exhaust(order, templates, news)
        return
    until = None if order.seconds is None else time.monotonic() + order.seconds
    number = order.first
    while (until is None or time.monotonic() < until) and (
        order.cases is None or number < order.first + order.cases
    ):
        _case(order, templates, number, news)
        number += 1
    news.send(("end", {}))


def _exhaust(order: _Order, templates: list[Template], news: Connection) -> None:
    """Every bit and every length of the journals that are small and whole."""
    number, budget = 0, Settings(order.seed, order.seconds, order.cases)
    for template in (templates[0], templates[2]):
        damaged = copy_of(template.directory, Path(order.root) / "damaged") / "run.h5.safeh5"
        whole = exhaustive.read(damaged)
        for damage in exhaustive.every_damage(damaged):
            number += 1
            if number <= order.first:
                continue
            if budget.is_over(number - order.first - 1):
                break
            before = (damaged / damage.file).read_bytes()
            damage.apply(damaged)
            facts = {"number": number, "damage": damage.to_dict(), "template": template.facts()}
            _say(order, {**facts, "whole": whole}, template, damage, news)
            (damaged / damage.file).write_bytes(before)
    news.send(("end", {}))


def _look(order: _Order, facts: dict[str, Any], template: Template, damage: Damage) -> tuple[str, float]:
    """A scan for each, a recovery for some."""
    started, damaged = time.monotonic(), Path(order.root) / "damaged"
    word = exhaustive.look(damaged / "run.h5.safeh5", damage, facts["whole"], template.last_segment)
    if facts["number"] % exhaustive.FULL == 0:
        _check(damaged, Path(order.root) / "work", template, damage)
    return f"{damage.kind}: {word}", time.monotonic() - started


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
    _say(order, facts, template, damage, news)


def _say(order: _Order, facts: dict[str, Any], template: Template, damage: Damage, news: Connection) -> None:
    """Look at what is in ``damaged``, and tell of it."""
    news.send(("begin", facts))
    root = Path(order.root)
    try:
        if "whole" in facts:
            outcome, seconds = _look(order, facts, template, damage)
        else:
            outcome, seconds = _check(root / "damaged", root / "work", template, damage)
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        news.send(("fail", {"text": text, "kept": str(_keep(order, {**facts, "text": text}))}))
    else:
        news.send(("done", {"outcome": outcome, "seconds": seconds}))


def _check(damaged: Path, scratch: Path, template: Template, damage: Damage) -> tuple[str, float]:
    """What must be true of `template` after `damage`; the outcome in a word, and the time it took."""
    target = copy_of(damaged, scratch / "replay") / "run.h5"
    if zlib.crc32(repr(damage).encode()) % SHOWN == 0:
        check_command_line(target)
    silent = may_be_lost_in_silence(damage, template.last_segment)
    # A journal that was pruned builds on the staging file, which has no checksums: decision 0012.
    unchecked = template.pruned and damage.file == "staging.h5"

    def replayed(target: Path, report: RecoveryReport) -> None:
        if unchecked:
            return
        found = _held(target)
        assert found in template.prefixes(), f"not a prefix: {sorted(found)}"
        said = report.torn or report.unfinished
        # One bit is no torn end: what was acknowledged stands before a mark that vouches for it.
        assert not (said and damage.kind is Kind.FLIP) or found == template.all(), f"called torn: {report}"
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
    damage = Damage.from_dict(case["damage"])
    if "whole" in case:
        exhaustive.look(damaged / "run.h5.safeh5", damage, case["whole"], template.last_segment)
    _check(damaged, directory / "scratch", template, damage)
