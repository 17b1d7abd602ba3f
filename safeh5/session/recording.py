"""How a session takes records: in batches, alone, or gathered; the order of journaling and applying.

The numbered invariants stand at the head of `safeh5.session.session`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

from safeh5._typing import Buffer
from safeh5.applier import AtHand
from safeh5.errors import (
    ApplyError,
    JournalWriteError,
    SafeH5Error,
    SessionFailedError,
    SessionStateError,
)
from safeh5.events import logger
from safeh5.journal import Placed
from safeh5.operations import model
from safeh5.operations.model import Operation
from safeh5.options import Durability, JournalOptions
from safeh5.session.guarded import Guarded
from safeh5.session.parts import Parts
from safeh5.session.rows import RowBlock
from safeh5.session.state import State
from safeh5.session.tasks import Aside, Turn

if TYPE_CHECKING:
    from safeh5.session.stream import Stream

_RENAMING: Final = frozenset({model.Delete, model.Move, model.Copy})
"""Operations after which a path may mean another object."""


class Recording(Guarded, ABC):
    """A session as far as it takes records; when they are durable is settled above.

    Attributes
    ----------
    aside : Aside
        Makes calls beside an event loop.
    """

    def __init__(self, parts: Parts, options: JournalOptions) -> None:
        super().__init__(parts)
        self._options = options
        self._spoiled: BaseException | None = None
        self._undo: list[Callable[[], None]] = []
        self._told_at_end: list[Callable[[int], None]] = []
        self._epoch = self._names_epoch = 0
        self._turn = Turn()
        self.aside = Aside(self._turn, self._settle)
        # Only where nothing is promised before the next flush: a kill takes what is in memory.
        self._gathers_frames = options.durability is Durability.FLUSH

    @abstractmethod
    def _all_durable(self) -> int:
        """Sync, and tell the workspace; returns the LSN of the last record."""

    @abstractmethod
    def _keep_promise(self, lsn: int | None) -> None:
        """Make a batch durable as the session's policy says; None for a batch that left no trace."""

    @abstractmethod
    def _tend(self) -> None:
        """Checkpoint when enough has come together."""

    @property
    def last_lsn(self) -> int:
        """LSN of the last record appended to the journal; its own sync marks do not count."""
        rows, last = self.rows, self._log.journal.last_record
        return last if rows is None else max(last, rows.lsn)

    @property
    def in_batch(self) -> bool:
        """Whether a batch is open."""
        return self._log.in_batch

    @property
    def epoch(self) -> int:
        """Changes whenever what stands at a path may have become something else, or of another extent."""
        return self._epoch

    @property
    def names_epoch(self) -> int:
        """Changes whenever another object may stand at a path."""
        return self._names_epoch

    # --- batches ------------------------------------------------------------------

    @contextmanager
    def batch(self) -> Iterator[Self]:
        """Everything written inside is applied whole or not at all.

        An exception that leaves the block cancels the batch. A batch inside a
        batch is part of it; when a part fails the whole cannot be ended any
        more, even if the exception is caught. Under asyncio it is the batch of
        the task that begins it, and of the tasks made inside. When the
        outermost block has ended, what is in it is as durable as the session's
        durability says: with ``"record"``, on disk.

        Yields
        ------
        Session
            The session itself.

        Raises
        ------
        SessionStateError
            A part of the batch had failed; none of it is written.
        DiskFullError, JournalWriteError
            The batch does not exist.
        """
        with self._working():
            if self._log.in_batch:
                self._turn.require_mine(self.target)
                with self._part_of_batch():
                    yield self
                return
            self._before_records()
            self._log.begin()
            self._turn.begin()
            try:
                yield self
                end = self._end_batch()
            except BaseException as error:
                self._abandon_batch(error)
                raise
            finally:
                self._turn.end()
        # Not under the mutex: while the disk works for one thread, others go
        # on appending, and one sync then serves them all.
        self._keep_promise(end)
        self._tend()

    def record_next(
        self,
        make: Callable[[], Operation],
        payload: Buffer,
        noted: Callable[[int], None],
        *,
        sure_in: int,
    ) -> int:
        """Journal the operation that comes next; where HDF5 is known to take it, it is applied later.

        Parameters
        ----------
        make : callable
            Gives the operation; called when nothing else can come before it.
        payload : C-contiguous buffer
            As for `record`.
        noted : callable
            Called with the LSN, once the record exists or in the batch that it is part of.
        sure_in : int
            The `epoch` in which HDF5 is known to take the operation.

        Returns
        -------
        int
            As for `record`.
        """
        with self._mutex:
            sure = sure_in == self._epoch and not self._workspace.live
            if self._log.in_batch:
                with self.batch():
                    lsn = self._record(make(), payload, sure=sure)
                    noted(lsn)
                    return lsn
            end: int | None
            if sure:
                with self._working():
                    self._before_records()
                    end = lsn = self._record_whole(make, payload, noted)
            else:
                lsn, end = self._record_alone(make, payload, noted)
        if not self.aside.put_off(end):
            self._settle(end)
        return lsn

    def _settle(self, end: int | None) -> None:
        self._keep_promise(end)
        self._tend()

    def on_cancel(self, undo: Callable[[], None]) -> None:
        """Call `undo` if the open batch is cancelled, latest first; outside a batch never."""
        if self._log.in_batch:
            self._undo.append(undo)

    def at_end(self, told: Callable[[int], None]) -> None:
        """Call `told` with the LSN of the open batch's END, if it gets one."""
        self._told_at_end.append(told)

    def _before_records(self) -> None:
        """Outside a batch, before the next one: keep the order, and see that the applier keeps up."""
        self._flush_rows()
        if self._workspace.is_backlogged():
            self._workspace.make_room(self._all_durable)

    def _unsettle(self, operation: Operation) -> None:
        """Before an operation: what is known of paths and extents may not hold after it."""
        kind = type(operation)
        if kind in _RENAMING:
            self._epoch += 1
            self._names_epoch += 1
        elif kind is model.Resize:
            self._epoch += 1

    def _record(
        self, operation: Operation, payload: Buffer, sure: bool = False, at: AtHand | None = None
    ) -> int:
        """Append to the journal, then apply unless that is sure to go well (invariant 2); a batch is open."""
        self._unsettle(operation)
        size = memoryview(payload).nbytes
        self._log.disk.spend(size)
        sure = sure and not self._workspace.live
        if sure:
            self._workspace.expect()
        else:
            self._workspace.prepare()
        lsn = self._log.record(operation, payload)
        self._workspace.take(self._placed, size)
        if not sure:
            self._workspace.apply(operation, payload, lsn, at)
        return lsn

    def _record_alone(
        self,
        make: Callable[[], Operation],
        payload: Buffer,
        noted: Callable[[int], object] = abs,
        at: AtHand | None = None,
    ) -> tuple[int, int | None]:
        """A batch of one operation, with its END once it was applied; the mutex is held."""
        with self._working():
            self._before_records()
            self._log.begin()
            try:
                lsn = self._record(make(), payload, at=at)
                noted(lsn)
                return lsn, self._end_batch()
            except BaseException as error:
                self._abandon_batch(error)
                raise

    def _record_whole(
        self, make: Callable[[], Operation], payload: Buffer, noted: Callable[[int], None]
    ) -> int:
        """A batch that is one frame: it exists at once, so what follows is done whatever happens."""
        before, size = self._log.placed, memoryview(payload).nbytes
        self._log.disk.spend(size)
        self._workspace.expect()
        try:
            return self._log.record_whole(make(), payload)
        finally:
            placed = self._log.placed
            if placed is not None and placed is not before:
                self._workspace.take(placed, size)
                self._note_end(placed.lsn)
                noted(placed.lsn)

    # --- rows ---------------------------------------------------------------------

    @property
    def gathers(self) -> bool:
        """Whether small items may wait in memory: nothing is promised for them before the next sync."""
        return self._options.durability is not Durability.RECORD

    @property
    def live(self) -> bool:
        """Whether somebody may look at `file` at any time, so that nothing may wait."""
        return self._workspace.live

    def begin_rows(self, stream: Stream) -> RowBlock:
        """A new block for a stream's rows, once the one before is journaled; the mutex is held.

        Raises
        ------
        DiskFullError
            There is no room for the block before; it stays as it is.
        """
        self._do(self._before_records)
        # Before the block begins: a checkpoint takes the block away, which nobody would
        # journal who filled it then, and the LSN that the block was to have.
        self._tend()
        self._require_open()
        block = self.rows = RowBlock(stream, stream.length, self._log.journal.next_lsn)
        if self._interval is not None:
            self._interval.note()
        return block

    def _flush_rows(self) -> None:
        """Journal the rows that wait, as one record; outside a batch, with the mutex held."""
        block = self.rows
        if block is None:
            return
        if block.count:
            try:
                self._record_whole(block.operation, block.payload, lambda lsn: self._rows_noted(block, lsn))
            except (JournalWriteError, SessionFailedError):
                self._fail_if_poisoned()
                raise
        self.rows = None

    def _rows_noted(self, block: RowBlock, lsn: int) -> None:
        block.stream.rows_noted(lsn, block)
        self.rows = None

    def _let_go(self) -> None:
        self.aside.close()
        super()._let_go()

    def _last_words(self) -> None:
        if self.state is State.OPEN and not self._log.in_batch:
            try:
                self._flush_rows()
            except SafeH5Error as error:
                logger.error("the last rows of a stream are still in memory only: %s", error)

    @property
    def _placed(self) -> Placed:
        placed = self._log.placed
        assert placed is not None
        return placed

    @contextmanager
    def _part_of_batch(self) -> Iterator[None]:
        before = self._log.records
        try:
            yield
        except BaseException as error:
            if self._log.records > before:
                self._spoiled = error
            raise

    def _end_batch(self) -> int | None:
        """Append END; returns its LSN, or None for a batch that left no trace."""
        if self._spoiled is not None:
            raise SessionStateError(
                f"a part of this batch failed ({self._spoiled}), so none of it is written", path=self.target
            )
        if not self._log.records:
            self._log.abort()
            return None
        end = self._log.end()
        self._note_end(end)
        return end

    def _note_end(self, end: int) -> None:
        """The batch has its END; done twice is done once."""
        self._undo.clear()
        while self._told_at_end:
            self._told_at_end.pop()(end)
        self._workspace.journaled = True
        self._workspace.ended(end)

    def _abandon_batch(self, error: BaseException) -> None:
        """Cancel the open batch; the staging file may hold a part of it (invariant 3)."""
        if not self._log.in_batch:
            # Interrupted when its END was in the journal already: the batch exists.
            self._note_end(self.last_lsn)
            return
        records, self._spoiled = self._log.records, None
        self._told_at_end.clear()
        self._epoch += 1
        self._names_epoch += 1
        while self._undo:
            self._undo.pop()()
        try:
            self._log.abort()
        except SafeH5Error as second:
            logger.error("the batch could not be cancelled: %s", second)
        self._workspace.abandoned(records, refused=isinstance(error, ApplyError))
