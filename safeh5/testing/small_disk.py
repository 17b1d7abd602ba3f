"""A disk that is as full as it is told to be."""

from __future__ import annotations

import errno
import os
from typing import Final

from safeh5.storage import StrPath
from safeh5.testing.faults import Fault, FaultyStorage

_TAKES_ROOM: Final = ("append", "amend", "write_at", "create", "create_random", "copy_file", "allocate")


class SmallDisk(FaultyStorage):
    """A disk that says how much is free as it is told to.

    Attributes
    ----------
    free, size : int
        What it says.
    looks : int
        How often it was asked how much is free.
    full : bool
        There is no room for anything as long as a file is kept for which blocks were allocated.
    """

    def __init__(self, free: int = 10 << 30, size: int = 100 << 30) -> None:
        super().__init__()
        self.free, self.size, self.looks, self.full = free, size, 0, False
        self._reserves: list[StrPath] = []

    def free_space(self, path: StrPath) -> int:
        """As it is told to."""
        self.looks += 1
        return self.free

    def disk_size(self, path: StrPath) -> int:
        """As it is told to."""
        return self.size

    def strike(self, effect: str, path: StrPath) -> Fault | None:
        """Refuse what needs room, while it is full."""
        struck = super().strike(effect, path)
        if effect == "allocate":
            self._reserves.append(path)
        if self.full and effect in _TAKES_ROOM and any(map(os.path.exists, self._reserves)):
            return Fault(effect, error=errno.ENOSPC)
        return struck
