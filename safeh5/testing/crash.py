"""Processes that are killed, for real, at a chosen change of the disk.

A *workload* is a function that gets a target, a storage and `ack`, which notes
on disk what a call that returned has promised::

    def acquire(target, storage, ack):
        with safeh5.open(target, storage=storage) as session:
            session.write(tree)
            ack("tree")

    WORKLOADS = {"acquire": acquire}

In a child process it gets a `DeadlyStorage`, whose Nth effect ends the process
by SIGKILL: before the effect, after it, or half way through. `deaths` tries
every N until the workload lives to its end. What is then on disk is what a
real kill leaves: nothing of the child is left to tidy up.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from safeh5.events import Progress, silent
from safeh5.storage import CopyMethod, Storage, StrPath
from safeh5.testing.faults import LOOKING, Call, Fault, FaultyStorage
from safeh5.testing.zygote import Zygote

Ack = Callable[[str], None]
Workload = Callable[..., None]

NEVER = 1 << 60


# --- the child's side ---------------------------------------------------------------------


def die() -> NoReturn:
    """End as a power switch would: no handler, no exit code, no last words."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


class Death(Fault):
    """Not an error: the process is killed. With `done` right after the effect, else before it."""

    __slots__ = ()

    def matches(self, call: Call) -> bool:
        """Whether the call changes the disk."""
        return call.effect not in LOOKING

    def failure(self, path: str) -> BaseException:
        """No failure is seen: the process ends here."""
        die()


class DeadlyStorage(FaultyStorage):
    """A disk whose `nth` effect kills the process.

    Parameters
    ----------
    nth : int
        Which of the effects that change something, counted from 1.
    how : {"before", "half", "after"}
        When. Half of a write are its first `part` bytes; half of a copy or of
        the removal of a directory is half of it; any other effect has no half.
    part : int
        See `how`.
    """

    def __init__(self, nth: int = NEVER, how: str = "before", part: int = 1) -> None:
        super().__init__(Death(nth=nth, done=how == "after", short=part if how == "half" else 0))

    def copy_file(self, source: StrPath, destination: StrPath, progress: Progress = silent) -> CopyMethod:
        """Copy, or die with half a copy."""
        fault = self.strike("copy_file", destination)
        if fault is None or fault.done:
            method = Storage.copy_file(self, source, destination, progress)
        if fault is not None:
            if fault.short:
                data = Path(source).read_bytes()
                Path(destination).write_bytes(data[: len(data) // 2])
            die()
        return method

    def remove_tree(self, path: StrPath) -> None:
        """Remove a directory, or die with half of its files removed."""
        fault = self.strike("remove_tree", path)
        if fault is not None and fault.short:
            for entry in sorted(os.listdir(path))[::2]:
                os.unlink(Path(path, entry))
        if fault is None or fault.done:
            Storage.remove_tree(self, path)
        if fault is not None:
            die()

    def changes(self) -> int:
        """How many effects there were that changed something."""
        return sum(call.effect not in LOOKING for call in self.calls)


def live(workloads: dict[str, Workload], request: dict[str, Any]) -> None:
    """In a child: do what `Place.live` asked for."""
    from safeh5.recovery import replay

    replay.REBUILD_BYTES = request.get("rebuild_bytes", replay.REBUILD_BYTES)  # type: ignore[misc]
    notes = os.open(request["notes"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    storage = DeadlyStorage(request.get("nth", NEVER), request.get("how", "before"), request.get("part", 1))

    def ack(text: str) -> None:
        os.write(notes, text.encode() + b"\n")

    workloads[request["workload"]](request["target"], storage, ack, **request.get("options", {}))
    ack(f"effects {storage.changes()}")


# --- the parent's side --------------------------------------------------------------------


@dataclass
class Place:
    """A directory with a target, in which children live and die.

    Attributes
    ----------
    zygote : Zygote
        Makes the children.
    root : Path
        The directory of the place; the target is in ``data`` below it.
    old : bytes or None
        The target at the beginning.
    """

    zygote: Zygote
    root: Path
    old: bytes | None
    lives: int = 0
    directory: Path = field(init=False)

    def __post_init__(self) -> None:
        self.directory = self.root / "data"

    @property
    def target(self) -> Path:
        """The HDF5 file."""
        return self.directory / "run.h5"

    @property
    def sidecar(self) -> Path:
        """The sidecar of its session."""
        return self.directory / "run.h5.safeh5"

    @property
    def notes(self) -> Path:
        """Where the child that lives now notes what it was promised."""
        return self.root / f"notes-{self.lives}"

    def live(self, workload: str, **request: object) -> tuple[bool, list[str]]:
        """Run a child; returns whether it was killed, and its notes."""
        self.lives += 1
        status = self.zygote.run(workload=workload, target=str(self.target), notes=str(self.notes), **request)
        return status != 0, self.notes.read_text().splitlines() if self.notes.exists() else []

    def stop(self, workload: str, then: Callable[[], None], **request: object) -> list[str]:
        """Run a child, stop it after ``stop_after`` seconds, do `then`, kill it; returns its notes."""
        self.lives += 1
        self.zygote.stop(then, workload=workload, target=str(self.target), notes=str(self.notes), **request)
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def snapshot(self) -> dict[str, bytes]:
        """Every file of the directory, by relative path."""
        files = (path for path in sorted(self.directory.rglob("*")) if path.is_file())
        return {str(path.relative_to(self.directory)): path.read_bytes() for path in files}

    def copy(self, name: str) -> Place:
        """The same place again, under another root."""
        root = self.root / name
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        shutil.copytree(self.directory, root / "data", symlinks=True)
        return Place(self.zygote, root, self.old)


@dataclass(frozen=True, slots=True)
class Killed:
    """How a child ended, or that it did not.

    Attributes
    ----------
    nth, how, part
        See `DeadlyStorage`.
    place : Place
        What it left.
    noted : list of str
        What had been acknowledged.
    killed : bool
        False for the child that lived to its end.
    """

    nth: int
    how: str
    part: int
    place: Place
    noted: list[str]
    killed: bool = True


def part_of(nth: int, how: str, salt: str) -> int:
    """How many bytes of the write at effect `nth` reach the disk: any, but the same each time."""
    return random.Random(f"{salt} {how} {nth}").choice([1, 30, 90, 1 << 30])


def deaths(
    template: Place, workload: str, how: str, *, salt: str = "", limit: int = 2000, **request: object
) -> Iterator[Killed]:
    """A child for each effect of a workload, killed there; the last one lives.

    Parameters
    ----------
    template : Place
        What each child finds; copied, not changed.
    workload : str
        Name of the workload.
    how : {"before", "half", "after"}
        See `DeadlyStorage`.
    salt : str
        Varies the torn writes.
    limit : int
        AssertionError if the workload has more effects than that.
    **request
        For the child, ``rebuild_bytes`` for example.
    """
    for nth in range(1, limit):
        place, part = template.copy("case"), part_of(nth, how, salt)
        killed, noted = place.live(workload, nth=nth, how=how, part=part, **request)
        yield Killed(nth, how, part, place, noted, killed)
        if not killed:
            assert noted[-1] == f"effects {nth - 1}"
            return
    raise AssertionError(f"{workload} has more than {limit} effects")
