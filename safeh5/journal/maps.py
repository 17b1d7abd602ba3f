"""Segments mapped while they are read, and given back before their pages add up."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from safeh5.storage.files import Storage
from safeh5.storage.handles import MappedFile

_MAPS: Final = 2
_RESIDENT: Final = 64 << 20
"""After so many bytes the mappings are made anew, so that the pages read do not add up."""


class Maps:
    """The segments that are mapped during one call."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._mapped: dict[str, MappedFile] = {}
        self._touched = 0

    def view(self, path: str) -> memoryview:
        """The bytes of a segment, mapped if it is not."""
        mapped = self._mapped.get(path)
        if mapped is None:
            if len(self._mapped) == _MAPS:
                self._mapped.pop(next(iter(self._mapped))).release()
            mapped = self._mapped[path] = self._storage.map(path)
        return mapped.view

    def renew(self, path: str) -> bool:
        """Map a segment anew if it has grown since; returns whether it has."""
        if self._storage.stat(path).st_size <= self._mapped[path].size:
            return False
        self._mapped.pop(path).release()
        return True

    def touched(self, size: int) -> None:
        """So many bytes were read: from time to time give the pages back."""
        self._touched += size
        if self._touched >= _RESIDENT:
            self.release()

    def release(self) -> None:
        """Unmap everything."""
        while self._mapped:
            self._mapped.popitem()[1].release()
        self._touched = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
