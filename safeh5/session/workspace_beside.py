"""The workspace of a session whose applier runs beside it."""

from __future__ import annotations

from collections.abc import Callable

import h5py

from safeh5._typing import Buffer
from safeh5.applier import AtHand
from safeh5.applier.failures import staging_failed
from safeh5.errors import InternalError, SessionStateError
from safeh5.journal import Placed
from safeh5.operations.control import SessionRecord
from safeh5.operations.model import Operation
from safeh5.options import BacklogOptions
from safeh5.recovery.replay import require_base, room_to_begin
from safeh5.session.beside import Beside
from safeh5.storage import Names, Storage
from safeh5.storage.snapshot import SnapshotFile
from safeh5.storage.staging import StagingFile


class BesideWorkspace:
    """Journals now, applies later, in another process.

    Parameters
    ----------
    storage, names : Storage, Names
        Where the staging file lies.
    session_id, session : bytes, SessionRecord
        Whose it is, and how the session began.
    beside : Beside
        Runs the applier.
    backlog : BacklogOptions
        How far it may fall behind.
    """

    def __init__(
        self,
        storage: Storage,
        names: Names,
        session_id: bytes,
        session: SessionRecord,
        beside: Beside,
        backlog: BacklogOptions,
    ) -> None:
        self.journaled = False
        self.uses_h5py = False
        self.beside = beside
        self._backlog = backlog
        self._storage, self._names, self._session_id = storage, names, session_id
        self._session = session
        self._file: h5py.File | None = None
        self._below: StagingFile | None = None
        self._shown_lsn = -1
        self._batch_bytes = 0
        self._batch_records = 0

    def file(self, durable: Callable[[], int]) -> h5py.File:
        """A snapshot with everything written so far, which is made durable and checkpointed for it.

        Raises
        ------
        SessionStateError
            Inside a batch that has records: they are not applied yet.
        """
        if self._batch_records:
            raise SessionStateError(
                "inside a batch the file cannot be looked at while the applier runs beside the session",
                path=self._names.target,
                hint="Look before the batch or after it; or open with applier='inline'",
            )
        lsn = durable()
        if self._file is None or lsn > self._shown_lsn:
            self._close()
            if self.journaled or not self._session.copy:
                self.beside.checkpoint(lsn)
                below: StagingFile = self._snapshot()
            else:
                below = self._unchanged()
            # Whoever reads is told when the disk fails; zeros would be taken for data.
            below.tells_reads = True
            self._file = h5py.File(self._names.target, "r", driver="fileobj", fileobj=below)
            self._below = below
            self._shown_lsn = lsn
        return self._file

    def _unchanged(self) -> StagingFile:
        """The target itself: nothing was written yet, and only looking costs no copy."""
        require_base(self._names, self._session)
        return StagingFile(self._storage.open_readonly(self._names.target), self._names.target)

    def _snapshot(self) -> SnapshotFile:
        below = SnapshotFile.of(self._storage, self._names.staging, self._session_id, self._names.target)
        if below is None:
            raise InternalError("the applier made a checkpoint that is not there", path=self._names.staging)
        return below

    def _close(self) -> None:
        file, below = self._file, self._below
        self._file = self._below = None
        if file is not None:
            file.close()
        if below is not None:
            below.close()

    @property
    def live(self) -> bool:
        """Never: what is handed out is a snapshot."""
        return False

    def look(self, durable: Callable[[], int]) -> h5py.File:
        """As `file`."""
        return self.file(durable)

    def streams(self) -> None:
        """Nothing changes by that."""

    def lag(self) -> tuple[int, float]:
        """How far the child is behind."""
        return self.beside.lag_bytes, self.beside.lag_seconds

    def is_backlogged(self) -> bool:
        """Whether more payload waits in the journal than is allowed."""
        return self.beside.lag_bytes > self._backlog.limit_bytes

    def make_room(self, durable: Callable[[], int]) -> None:
        """Wait for the child, or raise `BacklogFull`."""
        durable()
        self.beside.wait_for_room(self._backlog.limit_bytes, block=self._backlog.block)

    def prepare(self) -> None:
        """Nothing to do: the journal takes the record whatever the applier does."""

    def expect(self) -> None:
        """Nothing to do."""

    def take(self, placed: Placed, size: int) -> None:
        """Count it; the child reads it from the journal."""
        self._batch_bytes += size
        self._batch_records += 1

    def apply(self, operation: Operation, payload: Buffer, lsn: int, at: AtHand | None = None) -> None:
        """Nothing to do: what HDF5 refuses is noticed later."""

    @property
    def applies_first(self) -> bool:
        """Never: the process beside applies what is in the journal."""
        return False

    def apply_first(self, operation: Operation, payload: Buffer, lsn: int, at: AtHand | None) -> None:
        """Never asked for: nothing is applied here."""
        raise InternalError("a process beside applies what is in the journal, and nothing before", lsn=lsn)

    def write_back(self) -> None:
        """Nothing was applied here."""

    def ended(self, lsn: int) -> None:
        """The batch is the applier's from now on; what was opened for reading is closed.

        It would stay what it is, whatever the child does next; but nobody is to
        take it for the file with everything in it.
        """
        self._close()
        self.beside.wrote(lsn, self._batch_bytes)
        self._batch_bytes = self._batch_records = 0

    def abandoned(self, records: int, *, refused: bool) -> None:
        """The child never sees a cancelled batch."""
        self._batch_bytes = self._batch_records = 0

    def durable(self, lsn: int) -> None:
        """Tell the child how far it may go."""
        self.beside.durable(lsn)

    def fresh(self) -> int:
        """Of no concern here: the child checkpoints by itself."""
        return 0

    def is_due(self) -> bool:
        """The child checkpoints by itself."""
        return False

    @property
    def holds_back(self) -> bool:
        """Never: what is handed out is a snapshot."""
        return False

    def checkpoint(self, lsn: int) -> None:
        """Have the child checkpoint, and wait for it."""
        self.beside.checkpoint(lsn)

    def finish(self, lsn: int) -> None:
        """Have the child close the file with everything in it, and wait for it."""
        self._close()
        self.beside.finish(lsn)

    def room(self) -> int:
        """What waits to be applied, what the child has in memory, and the copy that it begins with."""
        return self.beside.unwritten + self._room_to_begin()

    def _room_to_begin(self) -> int:
        if self._storage.exists(self._names.staging):
            return 0
        return room_to_begin(self._storage, self._names, self._session)

    def check(self) -> None:
        """Raise if the disk below the snapshot has failed."""
        error = None if self._below is None else self._below.error
        if self._below is not None and isinstance(error, OSError):
            raise staging_failed(error, self._below.path) from error

    def drop(self) -> None:
        """End the child; it may be started again."""
        self._close()
        self._shown_lsn = -1
        self.beside.drop()
