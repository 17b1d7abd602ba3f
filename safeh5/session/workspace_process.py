"""The workspace of ``applier="process"``: beside from the beginning, but for a batch that looks at itself.

States
------
::

    BESIDE --a tree is planned in a batch that has records--> IN THE CALLER
    IN THE CALLER --before the next batch, or to end--> BESIDE

What a second tree in one batch may build on (is there such a group, which
index comes next) stands in records that the child is not to see before the
batch has its END. So the caller takes the staging file for the rest of the
batch, at a checkpoint, and gives it back afterwards.
"""

from __future__ import annotations

from collections.abc import Callable

import h5py

from safeh5.journal import Placed
from safeh5.session.workspace_auto import Auto
from safeh5.session.workspace_beside import BesideWorkspace
from safeh5.session.workspace_inline import Inline


class Process(Auto):
    """Applies beside.

    Parameters
    ----------
    inline, beside : Inline, BesideWorkspace
        The two ways; on the same files, and never at work at once.
    """

    # What is done in the caller takes h5py's lock inside the session's, and nothing the other way
    # round: h5py objects that are journaled are refused with an applier beside.
    uses_h5py = False

    def __init__(self, inline: Inline, beside: BesideWorkspace) -> None:
        super().__init__(inline, beside)
        self._now = beside

    def _is_worth_a_child(self) -> bool:
        return not self.is_beside

    def file(self, durable: Callable[[], int]) -> h5py.File:
        """A snapshot; inside a batch that has records it is refused."""
        self._give_back(durable)
        return self.beside.file(durable)

    def take(self, placed: Placed, size: int) -> None:
        """Both, whoever is at work: the snapshot is refused while the batch has records."""
        self.inline.take(placed, size)
        self.beside.take(placed, size)

    def finish(self, lsn: int) -> None:
        """Have the child finish."""
        self._give_back(lambda: lsn)
        self.beside.finish(lsn)

    def checkpoint(self, lsn: int) -> None:
        """Have the child make one."""
        self._give_back(lambda: lsn)
        self.beside.checkpoint(lsn)

    def _give_back(self, durable: Callable[[], int]) -> None:
        if not self.is_beside and not self.inline.in_batch:
            self._leave_to_child(durable)
