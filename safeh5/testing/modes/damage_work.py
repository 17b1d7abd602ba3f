"""The process that damages sessions, one after the other, with little memory to waste.

It tells what it begins before it begins, so that a case that hangs or kills it
can be kept; and how cases ended some at a time, so that a million of them do
not spend their time on telling.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from safeh5.testing.damage import Damage, NoEffectError, draw_damage, whole_damages
from safeh5.testing.harness.corpus import keep
from safeh5.testing.harness.shrinking import headline
from safeh5.testing.harness.watched import bound_memory
from safeh5.testing.modes import exhaustive
from safeh5.testing.modes.damage_check import COMMAND_LINE, check, is_shown
from safeh5.testing.modes.damage_patients import Patient, place_of
from safeh5.testing.modes.damage_small import smallest
from safeh5.testing.modes.looking import look
from safeh5.testing.modes.templates import Template, make_templates

FULL = 20
"""Of so many damaged sessions one is recovered and salvaged for real."""

WHOLE = 5
"""Of so many damages at random one hits a whole file, as long as there are any left."""

RECOVERED = "recovered and salvaged for real"
SLOWEST = "slowest ms"

_TOLD = 0.5
"""Seconds after which the outcomes are told."""


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
    shrink : bool
        Make what failed small before it is kept.
    templates : tuple of Template
        Sessions of a user's script; the small ones that are made here if there is none.
    """

    seed: int
    first: int
    step: int
    end: int | None
    seconds: float | None
    root: str
    corpus: str
    exhaustive: bool = False
    shrink: bool = True
    templates: tuple[Template, ...] = ()


def work(order: Order, news: Connection) -> None:
    """Cases, one after the other."""
    logging.disable(logging.CRITICAL)
    root = Path(order.root)
    templates = list(order.templates) or make_templates(root / "templates")
    if order.exhaustive and not order.templates:
        templates = [templates[0], templates[2]]
    patients = [Patient.of(template, place_of(order.root, i)) for i, template in enumerate(templates)]
    news.send(("patients", {"facts": [(p.template.facts(), p.whole.to_dict()) for p in patients]}))
    bound_memory()
    teller = _Teller(order, news, patients)
    for number, index, damage in (_every if order.exhaustive else _some)(order, patients):
        if teller.is_over(number):
            break
        _case(order, teller, number, index, damage)
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

    def __init__(self, order: Order, news: Connection, patients: list[Patient]) -> None:
        self.order, self.patients = order, patients
        self.known: set[str] = set()
        self.news = news
        self.until = None if order.seconds is None else time.monotonic() + order.seconds
        self.told = time.monotonic()
        self.counts: Counter[str] = Counter()
        self.cases, self.slowest, self.next = 0, 0.0, order.first

    def is_over(self, number: int) -> bool:
        late = self.until is not None and time.monotonic() >= self.until
        return late or (self.order.end is not None and number >= self.order.end)

    def begin(self, number: int, index: int, damage: Damage, changed: int | None) -> None:
        doing = {"number": number, "patient": index, "damage": damage.to_dict(), "changed": changed}
        self.news.send(("begin", doing))

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


def _case(order: Order, teller: _Teller, number: int, index: int, damage: Damage | None) -> None:
    patient, is_whole = teller.patients[index], damage is not None and not order.exhaustive
    damage, changed = _hurt(order, patient, number, damage)
    full = number % (exhaustive.FULL if order.exhaustive else FULL) == 0 or is_whole
    teller.begin(number, index, damage, changed)
    try:
        words, seconds = examine(order, patient, damage, changed, full=full)
        teller.counts[RECOVERED] += full
        teller.counts[COMMAND_LINE] += full and is_shown(damage)
    except Exception as error:
        patient.mend(damage)
        _keep(order, teller, number, index, damage, "".join(traceback.format_exception(error)))
    else:
        patient.mend(damage)
        teller.took(number, words, seconds)


def examine(
    order: Order, patient: Patient, damage: Damage, changed: int | None, *, full: bool
) -> tuple[str, float]:
    """Look at a session that is damaged, and recover it if `full`; what came of it, and the slowest step.

    Raises
    ------
    AssertionError
        Something is not as it must be.
    """
    started = time.monotonic()
    words = f"{damage.kind}: {look(patient.target, damage, patient.whole, changed)}"
    seconds = time.monotonic() - started
    assert seconds < patient.template.seconds / 2, f"it took {seconds} s"
    if full:
        _, took = check(patient.place, Path(order.root) / "work", patient.template, damage)
        seconds = max(seconds, took)
    return words, seconds


def _keep(order: Order, teller: _Teller, number: int, index: int, damage: Damage, text: str) -> None:
    """A failure, made small if it is the first of those that read alike."""

    def fails(index: int, damage: Damage, full: bool) -> str | None:
        patient = teller.patients[index]
        with contextlib.suppress(NoEffectError):
            changed = patient.hurt(damage)
            teller.begin(number, index, damage, changed)
            try:
                examine(order, patient, damage, changed, full=full)
            except Exception as error:
                return "".join(traceback.format_exception(error))
            finally:
                patient.mend(damage)
        return None

    if order.shrink and headline(text) not in teller.known:
        teller.known.add(headline(text))
        index, damage, text = smallest(teller.patients, index, damage, text, fails)
    patient = teller.patients[index]
    changed = patient.hurt(damage)
    kept = keep_case(order, patient, damage, changed, text, number)
    patient.mend(damage)
    teller.ended(number)
    teller.tell()
    teller.news.send(("fail", {"text": text, "kept": str(kept)}))


def keep_case(
    order: Order, patient: Patient, damage: Damage, changed: int | None, text: str, number: int
) -> Path:
    """Keep a session that is damaged."""
    case = {"mode": "damage", "number": number, **patient.facts(damage, changed), "text": text}
    return keep(Path(order.corpus), case, patient.template.lay_out(patient.place, Path(order.root) / "kept"))


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
