"""How a session takes single records where HDF5 works in the caller: in one step that no crash parts.

By size of the payload, with durability ``"interval"`` or ``"flush"``:

- small (up to `SMALL`): HDF5 first, then the journal (`Applied._record_applied`);
- large (up to `LARGE`): HDF5 and the journal at the same time (`Applied._record_beside`);
- beyond that, and with ``"record"``: the journal, HDF5, then END (`Recording._record_alone`).

In the first two a full disk leaves the record in memory, so it is bounded by `LARGE`.
See docs/decisions/0007, 0019 and 0022.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from safeh5._typing import Buffer
from safeh5.applier import AtHand
from safeh5.errors import ApplyError, FreeSpaceError, JournalWriteError, SessionFailedError
from safeh5.events import logger
from safeh5.journal import JournalWriter
from safeh5.operations.model import Operation
from safeh5.options import KIB, MIB, JournalOptions
from safeh5.session.helper import Helper
from safeh5.session.parts import Parts
from safeh5.session.recording import Recording
from safeh5.session.rows import LARGEST_ITEM
from safeh5.session.workspace import Workspace
from safeh5.storage.interrupts import Uninterrupted

SMALL: Final = 256 * KIB
"""To have a second thread write less than this takes longer than to write it."""
LARGE: Final = 16 * MIB


class Applied(Recording):
    """A session as far as it takes records, those of h5py's objects with what they have at hand."""

    def __init__(self, parts: Parts, options: JournalOptions) -> None:
        super().__init__(parts, options)
        self._helper: Helper[int] = Helper()

    def record(self, operation: Operation, payload: Buffer = b"", at: AtHand | None = None) -> int:
        """Journal one operation and apply it; outside a batch it is a batch of its own.

        Parameters
        ----------
        operation : Operation
            What to change.
        payload : C-contiguous buffer
            The values; not copied.
        at : AtHand, optional
            What the caller has open of it.

        Returns
        -------
        int
            Its LSN. Outside a batch, and with durability ``"record"``, it is
            on disk.

        Raises
        ------
        ApplyError
            If HDF5 refuses it; it is then cancelled in the journal.
        """
        with self._mutex:
            if self._log.in_batch:
                with self.batch():
                    return self._record(operation, payload, at=at)
            size = memoryview(payload).nbytes
            if size > LARGE or not (self.gathers and self._workspace.applies_first):
                lsn, end = self._record_alone(lambda: operation, payload, at=at)
            else:
                end = lsn = self._record_at_once(operation, payload, size, at)
        self._keep_promise(end)
        self._tend()
        return lsn

    def _record_at_once(self, operation: Operation, payload: Buffer, size: int, at: AtHand | None) -> int:
        """A batch of one operation that no crash of the caller can part; the mutex is held.

        What HDF5 refuses does not exist. What it takes is there at once, if only in memory on a full
        disk; and no checkpoint holds it before the journal on the disk does, since that is synced before.
        """
        self._require_open()
        try:
            self._make_ready(size)
        except (JournalWriteError, SessionFailedError):
            self._fail_if_poisoned()
            raise
        self._unsettle(operation)
        lsn = 0
        try:
            # No interrupt between HDF5 and the journal.
            with Uninterrupted():
                if size <= SMALL:
                    lsn = self._record_applied(operation, payload, size, at)
                else:
                    lsn = self._record_beside(operation, payload, at)
                self._note_end(lsn)
        except BaseException as error:
            if not lsn:
                self._take_back(error)
                self._fail_if_poisoned()
            raise
        return lsn

    def _make_ready(self, size: int) -> None:
        """Whatever may raise without a trace does so here."""
        if self.rows is not None or self._workspace.is_backlogged():
            self._before_records()
        self._log.disk.spend(size)
        self._workspace.prepare()
        self._log.make_ready()

    def _record_applied(self, operation: Operation, payload: Buffer, size: int, at: AtHand | None) -> int:
        """HDF5, then the journal; returns the LSN."""
        self._workspace.apply_first(operation, payload, self._log.journal.next_lsn, at)
        gather = self._gathers_frames and size <= LARGEST_ITEM
        return self._log.applied(operation, payload, gather=gather)

    def _record_beside(self, operation: Operation, payload: Buffer, at: AtHand | None) -> int:
        """HDF5, and the journal at the same time; returns the LSN of what makes the record exist.

        The frame alone is nothing: HDF5 might refuse what it holds. END comes when both are done.
        """
        log = self._log
        lsn = log.journal.next_lsn
        log.begin()
        self._helper.begin(
            lambda: log.record(operation, payload), partial(_write_back, log.journal, self._workspace)
        )
        try:
            self._workspace.apply_first(operation, payload, lsn, at)
        finally:
            written = self._is_written()
        if written:
            return log.end_applied()
        log.abort()
        return log.applied(operation, payload, gather=False)

    def _is_written(self) -> bool:
        """Wait for the journal; whether it took the record."""
        try:
            self._helper.result()
        except (FreeSpaceError, JournalWriteError) as error:
            if self._log.journal.failed:
                raise
            logger.warning("the journal is not written at the moment: %s", error)
            return False
        return True

    def _take_back(self, error: BaseException) -> None:
        """Of a record that does not exist, the staging file may hold a part."""
        if self._log.in_batch:
            self._abandon_batch(error)
        else:
            self._epoch += 1
            self._names_epoch += 1
            self._workspace.abandoned(1, refused=isinstance(error, ApplyError))

    def _let_go(self) -> None:
        self._helper.stop()
        super()._let_go()


def _write_back(journal: JournalWriter, workspace: Workspace) -> None:
    """In the helper's thread: begin with what the next flush would have to wait for."""
    journal.write_back()
    workspace.write_back()
