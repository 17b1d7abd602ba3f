"""Damaged sessions: bits flip, blocks are lost, files are gone; with bounds on time and memory.

Each damaged session is scanned, classified, planned and judged (`looking`), one
in some is recovered, salvaged (`damage_check`) and shown by the command line.
The cases run in processes of their own (`damage_work`), which have little memory
to waste and are watched: one that hangs or is killed by a signal is a failure
like any other.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safeh5.testing.damage import Damage
from safeh5.testing.harness.corpus import keep
from safeh5.testing.harness.places import working_directory
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings
from safeh5.testing.harness.threads import beside
from safeh5.testing.harness.watched import Unfinished, watch
from safeh5.testing.modes.damage_check import check
from safeh5.testing.modes.damage_patients import place_of
from safeh5.testing.modes.damage_script import CONTENTS, of_script, template_of
from safeh5.testing.modes.damage_work import SLOWEST, Order, work
from safeh5.testing.modes.looking import Whole, look
from safeh5.testing.modes.templates import Template

_FEW = 2000
"""Cases for which a second process is not worth its beginning."""


def run(report: Report, settings: Settings) -> None:
    """Damage sessions until the time or the number of cases is over."""
    with working_directory() as directory:
        templates: tuple[Template, ...] = ()
        if settings.workload is not None:
            templates = of_script(report, settings, directory)
        few = settings.cases is not None and settings.cases < _FEW
        step = 1 if few else settings.processes
        lock, stopped = threading.Lock(), threading.Event()
        stripes = [_Stripe(report, settings, first, step, lock, stopped, templates) for first in range(step)]
        with beside([stripe.run for stripe in stripes], stopped):
            pass


@dataclass
class _Stripe:
    """Every so manieth case, in one process after the other."""

    report: Report
    settings: Settings
    next: int
    step: int
    lock: threading.Lock
    stopped: threading.Event
    templates: tuple[Template, ...]

    def run(self) -> None:
        while not self._is_over():
            with working_directory() as path:
                order = self._order(path)
                facts: list[tuple[dict[str, Any], dict[str, Any]]] = []
                try:
                    watch(work, order, self._listener(facts), enough=self._is_over)
                except Unfinished as problem:
                    self._unfinished(order, facts, problem)
                else:
                    return

    def _order(self, path: Path) -> Order:
        s = self.settings
        return Order(
            s.seed, self.next, self.step, s.cases, s.left, str(path), str(s.corpus),
            exhaustive=s.exhaustive, shrink=s.shrink, templates=self.templates,
        )  # fmt: skip

    def _is_over(self) -> bool:
        return self.stopped.is_set() or self.report.is_over()

    def _listener(self, facts: list[Any]) -> Callable[[str, dict[str, Any]], None]:
        def note(kind: str, news: dict[str, Any]) -> None:
            if kind == "patients":
                facts[:] = news["facts"]
            elif kind == "fail":
                with self.lock:
                    self.report.failed(news["text"], Path(news["kept"]))
            elif kind == "done":
                self._count(news)

        return note

    def _count(self, news: dict[str, Any]) -> None:
        self.next = news["next"]
        with self.lock:
            self.report.cases += news["cases"]
            for words, count in news["counts"].items():
                self.report.count(words, count)
            self.report.at_most(SLOWEST, round(news["slowest"] * 1000))

    def _unfinished(self, order: Order, facts: list[Any], problem: Unfinished) -> None:
        """It hung or died: keep what it was at, and go on behind it."""
        doing = problem.doing
        template, whole = facts[doing["patient"]]
        case = {"mode": "damage", **doing, "template": template, "whole": whole, "text": str(problem)}
        place = place_of(order.root, doing["patient"])
        if self.templates:
            place = self.templates[doing["patient"]].lay_out(place, Path(order.root) / "kept")
        kept = keep(self.settings.corpus, case, place)
        with self.lock:
            self.report.cases += (doing["number"] - self.next) // self.step + 1
            self.report.failed(str(problem), kept)
        self.next = doing["number"] + self.step


def replay(case: dict[str, Any], directory: Path) -> None:
    """Look at the damaged session that was kept, and recover it."""
    template = template_of(case["template"], directory)
    damaged = directory / "files"
    damaged.mkdir()
    for entry in list(directory.iterdir()):
        if entry not in (damaged, directory / CONTENTS):
            shutil.move(entry, damaged)
    damage = Damage.from_dict(case["damage"])
    if "whole" in case:
        look(damaged / template.name, damage, Whole(**case["whole"]), case["changed"])
    check(damaged, directory / "scratch", template, damage)
