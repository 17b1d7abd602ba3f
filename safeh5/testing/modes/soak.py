"""Everything at random, for as long as is wanted: the other modes in short turns, and real file systems.

Where root, small ext4, xfs and btrfs file systems are mounted from images. Writers
on them are killed, run into a real full disk, or lose the power: the writer is
stopped, the file system is shut down without its log being flushed (by its own
ioctl), unmounted, mounted and recovered.
"""

from __future__ import annotations

import os
import random
import shutil
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import safeh5
from safeh5.errors import NothingToRecoverError
from safeh5.testing.crash import Place
from safeh5.testing.harness.places import working_directory
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings, UnavailableError
from safeh5.testing.modes import filesystems
from safeh5.testing.modes.filesystems import FileSystem, mounted
from safeh5.testing.world import batches, held, make_old
from safeh5.testing.zygote import Zygote

OTHERS = ("model", "kill", "damage", "faults", "locks", "states")
TURN = 8.0
"""Seconds that each of the other modes gets in its turn."""

ON_DISK = 12
"""Deaths on real file systems between two such turns."""

_WORKLOADS = "safeh5.testing.modes.workloads"
_LEFT = 400_000


def run(report: Report, settings: Settings) -> None:
    """Turn after turn until the time or the cases are over."""
    chance = random.Random(settings.seed)
    with ExitStack() as stack:
        systems = _mount_all(report, stack)
        zygote = stack.enter_context(Zygote(_WORKLOADS))
        while not report.is_over():
            for _ in range(ON_DISK if systems else 0):
                if report.is_over():
                    return
                _die_on(report, chance, chance.choice(systems), zygote)
            if not report.is_over():
                _turn(report, settings, chance)


def _mount_all(report: Report, stack: ExitStack) -> list[FileSystem]:
    systems = []
    for kind, problem in filesystems.usable().items():
        if problem:
            report.note(f"{kind} was left out: {problem}")
        else:
            systems.append(stack.enter_context(mounted(kind)))
    return systems


def _turn(report: Report, settings: Settings, chance: random.Random) -> None:
    """One of the other modes, for a short time."""
    from safeh5.testing.harness import registry

    name = chance.choice(OTHERS)
    seconds = min(TURN, settings.left if settings.left is not None else TURN)
    part = Settings(chance.randrange(1 << 31), max(1.0, seconds), corpus=settings.corpus)
    part.program = settings.program
    try:
        inner = registry.run(name, part)
    except UnavailableError as problem:
        report.note(f"{name} was left out: {problem}")
        return
    report.cases += inner.cases
    report.count(f"mode {name}", inner.cases)
    report.failures += inner.failures
    if inner.interrupted:
        raise KeyboardInterrupt


# --- deaths on real file systems ----------------------------------------------------------


def _die_on(report: Report, chance: random.Random, system: FileSystem, zygote: Zygote) -> None:
    ways: dict[str, Callable[..., None]] = {"kill": killed, "full": full}
    if system.kind in filesystems.CAN_BE_CUT:
        ways["cut"] = cut
    way = chance.choice([*ways, *(["cut"] * 4 if "cut" in ways else [])])
    fields: dict[str, Any] = {"system": system.kind, "way": way, "seed": chance.randrange(1 << 31)}
    report.cases += 1
    report.count(f"{system.kind}: {_WORDS[way]}")
    try:
        ways[way](system, zygote, random.Random(fields["seed"]))
    except Exception as error:
        report.fail("".join(traceback.format_exception(error)), fields)


_WORDS = {"kill": "writers killed", "full": "writers on a full disk", "cut": "power cuts"}


def _place(system: FileSystem, zygote: Zygote, chance: random.Random, notes: Path) -> Place:
    """An empty place on the file system; what a child notes goes elsewhere, where the power stays on."""
    root = system.path / "place"
    shutil.rmtree(root, ignore_errors=True)
    (root / "data").mkdir(parents=True)
    old = make_old(root / "data" / "run.h5") if chance.random() < 0.5 else None
    safe = _SafeNotes(zygote, root, old)
    safe.where = notes
    # The old file is somebody's who closed it long ago.
    os.sync()
    return safe


class _SafeNotes(Place):
    """A place whose notes lie elsewhere."""

    where: Path

    @property
    def notes(self) -> Path:
        """On a disk that is not cut off."""
        return self.where / f"notes-{self.lives}"


def killed(system: FileSystem, zygote: Zygote, chance: random.Random) -> None:
    """A writer is killed at no particular moment."""
    with working_directory() as notes:
        place = _place(system, zygote, chance, notes)
        _, noted = place.live(_workload(chance), kill_after=_moment(chance))
        look(place, noted)


def cut(system: FileSystem, zygote: Zygote, chance: random.Random) -> None:
    """The power fails under a writer; once more under the recovery, sometimes."""
    with working_directory() as notes:
        place = _place(system, zygote, chance, notes)

        noted = place.stop(_workload(chance), system.cut, stop_after=_moment(chance))
        system.restore()
        if chance.random() < 0.3:
            place.stop("replay_or_nothing", system.cut, stop_after=0.02 * chance.random())
            system.restore()
        look(place, noted)


def full(system: FileSystem, zygote: Zygote, chance: random.Random) -> None:
    """A writer meets a disk that is really full; there is room again when it is recovered."""
    with working_directory() as notes:
        place = _place(system, zygote, chance, notes)
        with system.almost_full(_LEFT + (1 << 20) + chance.randrange(700_000)):
            _, noted = place.live("until_full")
        look(place, noted)


def _workload(chance: random.Random) -> str:
    return chance.choice(["acquire", "come_and_go", "fill"])


def _moment(chance: random.Random) -> float:
    return chance.choice([0.03, 0.15, 0.5]) * chance.random()


def look(place: Place, noted: list[str]) -> None:
    """Recover; all that was acknowledged is there, as a prefix of what was written.

    Raises
    ------
    AssertionError
        It is not.
    """
    promised = {note for note in noted if note.startswith("b")}
    try:
        safeh5.recover(place.target)
    except NothingToRecoverError:
        assert not promised, f"all is lost: {sorted(promised)}"
        return
    if not place.target.exists():
        assert not promised, f"all is lost: {sorted(promised)}"
        return
    found = held(place.target)
    assert promised <= found, f"lost: {sorted(promised - found)}"
    count = len(found - {"old"})
    assert found == batches(*range(count), old=place.old is not None), "not a prefix"
    assert count <= len(promised) + 1, "more than was ever written"


def replay(case: dict[str, Any], directory: Path) -> None:
    """The same way to die, on the same kind of file system, a few times: moments cannot be repeated."""
    ways: dict[str, Callable[..., None]] = {"kill": killed, "full": full, "cut": cut}
    with Zygote(_WORKLOADS) as zygote, mounted(case["system"]) as system:
        for number in range(20):
            ways[case["way"]](system, zygote, random.Random(case["seed"] + number))
