"""Where operations are applied: the staging file, as the session sees it.

`Workspace` is what a session asks for. `Inline` does it in the caller,
`BesideWorkspace` in a child process. `Process` and `Auto` have both and ask one
of them: the child from the beginning, or once the run is worth one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import h5py

from safeh5._typing import Buffer
from safeh5.applier import AtHand
from safeh5.journal import Placed
from safeh5.operations.model import Operation


class Workspace(Protocol):
    """Applies what a session journals.

    Attributes
    ----------
    journaled : bool
        Whether the journal holds ended batches; kept by the session.
    uses_h5py : bool
        Whether operations are applied by h5py in the caller.
    """

    journaled: bool
    uses_h5py: bool

    @property
    def applies_first(self) -> bool:
        """Whether operations can be applied in the caller before they are journaled."""

    @property
    def live(self) -> bool:
        """Whether somebody outside may look at the staging file at any time: then nothing waits."""

    def file(self, durable: Callable[[], int]) -> h5py.File:
        """The file with everything written so far, for reading; `durable` syncs it and gives its LSN."""

    def look(self, durable: Callable[[], int]) -> h5py.File:
        """The same for the session itself, which lets go of it before it writes."""

    def streams(self) -> None:
        """The session has a stream."""

    def lag(self) -> tuple[int, float]:
        """Payload bytes that wait to be applied, and for how many seconds the oldest has."""

    def is_backlogged(self) -> bool:
        """Whether more waits to be applied than is allowed."""

    def make_room(self, durable: Callable[[], int]) -> None:
        """See that it is no longer so, or raise `BacklogFull`; `durable` as in `file`."""

    def prepare(self) -> None:
        """An operation is about to be journaled that is to be applied at once: be ready, or refuse."""

    def expect(self) -> None:
        """An operation is about to be journaled that may wait: see to what must come before any change."""

    def take(self, placed: Placed, size: int) -> None:
        """An operation of the open batch was journaled, with so many payload bytes."""

    def apply(self, operation: Operation, payload: Buffer, lsn: int, at: AtHand | None = None) -> None:
        """Apply the operation just taken now: only HDF5 knows whether it can be."""

    def apply_first(self, operation: Operation, payload: Buffer, lsn: int, at: AtHand | None) -> None:
        """Apply, outside any batch, what is journaled next, at `lsn`; see `prepare`.

        Only where `applies_first`. Whoever cannot journal it then says so by `abandoned`.
        """

    def write_back(self) -> None:
        """Have the system begin to write what was applied by `apply_first`; in any thread."""

    def ended(self, lsn: int) -> None:
        """The batch has its END, at `lsn`."""

    def abandoned(self, records: int, *, refused: bool) -> None:
        """The open batch, of so many records, is cancelled; `refused` by HDF5 itself."""

    def durable(self, lsn: int) -> None:
        """Everything up to `lsn` is on disk."""

    def fresh(self) -> int:
        """Payload bytes that were applied since the last checkpoint."""

    def is_due(self) -> bool:
        """Whether the session should checkpoint now."""

    @property
    def holds_back(self) -> bool:
        """Whether a checkpoint now would take away what somebody outside has open on the staging file."""

    def checkpoint(self, lsn: int) -> None:
        """Make everything up to `lsn`, durable and outside a batch, the staging file's next checkpoint."""

    def finish(self, lsn: int) -> None:
        """Close the staging file with everything up to `lsn` in it: whole, and durable."""

    def room(self) -> int:
        """Bytes of room that `finish` needs at most."""

    def check(self) -> None:
        """Raise if the disk below what `file` gave has failed: what was read since may be wrong."""

    def drop(self) -> None:
        """Let go of the staging file; everything open on it becomes invalid."""
