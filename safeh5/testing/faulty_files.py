"""The open files of a `FaultyStorage`: each of their system calls can fail, and a write be short."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from safeh5.storage import AppendFile, MappedFile, RandomFile
from safeh5.storage.handles import OpenFile

if TYPE_CHECKING:
    from safeh5.testing.faults import Fault, FaultyStorage


class _FaultyFile(OpenFile):
    """The part that both kinds of open files share."""

    _storage: FaultyStorage
    _pending: Fault | None = None

    def _do_sync(self) -> None:
        self._storage.attempt("sync", self.path, super()._do_sync)

    def _do_truncate(self, size: int) -> None:
        self._storage.attempt("truncate", self.path, partial(super()._do_truncate, size))

    def _faulty_write(
        self, effect: str, views: list[memoryview], write: Callable[[list[memoryview]], int]
    ) -> int:
        """One write call: whole, short, or failing because the one before was short."""
        pending, self._pending = self._pending, None
        fault = self._storage.strike(effect, self.path)
        if pending is not None:
            raise pending.failure(self.path)
        if fault is None:
            return write(views)
        if fault.done:
            write(views)
        elif fault.short:
            count = write(_first(views, fault.short))
            if not fault.kill:
                self._pending = fault if fault.error is not None else None
                return count
        raise fault.failure(self.path)


class FaultyAppendFile(_FaultyFile, AppendFile):
    """An `AppendFile` of a `FaultyStorage`."""

    def __init__(self, storage: FaultyStorage, file: AppendFile) -> None:
        super().__init__(file.path, file.detach())
        self._storage = storage

    def _do_write(self, views: list[memoryview]) -> int:
        return self._faulty_write("append", views, super()._do_write)

    def _do_read(self, view: memoryview, offset: int) -> int:
        return self._storage.attempt("read_at", self.path, partial(super()._do_read, view, offset))

    def _do_amend(self, view: memoryview, offset: int) -> int:
        amend = super()._do_amend
        return self._faulty_write("amend", [view], lambda views: amend(views[0], offset))


class FaultyRandomFile(_FaultyFile, RandomFile):
    """A `RandomFile` of a `FaultyStorage`."""

    def __init__(self, storage: FaultyStorage, file: RandomFile) -> None:
        super().__init__(file.path, file.detach())
        self._storage = storage

    def _do_write(self, view: memoryview, offset: int) -> int:
        write = super()._do_write
        return self._faulty_write("write_at", [view], lambda views: write(views[0], offset))

    def _do_read(self, view: memoryview, offset: int) -> int:
        return self._storage.attempt("read_at", self.path, partial(super()._do_read, view, offset))


class FaultyMappedFile(MappedFile):
    """A `MappedFile` of a `FaultyStorage`: of a bad sector `probe` tells, as on a real disk."""

    def __init__(self, storage: FaultyStorage, file: MappedFile) -> None:
        self.path, self.size, self.view = file.path, file.size, file.view
        self._map, self._storage = file._map, storage

    def probe(self) -> None:
        """Read it once, unless the plan has that fail."""
        self._storage.attempt("probe", self.path, super().probe)


def _first(views: list[memoryview], count: int) -> list[memoryview]:
    """The first `count` bytes of `views`: not all of them, and never none."""
    whole = b"".join(views)
    return [memoryview(whole)[: max(1, min(count, len(whole) - 1))]]
