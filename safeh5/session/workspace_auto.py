"""The workspace that is chosen while the session runs: in the caller, or beside a long acquisition.

States
------
::

    IN THE CALLER --a stream, and much waits--> BESIDE
    BESIDE --session.file--> PINNED

IN THE CALLER a session pays for no other process; most sessions end there.
BESIDE the child applies what the streams append. Who uses `session.file`
wants the file itself, not a snapshot of it: from then on operations are
applied in the caller until the end, however much waits (PINNED). What the
session itself looks up (for a tree, for another stream) does not pin it.

The staging file passes from one to the other at a checkpoint, or not at all:
the one lets go of it before the other opens it, and the journal has the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import h5py

from safeh5._typing import Buffer
from safeh5.applier import AtHand
from safeh5.errors import ApplyError, FreeSpaceError
from safeh5.events import logger
from safeh5.journal import Placed
from safeh5.operations.model import Operation
from safeh5.options import MIB
from safeh5.session.workspace_beside import BesideWorkspace
from safeh5.session.workspace_inline import Inline

_BYTES: Final = 32 * MIB
_SECONDS: Final = 2.0
"""When so much waits, or for so long, a child is worth its start."""
_LITTLE: Final = 64 * MIB


class Auto:
    """Applies in the caller until a child is worth it.

    Parameters
    ----------
    inline, beside : Inline, BesideWorkspace
        The two ways; on the same files, and never at work at once.
    """

    uses_h5py = True

    def __init__(self, inline: Inline, beside: BesideWorkspace) -> None:
        self.inline, self.beside = inline, beside
        self._now: Inline | BesideWorkspace = inline
        self._streams = False
        self._pinned = False

    @property
    def journaled(self) -> bool:
        """Whether the journal holds ended batches; kept by the session."""
        return self.inline.journaled

    @journaled.setter
    def journaled(self, value: bool) -> None:
        self.inline.journaled = self.beside.journaled = value

    @property
    def is_beside(self) -> bool:
        """Whether a child applies."""
        return self._now is self.beside

    @property
    def live(self) -> bool:
        """Of the one at work."""
        return self._now.live

    # --- changing over ------------------------------------------------------------

    def streams(self) -> None:
        """The session has a stream: it may become a long one."""
        self._streams = True

    def is_backlogged(self) -> bool:
        """Whether it is time to change over, or there is no room."""
        return self._now.is_backlogged() or self._is_worth_a_child()

    def _is_worth_a_child(self) -> bool:
        if self._pinned or not self._streams or self.is_beside:
            return False
        size, seconds = self.inline.lag()
        return size > _BYTES or seconds > _SECONDS

    def make_room(self, durable: Callable[[], int]) -> None:
        """Change over if it is time, else as the workspace at work does it."""
        if self._is_worth_a_child():
            self._leave_to_child(durable)
        else:
            self._now.make_room(durable)

    def _leave_to_child(self, durable: Callable[[], int]) -> None:
        lsn = durable()
        try:
            self.inline.hand_over(lsn)
        except (ApplyError, FreeSpaceError) as error:
            # The child begins where it can; what stands in its way, it says itself.
            logger.warning("the applier beside begins without a checkpoint: %s", error)
            self.inline.drop()
        self._now = self.beside
        self.beside.ended(lsn)
        self.beside.durable(lsn)

    def file(self, durable: Callable[[], int]) -> h5py.File:
        """The file itself, taken back from the child if need be."""
        self._pinned = True
        if self.is_beside:
            self._take_back(durable)
        return self.inline.file(durable)

    def _take_back(self, durable: Callable[[], int]) -> None:
        self.beside.beside.checkpoint(durable())
        self.beside.drop()
        self._now = self.inline

    def look(self, durable: Callable[[], int]) -> h5py.File:
        """The file to look something up in; with a child a snapshot, unless a batch has records."""
        if self.is_beside and self.inline.in_batch:
            self._take_back(durable)
        return self._now.look(durable)

    # --- as the one at work does it -------------------------------------------------

    def lag(self) -> tuple[int, float]:
        """Of the one at work."""
        return self._now.lag()

    def prepare(self) -> None:
        """Of the one at work."""
        self._now.prepare()

    def expect(self) -> None:
        """Of the one at work."""
        self._now.expect()

    def take(self, placed: Placed, size: int) -> None:
        """Both: the one in the caller must know the open batch if the file is taken back in it."""
        self.inline.take(placed, size)
        if self.is_beside:
            self.beside.take(placed, size)

    def apply(self, operation: Operation, payload: Buffer, lsn: int, at: AtHand | None = None) -> None:
        """Of the one at work."""
        self._now.apply(operation, payload, lsn, at)

    @property
    def applies_first(self) -> bool:
        """Only where it stays so: a process beside reads the journal on the disk."""
        return self._pinned and not self.is_beside

    def apply_first(self, operation: Operation, payload: Buffer, lsn: int, at: AtHand | None) -> None:
        """Of the one in the caller."""
        self.inline.apply_first(operation, payload, lsn, at)

    def write_back(self) -> None:
        """Of the one in the caller."""
        self.inline.write_back()

    def ended(self, lsn: int) -> None:
        """Both: see `take`."""
        self.inline.ended(lsn)
        if self.is_beside:
            self.beside.ended(lsn)

    def abandoned(self, records: int, *, refused: bool) -> None:
        """Both: see `take`."""
        self.inline.abandoned(records, refused=refused)
        self.beside.abandoned(records, refused=refused)

    def durable(self, lsn: int) -> None:
        """Of the one at work."""
        self._now.durable(lsn)

    def fresh(self) -> int:
        """Of the one at work."""
        return self._now.fresh()

    def is_due(self) -> bool:
        """Of the one at work."""
        return self._now.is_due()

    @property
    def holds_back(self) -> bool:
        """Of the one at work."""
        return self._now.holds_back

    def checkpoint(self, lsn: int) -> None:
        """Of the one at work."""
        self._now.checkpoint(lsn)

    def finish(self, lsn: int) -> None:
        """Of the one at work; a child that is still starting is not waited for if little waits."""
        if self.is_beside and not self.beside.beside.applied and self.beside.lag()[0] <= _LITTLE:
            self.beside.drop()
            self._now = self.inline
        self._now.finish(lsn)

    def room(self) -> int:
        """Of the one at work."""
        return self._now.room()

    def check(self) -> None:
        """Of the one at work."""
        self._now.check()

    def drop(self) -> None:
        """Both."""
        self.inline.drop()
        self.beside.drop()
