"""A session: one transaction on one HDF5 file, from opening to commit.

States
------
::

    OPEN --commit--> COMMITTING --> COMMITTED
      |                  |
      |                  +--------> OPEN        nothing was decided (no room, target changed)
      |                  +--------> FAILED      the COMMIT record may be there: recover decides
      +--rollback--> ROLLED_BACK
      +--suspend---> SUSPENDED
      +--a failed fsync, a lost lock--> FAILED

=============  =================================  ==============================
state          on disk                            target
=============  =================================  ==============================
OPEN           sidecar, journal growing, staging  as the session found it
COMMITTING     staging whole; COMMIT record last  as found, until the rename
COMMITTED      no sidecar                         the new file
ROLLED_BACK    no sidecar, or kept aside          as the session found it
SUSPENDED      sidecar, journal ends in SEAL      as the session found it
FAILED         sidecar                            as found, or the new file whole
=============  =================================  ==============================

Invariants
----------
1. The lock is held from before the sidecar is looked at until after it is gone
   or sealed.
2. An operation is in the journal before the applier sees it, and its batch has
   no END before every operation of it was applied that HDF5 might refuse: what
   HDF5 refuses was never acknowledged. What it is sure to take may wait in the
   journal (docs/decisions/0013). A small one that is gathered in memory goes to
   HDF5 first, and into the journal in the same step (docs/decisions/0019).
3. The staging file holds the ended batches, but for those that wait, and those
   operations of the open batch that were applied. When that is no longer sure
   it is thrown away and made again from the journal when next needed. Nobody
   looks at it, and no checkpoint is made of it, before what waits is applied.
4. After a failed fsync nothing is acknowledged any more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import h5py
import numpy.typing as npt

from safeh5.errors import (
    FreeSpaceError,
    InvalidOptionError,
    JournalWriteError,
    SafeH5Error,
    SessionFailedError,
    TargetChangedError,
    recover_command,
)
from safeh5.events import logger
from safeh5.journal import Kind
from safeh5.microdata import FileNamespace, MicroData, plan_write
from safeh5.operations.control import RollbackRecord, SealRecord, now
from safeh5.operations.values import StoredReference
from safeh5.options import KIB, OnError
from safeh5.recovery.report import ResumeReport
from safeh5.session import ending
from safeh5.session.core import SessionCore
from safeh5.session.disk import DiskStatus
from safeh5.session.packing import Packer
from safeh5.session.parts import Parts
from safeh5.session.reading import reading
from safeh5.session.state import State
from safeh5.session.stream import Stream
from safeh5.session.streaming import absolute, new_dataset, open_stream, require_items
from safeh5.session.written import Written
from safeh5.storage.fingerprint import Fingerprint
from safeh5.storage.interrupts import Uncollected

COMMIT_BYTES: Final = 64 * KIB
"""Room for the last records of the journal, a segment for them included."""


class Session(SessionCore):
    """One transaction on one HDF5 file; made by `safeh5.open`.

    Attributes
    ----------
    target : str
        Path of the HDF5 file, symbolic links resolved.
    state : State
        Where the session stands.
    """

    # --- looking and writing ------------------------------------------------------

    @property
    def file(self) -> h5py.File:
        """The file as it will be, for reading with h5py.

        It holds everything written so far. Do not change it: what is written
        past the session is not journaled and will be gone after a crash. It
        closes when the session ends, and from the first use on everything is
        applied before a call returns, so that it is there at once. With
        ``applier="process"`` it is a snapshot, and closes when something is written.
        """
        with self._working():
            self._before_looking()
            return self._workspace.file(self._applicable)

    @property
    def disk(self) -> DiskStatus:
        """Free space as it is now, the thresholds, and how long it lasts."""
        return self._log.disk.status()

    def check(self) -> None:
        """Raise if the disk below `file` has failed; what was read from it may then be wrong.

        Raises
        ------
        ApplyError, DiskFullError
            The file is made again when next needed; nothing acknowledged is lost.
        """
        with self._working():
            self._workspace.check()

    def describe_reference(self, reference: Any) -> StoredReference | None:
        """What an h5py reference taken from `file` refers to."""
        return FileNamespace(self._look()).describe(reference)

    def write(
        self, tree: MicroData | Sequence[MicroData], *, exist_ok: bool = False, overwrite: bool = False
    ) -> Written:
        """Write a MicroData tree as one batch: whole, or not at all.

        Parameters
        ----------
        tree : MicroData or sequence of MicroData
            What to write. Existing groups are merged with, their attributes set.
        exist_ok : bool
            A dataset that exists with the same shape and type takes the new values.
        overwrite : bool
            A dataset that exists is deleted and made anew.

        Returns
        -------
        Written
            The paths the nodes got. With durability ``"record"`` the tree
            survives a power cut from here on.

        Raises
        ------
        InvalidTreeError
            If the tree does not fit, with the node's path; nothing was written.
        DiskFullError
            If there is no room; the batch does not exist, the session goes on.
        """
        lsn = self.last_lsn

        def ended(end: int) -> None:
            nonlocal lsn
            lsn = end

        with self.batch():
            self.at_end(ended)
            with reading(self._workspace), Uncollected():
                plan = plan_write(tree, FileNamespace(self._look()), exist_ok=exist_ok, overwrite=overwrite)
            packer = Packer(self._record)
            packer.take(plan.operations(self._options.frame_bytes))
            packer.flush()
            for path in plan.paths.values():
                # What stood there may have been made anew; a stream on it would not know.
                self._streams.forget(path)
            lsn = self.last_lsn  # and that of END, once it is known
        return Written(lsn, tuple(plan.paths.values()), plan.paths)

    def stream(
        self,
        path: str,
        shape: tuple[int, ...] | None = None,
        dtype: npt.DTypeLike | None = None,
        *,
        chunks: tuple[int, ...] | bool | None = None,
        compression: Any = None,
        attrs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Stream:
        """A dataset that grows along its first axis: made, or opened if it is there.

        Parameters
        ----------
        path : str
            HDF5 path; missing groups are made.
        shape : tuple of int, optional
            Shape of one item; needed to make the dataset.
        dtype : dtype, optional
            Type of the elements; needed to make the dataset.
        chunks : tuple of int, optional
            Chunk shape, axis 0 first; one item, or as many small ones as fill
            64 KiB, by default.
        compression, attrs, **options
            As for `MicroDataset`.

        Returns
        -------
        Stream
            Its `Stream.length` says which item comes next.

        Raises
        ------
        InvalidTreeError
            If what stands at `path` is no dataset that can take such items.
        """
        path = absolute(path)
        with self._mutex:
            self._require_open()
            self._workspace.streams()
            if known := self._streams.get(path):
                require_items(known, shape, dtype)
                return known
            with reading(self._workspace):
                is_new = FileNamespace(self._look()).kind(path) is None
            if is_new:
                self.write(new_dataset(self._look(), path, shape, dtype, chunks, compression, attrs, options))
                self.on_cancel(partial(self._streams.forget, path))
            with reading(self._workspace):
                return self._streams.add(open_stream(self, path, shape, dtype))

    def rewind(self, stream: Stream | str, length: int | None = None) -> int:
        """Drop the items of a stream from `length` on; journaled like everything else.

        Parameters
        ----------
        stream : Stream or str
            The stream, or the path of its dataset.
        length : int
            Items that stay; it has to be said.

        Returns
        -------
        int
            LSN of the record.

        Raises
        ------
        InvalidOptionError
            There is no such stream, or it has not so many items; nothing was dropped.
        """
        if isinstance(stream, str):
            stream = self.stream(stream)
        if not isinstance(stream, Stream):
            raise InvalidOptionError(f"cannot rewind {stream!r}: it is neither a stream nor the path of one")
        if length is None:
            raise InvalidOptionError(
                f"to which length {stream.path} is to be rewound was not said; it has {stream.length} items",
                hint=f"Say how many of them stay: session.rewind({stream.path!r}, length)",
            )
        return stream.rewind(length)

    @property
    def resume_report(self) -> ResumeReport | None:
        """What was there of each stream when an interrupted session was gone on with.

        None when the session began anew. A stream is listed when items were
        appended to it before.
        """
        with self._mutex:
            return self._streams.report()

    # --- ending -------------------------------------------------------------------

    def commit(self) -> None:
        """Put the new file in the place of the target, atomically and durably.

        On return the target is the new file, on disk, and the sidecar is gone.

        Raises
        ------
        TargetChangedError, VerificationError, DiskFullError
            Nothing was decided: target untouched, session open as before.
        LockLostError
            Nothing was decided, and the session has FAILED: somebody else may hold the lock now.
        SessionFailedError
            The disk failed in the last steps; ``safeh5 recover`` finishes them.
        """
        with self._working("commit"):
            self._require_lock()
            self._flush_rows()
            if not self._workspace.journaled and self._parts.record.copy:
                # Nothing was changed: the target is its own result.
                self._leave(State.COMMITTED, ending.retire)
                return
            self._log.disk.require(self._workspace.room() + COMMIT_BYTES, "the commit")
            self._decide(self._prepare())
            self._leave(State.COMMITTED, ending.place_and_retire)

    def _prepare(self) -> Fingerprint:
        """The new file, whole, closed and on disk; after an error the session is open as before."""
        self.state = State.COMMITTING
        try:
            return self._log.disk.with_reserve(lambda: ending.prepare(self._parts))
        finally:
            self.state = State.OPEN

    def _decide(self, result: Fingerprint) -> None:
        """Write the COMMIT record; if it is not sure whether it is there, recovery finds out."""
        self.state = State.COMMITTING
        try:
            ending.decide(self._parts, result)
        except BaseException as error:
            refused = isinstance(error, TargetChangedError | FreeSpaceError | JournalWriteError)
            # A write that failed was taken back: there is no COMMIT record. After a failed sync nobody knows.
            if refused and not self._log.journal.failed:
                self.state = State.OPEN
            else:
                self._fail()
            raise

    def rollback(self, *, keep: bool = False) -> None:
        """Give up everything written since the session began; the target stays as it is.

        Parameters
        ----------
        keep : bool
            Keep the sidecar under another name instead of deleting it.
        """
        with self._working("roll back"):
            self._require_lock()
            self.rows = None
            self._workspace.drop()
            try:
                self._log.control(Kind.ROLLBACK, RollbackRecord(time=now()))
            except (FreeSpaceError, JournalWriteError) as error:
                if self._log.journal.failed:
                    raise
                # The record only spares a question after a crash in the next
                # step; to give up must be possible on a full or failing disk.
                logger.warning("the roll back is not noted in the journal: %s", error)
            self._leave(State.ROLLED_BACK, ending.set_aside if keep else ending.retire)

    def suspend(self) -> None:
        """Seal the journal and let the session rest: resume, replay or roll back later.

        On return everything written is durable and the lock is free.
        """
        with self._working("suspend"):
            self._require_lock()
            self._flush_rows()
            self._log.control(Kind.SEAL, SealRecord(time=now()))
            self._workspace.drop()
            self._leave(State.SUSPENDED, ending.nothing)

    def _leave(self, state: State, last_steps: Callable[[Parts], None]) -> None:
        """Do what is left after the decision; whatever happens, let go of everything."""
        if self._interval is not None:
            self._interval.stop()
        try:
            last_steps(self._parts)
        except OSError as error:
            self._fail()
            raise SessionFailedError(
                f"the session is {state}, but its last steps failed: {error.strerror or error}",
                path=self.target,
                safe="Nothing is lost",
                hint="Finish with: "
                + recover_command(self.target, *(["--rollback"] if state is State.ROLLED_BACK else [])),
            ) from error
        except BaseException:
            self._fail()
            raise
        self.state = state
        self._let_go()

    # --- with ---------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.state is not State.OPEN or os.getpid() != self._pid:
            return
        if error is None:
            self._commit_or_release()
            return
        logger.error("%s left the session on %s: %s", type(error).__name__, self.target, self._on_error.value)
        end = {OnError.COMMIT: self.commit, OnError.ROLLBACK: self.rollback, OnError.SUSPEND: self.suspend}
        try:
            end[self._on_error]()
        except SafeH5Error as second:
            # The first exception is what the caller must see.
            logger.error("%s", second)
            self._abandon()
        if self._on_error is OnError.SUSPEND:
            logger.error("nothing is lost; commit what was written with: %s", recover_command(self.target))

    def _commit_or_release(self) -> None:
        """Commit at the end of a ``with``; when that is refused nobody is left to try again."""
        try:
            self.commit()
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        """Let go without a word in the journal: to recovery this is an interrupted session."""
        if self.state is State.OPEN:
            self._fail()
