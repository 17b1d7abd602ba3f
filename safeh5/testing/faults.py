"""A disk that fails on command: every effect of `Storage` can be made to go wrong.

::

    storage = FaultyStorage(Fault("sync", nth=3, error=errno.EIO))
    storage = FaultyStorage(disk_full("append"), disk_full("write_at"))
    storage = FaultyStorage(Fault(nth=17, kill=True))
    ...
    assert storage.calls[-1] == Call("sync", "/data/run.h5.safeh5/journal-00000001.log")

An effect is what a method of `Storage`, or of a file that it opened, does to
the disk; `EFFECTS` names them. Those in `LOOKING` only read it. Calls are
recorded in order whether they fail or not, so a test can first run clean and
then fail each call in turn (`each_call`).
"""

from __future__ import annotations

import errno as errors
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from safeh5.events import Progress, silent
from safeh5.storage import AppendFile, CopyMethod, MappedFile, RandomFile, Storage, StrPath
from safeh5.storage.handles import LoadedFile
from safeh5.testing.faulty_files import FaultyAppendFile, FaultyMappedFile, FaultyRandomFile

EFFECTS: Final = (
    "create", "open_append", "create_random", "open_random", "open_readonly", "create_private",
    "map", "load", "read_bytes",
    "append", "amend", "write_at", "read_at", "truncate", "sync",
    "allocate", "give_back", "copy_file", "copy_metadata", "sync_path", "sync_directory",
    "replace", "rename", "unlink", "make_directory", "remove_tree",
    "stat", "list_directory", "free_space", "probe",
)  # fmt: skip
"""Names of all effects. ``append``, ``amend``, ``write_at`` are single system calls, which may be short."""

LOOKING: Final = frozenset(
    {
        "open_append",
        "open_random",
        "map",
        "load",
        "probe",
        "read_bytes",
        "read_at",
        "stat",
        "list_directory",
        "free_space",
    }
)
"""Effects that leave no trace: they can fail, but to die before one is to die before the next."""

T = TypeVar("T")


class Killed(BaseException):
    """The process was killed here, as far as the disk is concerned."""


@dataclass(frozen=True, slots=True)
class Call:
    """One effect that was asked for.

    Attributes
    ----------
    effect : str
        One of `EFFECTS`.
    path : str
        The file or directory that it changes; the new name of a rename.
    """

    effect: str
    path: str


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and when.

    Attributes
    ----------
    effect : str
        One of `EFFECTS`, or ``"*"`` for any.
    nth : int
        The first call of that effect that fails, counted from 1, among those
        on a matching path.
    times : int or None
        How many calls fail from there on; None for all.
    error : int or None
        The ``errno`` of the `OSError`. None, with `short`, for no error.
    path : str
        Only calls whose path contains this text.
    short : int
        Of a write, so many bytes reach the disk. The call reports them, as the
        system does, and the error comes with the next write to that file.
    done : bool
        The effect takes place and fails all the same, as when a network file
        system lost the answer.
    memory : bool
        Not an error of the disk: `MemoryError` is raised.
    kill : bool
        Not an error: `Killed` is raised, and from every later effect too.
    """

    effect: str = "*"
    nth: int = 1
    times: int | None = 1
    error: int | None = errors.EIO
    path: str = ""
    short: int = 0
    done: bool = False
    memory: bool = False
    kill: bool = False

    def __post_init__(self) -> None:
        if self.effect != "*" and self.effect not in EFFECTS:
            raise ValueError(f"{self.effect!r} is not an effect of Storage")

    def matches(self, call: Call) -> bool:
        """Whether this fault has to do with `call`."""
        return self.effect in ("*", call.effect) and self.path in call.path

    def strikes(self, count: int) -> bool:
        """Whether it strikes at the `count`-th call that it matches."""
        return count >= self.nth and (self.times is None or count < self.nth + self.times)

    def failure(self, path: str) -> BaseException:
        """What is raised at a call on `path`."""
        if self.kill:
            return Killed(path)
        if self.memory:
            return MemoryError(path)
        number = self.error or errors.EIO
        return OSError(number, os.strerror(number), path)


def disk_full(effect: str, nth: int = 1, times: int | None = None, short: int = 0) -> Fault:
    """No room (ENOSPC) from the `nth` call on; for ever if `times` is left out."""
    return Fault(effect, nth=nth, times=times, error=errors.ENOSPC, short=short)


def each_call(clean: FaultyStorage, **fault: Any) -> Iterator[Fault]:
    """One fault for each call that a clean run made; `fault` are further fields of `Fault`."""
    for number in range(1, len(clean.calls) + 1):
        yield Fault(nth=number, **fault)


class FaultyStorage(Storage):
    """The real disk, with faults.

    Parameters
    ----------
    *plan : Fault
        What goes wrong. The first fault that strikes a call decides.

    Attributes
    ----------
    calls : list of Call
        Every effect that was asked for, in order, those that failed included.
    """

    def __init__(self, *plan: Fault) -> None:
        self.calls: list[Call] = []
        self._plan = plan
        self._counts = [0] * len(plan)
        self._killed: Fault | None = None
        self._guard = threading.Lock()

    def effects(self) -> list[str]:
        """The names of the effects so far, in order."""
        return [call.effect for call in self.calls]

    def mend(self) -> None:
        """No fault from here on."""
        self.replan()

    def replan(self, *plan: Fault) -> None:
        """These faults from here on, counted from here, and none of those before."""
        self._plan, self._counts, self._killed = plan, [0] * len(plan), None

    def strike(self, effect: str, path: StrPath) -> Fault | None:
        """Record a call; returns the fault that strikes it."""
        with self._guard:
            if self._killed is not None:
                raise self._killed.failure(os.fspath(path))
            call = Call(effect, os.fspath(path))
            self.calls.append(call)
            struck = self._find(call)
            if struck is not None and struck.kill:
                self._killed = struck
        return struck

    def attempt(self, effect: str, path: StrPath, action: Callable[[], T]) -> T:
        """Do `action`, unless the plan has it fail."""
        fault = self.strike(effect, path)
        if fault is None:
            return action()
        if fault.done:
            action()
        raise fault.failure(os.fspath(path))

    def _find(self, call: Call) -> Fault | None:
        struck = None
        for index, fault in enumerate(self._plan):
            if fault.matches(call):
                self._counts[index] += 1
                if struck is None and fault.strikes(self._counts[index]):
                    struck = fault
        return struck

    # Every effect of Storage, in its order there.

    def create(self, path: StrPath) -> AppendFile:  # noqa: D102
        return FaultyAppendFile(self, self.attempt("create", path, partial(super().create, path)))

    def open_append(self, path: StrPath) -> AppendFile:  # noqa: D102
        return FaultyAppendFile(self, self.attempt("open_append", path, partial(super().open_append, path)))

    def create_random(self, path: StrPath) -> RandomFile:  # noqa: D102
        return FaultyRandomFile(
            self, self.attempt("create_random", path, partial(super().create_random, path))
        )

    def open_random(self, path: StrPath) -> RandomFile:  # noqa: D102
        return FaultyRandomFile(self, self.attempt("open_random", path, partial(super().open_random, path)))

    def open_readonly(self, path: StrPath) -> RandomFile:  # noqa: D102
        return FaultyRandomFile(
            self, self.attempt("open_readonly", path, partial(super().open_readonly, path))
        )

    def create_private(self, path: StrPath, owner: int | None = None) -> RandomFile:  # noqa: D102
        return FaultyRandomFile(
            self, self.attempt("create_private", path, partial(super().create_private, path, owner))
        )

    def map(self, path: StrPath) -> MappedFile:  # noqa: D102
        return FaultyMappedFile(self, self.attempt("map", path, partial(super().map, path)))

    def load(self, path: StrPath) -> LoadedFile:  # noqa: D102
        return self.attempt("load", path, partial(super().load, path))

    def read_bytes(self, path: StrPath, limit: int | None = None, offset: int = 0) -> bytes:  # noqa: D102
        return self.attempt("read_bytes", path, partial(super().read_bytes, path, limit, offset))

    def copy_file(  # noqa: D102
        self, source: StrPath, destination: StrPath, progress: Progress = silent
    ) -> CopyMethod:
        return self.attempt(
            "copy_file", destination, partial(super().copy_file, source, destination, progress)
        )

    def allocate(self, path: StrPath, size: int) -> None:  # noqa: D102
        self.attempt("allocate", path, partial(super().allocate, path, size))

    def give_back(self, path: StrPath) -> None:  # noqa: D102
        self.attempt("give_back", path, partial(super().give_back, path))

    def copy_metadata(self, source: StrPath, destination: StrPath) -> tuple[str, ...]:  # noqa: D102
        return self.attempt("copy_metadata", destination, partial(super().copy_metadata, source, destination))

    def sync_path(self, path: StrPath) -> None:  # noqa: D102
        self.attempt("sync_path", path, partial(super().sync_path, path))

    def sync_directory(self, path: StrPath) -> None:  # noqa: D102
        self.attempt("sync_directory", path, partial(super().sync_directory, path))

    def replace(self, source: StrPath, destination: StrPath) -> None:  # noqa: D102
        self.attempt("replace", destination, partial(super().replace, source, destination))

    def rename(self, source: StrPath, destination: StrPath) -> None:  # noqa: D102
        self.attempt("rename", destination, partial(super().rename, source, destination))

    def unlink(self, path: StrPath) -> None:  # noqa: D102
        self.attempt("unlink", path, partial(super().unlink, path))

    def make_directory(self, path: StrPath, mode: int = 0o777) -> None:  # noqa: D102
        self.attempt("make_directory", path, partial(super().make_directory, path, mode))

    def remove_tree(self, path: StrPath) -> None:  # noqa: D102
        self.attempt("remove_tree", path, partial(super().remove_tree, path))

    def stat(self, path: StrPath) -> os.stat_result:  # noqa: D102
        return self.attempt("stat", path, partial(super().stat, path))

    def list_directory(self, path: StrPath) -> list[str]:  # noqa: D102
        return self.attempt("list_directory", path, partial(super().list_directory, path))

    def free_space(self, path: StrPath) -> int:  # noqa: D102
        return self.attempt("free_space", path, partial(super().free_space, path))
