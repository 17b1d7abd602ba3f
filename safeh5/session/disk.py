"""Free space: watched while a session writes, and kept for ending it.

States
------
::

    OK <----> LOW <----> FULL

In LOW and FULL there is less than ``warn_below`` and than ``refuse_below``;
each is logged once when it is entered. In FULL no record is taken that has not
the room it needs. What ends a session is not refused: a COMMIT, a SEAL or a
roll back is small, and when the disk has not even room for that, the *reserve*
goes: a file of the sidecar that holds nothing but blocks.

Invariants
----------
1. Looking costs one call of the system, and is done at most once for a
   quarter of the room that is left, or once a second.
2. The reserve is given up only for what ends a session or gives room back, and
   taken again with the next record for which there is room besides.
3. Nothing depends on the figures. Others write to the disk too, and quotas are
   not seen: what does not fit is refused by the disk itself, and what then
   happens is the business of `safeh5.journal.tail` and of the pager.
"""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from safeh5.errors import DiskFullError, FreeSpaceError
from safeh5.events import logger
from safeh5.options import KIB, MIB, DiskOptions
from safeh5.recovery.leftovers import release_reserve
from safeh5.storage import Names, Storage

_OF_RECORD: Final = 4 * KIB
_LONGEST_STEP: Final = 64 * MIB
_LONGEST_PAUSE: Final = 1.0
_UNKNOWN: Final = 1 << 60
_RATE_SECONDS: Final = 10.0
_SETTLE: Final = (0.05, 0.2)
_FORGET: Final = 1.1
"""A warning is forgotten when there is so many times what it warned of: not to warn at every turn."""

_SAFE: Final = "Nothing was written by this call, and what was acknowledged is safe in the journal"

_Result = TypeVar("_Result")


class DiskState(StrEnum):
    """How much room there is."""

    OK = "ok"
    LOW = "low"
    """Less than `DiskOptions.warn_below`."""
    FULL = "full"
    """Less than `DiskOptions.refuse_below`: records are refused."""


@dataclass(frozen=True, slots=True)
class DiskStatus:
    """What a session knows of the disk that it writes to.

    Attributes
    ----------
    state : DiskState
        How much room there is, in a word.
    free : int
        Bytes that may still be written.
    warn_below, refuse_below : int
        The thresholds, in bytes.
    reserve : int
        Bytes set aside for ending the session, which are not among `free`.
    seconds_left : float or None
        When records will be refused if it goes on like that; None when it does not get less.
    """

    state: DiskState
    free: int
    warn_below: int
    refuse_below: int
    reserve: int
    seconds_left: float | None


class DiskWatch:
    """Watches the file system of one session.

    Parameters
    ----------
    storage, names : Storage, Names
        Where the session lies.
    options : DiskOptions
        The thresholds.
    copies : int
        How often a byte of payload is written before a call returns: to the
        journal, and by an inline applier to the new file.
    """

    def __init__(self, storage: Storage, names: Names, options: DiskOptions, copies: int) -> None:
        self._storage, self._names, self._copies = storage, names, copies
        self._warn, self._refuse, self._wanted = options.of(_known(storage.disk_size, names.directory))
        self._room = 0
        self._next_look = 0.0
        self._logged = DiskState.OK
        self._unreserved = False
        self._rate = _Rate()
        self._rate.note(self._free())

    def spend(self, size: int) -> None:
        """A record with `size` bytes of payload is about to be journaled; called for each.

        Raises
        ------
        DiskFullError
            It would leave less than `refuse_below`.
        """
        self._room -= size
        if self._room < 0 or time.monotonic() >= self._next_look:
            self._look(size * self._copies + _OF_RECORD)

    def with_reserve(self, action: Callable[[], _Result]) -> _Result:
        """Do what ends a session or gives room back; without room for it, again without the reserve."""
        try:
            return action()
        except FreeSpaceError as error:
            if not self.release():
                raise
            logger.warning("the reserve is used: %s", error)
            return action()

    def require(self, needed: int, what: str) -> None:
        """Refuse what needs more room than there is, before anything of it is done.

        Raises
        ------
        DiskFullError
            Even with the reserve there are fewer than `needed` bytes.
        """
        for pause in (*_SETTLE, 0):
            free = self._free()
            if free >= needed:
                return
            # Some file systems (xfs) count what was just deleted a moment later.
            time.sleep(pause)
        reserve = self._reserved()
        if free + reserve >= needed and self.release():
            return
        raise DiskFullError(
            f"there is no room for {what}: about {needed} bytes are needed and {free + reserve} are free",
            path=self._names.sidecar,
            errno=errno.ENOSPC,
            needed=needed,
            missing=needed - free - reserve,
            safe="Nothing was touched, and what was acknowledged is safe in the journal",
            hint=f"Free at least {needed - free - reserve} bytes and call again: the session is open as "
            "before. Data that compress well may need less: checkpoint() applies what fits",
        )

    def release(self) -> bool:
        """Give the reserve back to the disk; whether there was one."""
        return release_reserve(self._storage, self._names)

    def status(self) -> DiskStatus:
        """How it stands now; `OSError` if the system does not tell."""
        free = self._storage.free_space(self._names.directory)
        left = self._rate.seconds_for(free - self._refuse)
        return DiskStatus(self._state(free), free, self._warn, self._refuse, self._reserved(), left)

    def _look(self, needed: int) -> None:
        free = self._free()
        self._rate.note(free)
        self._tell(free)
        if self._refuse and free - needed < self._refuse:
            self._room = -1
            raise self._refused(free, needed)
        self._take_reserve(free - needed)
        self._room = min(_LONGEST_STEP, (free - needed - self._refuse) // (4 * self._copies))
        self._next_look = time.monotonic() + _LONGEST_PAUSE

    def _free(self) -> int:
        return _known(self._storage.free_space, self._names.directory)

    def _refused(self, free: int, needed: int) -> DiskFullError:
        missing = self._refuse + needed - free
        return DiskFullError(
            f"the disk is full: {free} bytes are free, the record needs about {needed}, and "
            f"{self._refuse} are kept for ending the session (refuse_below)",
            path=self._names.target,
            errno=errno.ENOSPC,
            needed=needed,
            missing=missing,
            safe=_SAFE,
            hint=f"Free at least {missing} bytes and call again: the session goes on. "
            "Or end it now with suspend(), which needs no room to speak of",
        )

    def _state(self, free: int) -> DiskState:
        if self._refuse and free < self._refuse + _OF_RECORD:
            return DiskState.FULL
        return DiskState.LOW if free < self._warn else DiskState.OK

    def _tell(self, free: int) -> None:
        """Log once for each threshold that is crossed."""
        state = self._state(free)
        if state is DiskState.LOW and self._logged is DiskState.OK:
            self._logged = state
            left = self._rate.seconds_for(free - self._refuse)
            when = "" if left is None else f"; at the present rate records are refused in {left:.0f} s"
            logger.warning(
                "the disk of %s is nearly full: %d bytes are free%s", self._names.target, free, when
            )
        elif state is DiskState.FULL and self._logged is not DiskState.FULL:
            self._logged = state
            logger.error(
                "the disk of %s is full: %d bytes are free; records are refused until there is room",
                self._names.target,
                free,
            )
        elif state is not DiskState.FULL and self._logged is DiskState.FULL and free > self._refuse * _FORGET:
            self._logged = DiskState.LOW
            logger.warning("the disk of %s has room again: %d bytes are free", self._names.target, free)
        if free > self._warn * _FORGET:
            self._logged = DiskState.OK

    def _take_reserve(self, spare: int) -> None:
        """Set the reserve aside, if there is none and it does not take what records may still use."""
        if (
            not self._wanted
            or spare - self._wanted < self._refuse
            or self._storage.exists(self._names.reserve)
        ):
            return
        try:
            self._storage.allocate(self._names.reserve, self._wanted)
            self._unreserved = False
        except OSError as error:
            if not self._unreserved:
                logger.warning(
                    "nothing is set aside for ending the session on %s: %s", self._names.target, error
                )
            self._unreserved = True

    def _reserved(self) -> int:
        try:
            return self._storage.stat(self._names.reserve).st_size
        except OSError:
            return 0


def _known(ask: Callable[[str], int], path: str) -> int:
    """A number of bytes; where the system does not tell, so many that nothing is refused."""
    try:
        return ask(path)
    except OSError:
        return _UNKNOWN


class _Rate:
    """How fast free space gets less, over the last seconds."""

    def __init__(self) -> None:
        self._before: tuple[float, int] | None = None
        self._since: tuple[float, int] | None = None
        self._last: tuple[float, int] | None = None

    def note(self, free: int) -> None:
        if free == _UNKNOWN:
            return
        now = time.monotonic()
        self._last = (now, free)
        if self._since is None or now - self._since[0] > _RATE_SECONDS:
            self._before, self._since = self._since, self._last

    def seconds_for(self, size: int) -> float | None:
        """In how many seconds `size` bytes are used up; None when it does not get less."""
        first = self._before or self._since
        if first is None or self._last is None:
            return None
        used, seconds = first[1] - self._last[1], self._last[0] - first[0]
        if used <= 0 or seconds <= 0 or not math.isfinite(used / seconds):
            return None
        return max(0.0, size) * seconds / used
