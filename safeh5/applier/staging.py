"""The staging file: the HDF5 file under construction, and the only one we open for writing.

It is a product. Whatever happens to it (libhdf5 fails, the disk below it is
full, the process dies), the open handle is thrown away and the file gone on
with from its last checkpoint, or made again from the target it began with.
The journal has the rest.

libhdf5 never writes to the disk itself. It writes through the pager, a Python
file object that keeps errors to itself, because libhdf5 answers a full disk
with lost groups and then a segmentation fault; and that keeps the file on disk
at its last checkpoint. For that libhdf5's metadata cache may evict nothing:
between two flushes it then writes raw data only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import h5py
from h5py import h5d, h5f

from safeh5.applier.applier import Applier
from safeh5.applier.below import note
from safeh5.applier.evictions import CACHE_KEPT, allow_evictions, forbid_evictions
from safeh5.applier.failures import latched_error, telling
from safeh5.applier.fence import Place, fenced
from safeh5.applier.superblock import clear_open_mark
from safeh5.errors import ApplyError, NotHDF5Error
from safeh5.events import Progress, logger, silent
from safeh5.operations.control import FileCreation
from safeh5.storage import TargetLock
from safeh5.storage.interrupts import Uninterrupted
from safeh5.storage.pager import Pager, forget_checkpoint, read_redo
from safeh5.storage.redo import PAGE

# h5py's own: the layer above replaces them for journaled files.
_open_objects, _flush_file, _flush_dataset = h5f.get_obj_ids, h5f.flush, h5d.DatasetID.flush

when_dropped: list[Callable[[], None]] = []
"""Called whenever a file was dropped, by which everything that was open on it has become invalid."""


class Staging:
    """An HDF5 file open for writing, with the applier that writes it.

    Make one with `create`, `copy_of`, `over` or `last_checkpoint`.

    Attributes
    ----------
    file : h5py.File
        The open file.
    applier : Applier
        Changes it.
    applied : int
        LSN up to which the journal is in the file's last checkpoint; 0 for none.
    """

    def __init__(self, place: Place, fence: TargetLock, below: Pager, file: h5py.File, applied: int) -> None:
        self._place = place
        self._fence = fence
        self._below = below
        self.file = file
        self.path = place.path
        self.applied = applied
        self._userblock: int = file.userblock_size
        self.applier = Applier(file.id, self.check, self._unsettle)
        if not self._userblock:  # else HDF5 gives offsets to datasets that have none
            note(file.id, below)

    @classmethod
    def create(cls, place: Place, creation: FileCreation) -> Staging:
        """An empty staging file, in the place of any left from before."""
        with fenced(place) as fence:
            forget_checkpoint(place.storage, place.path)
            below = Pager.create(place.storage, place.path, place.shown)
            return cls._open(place, fence, below, "w", creation)

    @classmethod
    def copy_of(
        cls, place: Place, source: str, creation: FileCreation, progress: Progress = silent
    ) -> Staging:
        """A staging file that begins as a copy of `source`.

        Raises
        ------
        NotHDF5Error
            If `source` is not a whole HDF5 file.
        DiskFullError
            If there is no room for the copy.
        """
        with fenced(place) as fence:
            forget_checkpoint(place.storage, place.path)
            place.storage.copy_file(source, place.path, progress)
            below = Pager.open(place.storage, place.path, place.shown)
            return cls._open(place, fence, below, "r+", creation)

    @classmethod
    def over(cls, place: Place, source: str, creation: FileCreation) -> Staging:
        """`source` to look at, which takes no room and no time, and becomes a staging file by `own`."""
        with fenced(place) as fence:
            below = Pager.over(place.storage, source, place.shown)
            return cls._open(place, fence, below, "r+", creation)

    @classmethod
    def last_checkpoint(cls, place: Place, creation: FileCreation) -> Staging | None:
        """The staging file as it was at its last checkpoint; None when it has none."""
        if not place.storage.exists(place.path):
            return None
        with fenced(place) as fence:
            redo = read_redo(place.storage, place.path, place.session)
            if redo is None:
                fence.release(remove=True)
                return None
            below = Pager.restore(place.storage, place.path, redo, place.shown)
            return cls._open(place, fence, below, "r+", creation, redo.applied)

    @classmethod
    def _open(
        cls,
        place: Place,
        fence: TargetLock,
        below: Pager,
        mode: str,
        creation: FileCreation,
        applied: int = 0,
    ) -> Staging:
        file = None
        try:
            file = h5py.File(
                place.shown,
                mode,
                driver="fileobj",
                fileobj=below,
                **creation.arguments(new=mode == "w"),
            )
            forbid_evictions(file.id)
            below.settled = mode == "r+"
            return cls(place, fence, below, file, applied)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            latched = below.error
            # A damaged file may open, and not its root group; libhdf5 is to write nothing of it.
            below.error = latched or OSError("the staging file is being dropped")
            with contextlib.suppress(Exception):
                if file is not None:
                    file.close()
            below.close()
            if latched is not None:
                raise latched_error(latched, below.path) from latched
            raise NotHDF5Error(f"HDF5 does not open the file: {error}", path=below.path) from error

    @property
    def borrowed(self) -> bool:
        """Whether this is still another file, which is only looked at: see `over`."""
        return self._below.borrowed

    def own(self, progress: Progress = silent) -> None:
        """Copy the file that was only looked at, to change the copy; objects that are open stay valid.

        Raises
        ------
        DiskFullError, ApplyError
            It could not be copied; it can still be looked at, and this be called again.
        """
        place, source = self._place, self._below.path
        with telling(place.path):
            forget_checkpoint(place.storage, place.path)
            method = place.storage.copy_file(source, place.path, progress)
            logger.info("%s is copied (%s) to be changed", source, method.value)
            copy = place.storage.open_random(place.path)
            try:
                self._below.rebase(copy)
            except BaseException:
                copy.close()
                raise

    def tell_reads(self, tell: bool) -> None:
        """Whether those who read `file` are told when the disk fails; not while it is changed."""
        self._below.tells_reads = tell

    @property
    def file_id(self) -> h5f.FileID:
        """The low-level identifier of the open file."""
        return self.file.id

    def unwritten(self, fresh: int) -> int:
        """Bytes that the next checkpoint writes at most, `fresh` bytes having been applied since the last."""
        return self.held_bytes + PAGE + min(fresh, self.applier.chunk_cache_bytes)

    def write_back(self) -> None:
        """Have the system begin to write what was applied last; nothing is durable by that."""
        self._below.write_back()

    @property
    def has_failed(self) -> bool:
        """Whether `check` would raise."""
        return self._below.error is not None

    def check(self) -> None:
        """Raise if a write below libhdf5 has failed; the file is then lost, the journal is not."""
        if self._below.error is not None:
            raise latched_error(self._below.error, self.path) from self._below.error

    def _unsettle(self) -> None:
        """Before every operation, whoever has it applied: another thread may read in the middle of it."""
        self._below.settled = False

    @property
    def held_bytes(self) -> int:
        """Memory that waits for the next checkpoint: dirty pages and HDF5's metadata cache."""
        cached: int = self.file_id.get_mdc_size()[2]
        return self._below.dirty_bytes + cached

    def checkpoint(self, applied: int) -> None:
        """Make the file as it is now its next checkpoint.

        On return the file on disk is a whole HDF5 file that holds the journal
        up to LSN `applied`, which must be durable there. How a crash in the
        middle is survived stands in `safeh5.storage.pager`.
        """
        with self._asking_hdf5(), Uninterrupted():
            self.flush_hdf5()
        self.check()
        self._checkpoint_below(applied)
        self._shrink_cache()
        self._below.settled = True

    def flush_hdf5(self) -> None:
        """Have libhdf5 write everything that it holds, whoever opened the dataset that it belongs to.

        `H5Fflush` leaves out what datasets hold that were opened through another opening of the file.
        """
        for dataset in _open_objects(self.file_id, h5f.OBJ_DATASET):
            _flush_dataset(dataset)
        _flush_file(self.file_id)

    def finish(self, applied: int) -> None:
        """Close the file with a last checkpoint; `path` is then whole and durable."""
        try:
            with self._asking_hdf5():
                self._close_hdf5()
            self.check()
            self._checkpoint_below(applied)
        finally:
            self._let_go()

    @contextlib.contextmanager
    def _asking_hdf5(self) -> Iterator[None]:
        """What HDF5 says when it cannot write its own metadata, as one of our errors."""
        try:
            yield
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            self.check()
            raise ApplyError(
                f"HDF5 cannot write the staging file: {error}",
                path=self.path,
                safe="The target is untouched, and what was acknowledged is in the journal",
                hint="Call again: it is made anew from the journal; or commit later with: safeh5 recover",
            ) from error

    def _checkpoint_below(self, applied: int) -> None:
        with telling(self.path):
            clear_open_mark(self._below, self._userblock)
            self._below.checkpoint(self._place.storage, self._place.session, applied)
        self.applied = applied

    def _shrink_cache(self) -> None:
        """Give back what HDF5's metadata cache has grown by, since nothing is evicted otherwise.

        Right after a checkpoint all of it is clean, so nothing is written by that.
        """
        if self.file_id.get_mdc_size()[2] <= CACHE_KEPT:
            return
        with Uninterrupted():
            allow_evictions(self.file_id)
            self.file_id.links.exists(b"anything")
            forbid_evictions(self.file_id)

    def drop(self) -> None:
        """Let go of the file without caring for what was not checkpointed."""
        self.tell_reads(False)
        if self._below.error is None:
            # From here on libhdf5 writes nothing any more: see `StagingFile`.
            self._below.error = OSError("the staging file is being dropped")
        with contextlib.suppress(Exception):
            # libhdf5 is told that its last writes went well; whatever it says
            # about a file that is being dropped does not matter.
            self._close_hdf5()
        self._let_go()
        for tell in when_dropped:
            tell()

    def _let_go(self) -> None:
        self._below.close()
        with contextlib.suppress(OSError):
            # Released in any case; what may fail is removing the file.
            self._fence.release(remove=True)

    def _close_hdf5(self) -> None:
        self.applier.release()
        with Uninterrupted():
            # Identifiers that were made by opening the file once more, too: while
            # one is left libhdf5 keeps the file open.
            self.file.id._close_open_objects(h5f.OBJ_ALL & ~h5f.OBJ_FILE)
            self.file.id._close_open_objects(h5f.OBJ_FILE)
            self.file.close()
