"""The process that damages sessions, one after the other, with little memory to waste.

It tells what it begins before it begins, so that a case that hangs or kills it
can be kept; and how cases ended some at a time, so that a million of them do
not spend their time on telling.
"""

from __future__ import annotations

import contextlib
import logging
import random
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from safeh5.testing.damage import (
    Damage,
    Kind,
    NoEffectError,
    copy_of,
    draw_damage,
    files_of,
    whole_damages,
)
from safeh5.testing.harness.corpus import keep
from safeh5.testing.harness.watched import bound_memory
from safeh5.testing.modes import exhaustive
from safeh5.testing.modes.damage_check import COMMAND_LINE, check, is_shown
from safeh5.testing.modes.looking import Whole, first_change, look
from safeh5.testing.modes.templates import Template, make_templates

FULL = 20
"""Of so many damaged sessions one is recovered and salvaged for real."""

WHOLE = 5
"""Of so many damages at random one hits a whole file, as long as there are any left."""

RECOVERED = "recovered and salvaged for real"
SLOWEST = "slowest ms"

_TOLD = 0.5
"""Seconds after which the outcomes are told."""

_HANGS = 5.0
"""Seconds that a look at a small journal may take."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is to do: the cases `first`, `first` + `step`, ... of a seed.

    Attributes
    ----------
    seed, first, step : int
        Which cases.
    end : int or None
        The number of the case before which it stops.
    seconds : float or None
        When it stops.
    root, corpus : str
        Where it works, and where failures are kept.
    exhaustive : bool
        Every bit and every length of small journals, instead of some of all there is.
    """

    seed: int
    first: int
    step: int
    end: int | None
    seconds: float | None
    root: str
    corpus: str
    exhaustive: bool = False


@dataclass
class Patient:
    """A copy of a template that is damaged, looked at, and mended.

    Attributes
    ----------
    template : Template
        What it is a copy of.
    place : Path
        Where it is.
    whole : Whole
        What its journal holds when it is not damaged.
    sizes : dict
        Its files.
    """

    template: Template
    place: Path
    whole: Whole
    sizes: dict[str, int]
    was: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, template: Template, place: Path) -> Patient:
        """A fresh copy."""
        sidecar = copy_of(template.directory, place) / "run.h5.safeh5"
        return cls(template, place, Whole.of(sidecar), files_of(sidecar))

    @property
    def sidecar(self) -> Path:
        """Where the damage is done."""
        return self.place / "run.h5.safeh5"

    def hurt(self, damage: Damage) -> int | None:
        """Damage it; returns the offset of the first byte that is another, None if the file is gone."""
        damage.apply(self.sidecar, self.template.others)
        if damage.kind in (Kind.MISSING, Kind.RENAMED):
            return None
        before = self.was.get(damage.file)
        if before is None:
            before = (self.template.directory / "run.h5.safeh5" / damage.file).read_bytes()
            self.was[damage.file] = before
        return first_change(before, (self.sidecar / damage.file).read_bytes())

    def mend(self, damage: Damage) -> None:
        """As it was, times of the file included: a commit knows its file by them too."""
        if damage.kind is Kind.RENAMED:
            for path in self.sidecar.iterdir():
                if path.name not in self.sizes:
                    path.unlink()
        whole = self.template.directory / "run.h5.safeh5" / damage.file
        shutil.copy2(whole, self.sidecar / damage.file)

    def facts(self, damage: Damage, changed: int | None) -> dict[str, Any]:
        """What is needed to judge it again."""
        return {
            "damage": damage.to_dict(),
            "changed": changed,
            "template": self.template.facts(),
            "whole": self.whole.to_dict(),
        }


def place_of(root: str, index: int) -> Path:
    """Where the copy of a template is that gets damaged."""
    return Path(root) / f"damaged-{index}"


def work(order: Order, news: Connection) -> None:
    """Cases, one after the other."""
    logging.disable(logging.CRITICAL)
    root = Path(order.root)
    templates = make_templates(root / "templates")
    if order.exhaustive:
        templates = [templates[0], templates[2]]
    patients = [Patient.of(template, place_of(order.root, i)) for i, template in enumerate(templates)]
    news.send(("patients", {"facts": [(p.template.facts(), p.whole.to_dict()) for p in patients]}))
    bound_memory()
    teller = _Teller(order, news)
    for number, index, damage in (_every if order.exhaustive else _some)(order, patients):
        if teller.is_over(number):
            break
        _case(order, teller, patients[index], number, index, damage)
    teller.tell()
    news.send(("end", {}))


def _every(order: Order, patients: list[Patient]) -> Iterator[tuple[int, int, Damage]]:
    """Every bit and every length of the journals that are small and whole."""
    number = 0
    for index, patient in enumerate(patients):
        for damage in exhaustive.every_damage(patient.sidecar):
            if number >= order.first and (number - order.first) % order.step == 0:
                yield number, index, damage
            number += 1


def _some(order: Order, patients: list[Patient]) -> Iterator[tuple[int, int, Damage | None]]:
    """Damage at random; every fifth is what may happen to a whole file, until all of that was done."""
    wholes = [
        (index, damage)
        for index, patient in enumerate(patients)
        for damage in whole_damages(patient.sizes, len(patient.template.others))
    ]
    random.Random(order.seed).shuffle(wholes)
    number = order.first
    while True:
        turn, rest = divmod(number, WHOLE)
        if rest == 0 and turn < len(wholes):
            yield number, *wholes[turn]
        else:
            yield number, random.Random(f"{order.seed} {number}").randrange(len(patients)), None
        number += order.step


class _Teller:
    """Tells how cases ended, some at a time."""

    def __init__(self, order: Order, news: Connection) -> None:
        self.order = order
        self.news = news
        self.until = None if order.seconds is None else time.monotonic() + order.seconds
        self.told = time.monotonic()
        self.counts: Counter[str] = Counter()
        self.cases, self.slowest, self.next = 0, 0.0, order.first

    def is_over(self, number: int) -> bool:
        late = self.until is not None and time.monotonic() >= self.until
        return late or (self.order.end is not None and number >= self.order.end)

    def took(self, number: int, words: str, seconds: float) -> None:
        self.counts[words] += 1
        self.slowest = max(self.slowest, seconds)
        self.ended(number)

    def ended(self, number: int) -> None:
        self.cases += 1
        self.next = number + self.order.step
        if time.monotonic() - self.told > _TOLD:
            self.tell()

    def tell(self) -> None:
        fields = {"cases": self.cases, "counts": dict(self.counts), "slowest": self.slowest}
        self.news.send(("done", {**fields, "next": self.next}))
        self.cases, self.told = 0, time.monotonic()
        self.counts.clear()


def _case(
    order: Order, teller: _Teller, patient: Patient, number: int, index: int, damage: Damage | None
) -> None:
    is_whole = damage is not None and not order.exhaustive
    damage, changed = _hurt(order, patient, number, damage)
    doing = {"number": number, "patient": index, "damage": damage.to_dict(), "changed": changed}
    teller.news.send(("begin", doing))
    started = time.monotonic()
    try:
        words = f"{damage.kind}: {look(patient.place / 'run.h5', damage, patient.whole, changed)}"
        seconds = time.monotonic() - started
        assert seconds < _HANGS, f"it took {seconds} s"
        full = exhaustive.FULL if order.exhaustive else FULL
        if number % full == 0 or is_whole:
            _, took = check(patient.place, Path(order.root) / "work", patient.template, damage)
            seconds = max(seconds, took)
            teller.counts[RECOVERED] += 1
            teller.counts[COMMAND_LINE] += is_shown(damage)
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        case = {"mode": "damage", "number": number, **patient.facts(damage, changed), "text": text}
        kept = keep(Path(order.corpus), case, patient.place)
        teller.ended(number)
        teller.tell()
        teller.news.send(("fail", {"text": text, "kept": str(kept)}))
    else:
        teller.took(number, words, seconds)
    patient.mend(damage)


def _hurt(order: Order, patient: Patient, number: int, damage: Damage | None) -> tuple[Damage, int | None]:
    """Do this damage, or else some that has an effect."""
    if damage is not None:
        with contextlib.suppress(NoEffectError):
            return damage, patient.hurt(damage)
    chance, others = random.Random(f"{order.seed} {number} damage"), len(patient.template.others)
    while True:
        drawn = draw_damage(chance, patient.sizes, others, "journal-")
        with contextlib.suppress(NoEffectError):
            return drawn, patient.hurt(drawn)
