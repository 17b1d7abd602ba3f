"""The staging file: the HDF5 file under construction, and the only one we open for writing.

It is a product. Whatever happens to it (libhdf5 fails, the disk below it is
full, the process dies), it is thrown away and made again from the target it
began with and the journal. Callers see four things: `applier`, `checkpoint`,
`close` and `discard`; a staging file that can go on from its last checkpoint
needs no more than these.

libhdf5 never writes to the disk itself. It writes through `StagingFile`, a
Python file object that keeps errors to itself, because libhdf5 answers a full
disk with lost groups and then a segmentation fault.
"""

from __future__ import annotations

import contextlib

import h5py
from h5py import h5f

from safeh5.applier.applier import Applier
from safeh5.errors import ApplyError, DiskFullError, NotHDF5Error
from safeh5.events import Progress, silent
from safeh5.journal.failures import NO_SPACE
from safeh5.operations.control import FileCreation
from safeh5.storage import Names, Storage
from safeh5.storage.staging import StagingFile


class Staging:
    """An HDF5 file open for writing, with the applier that writes it.

    Make one with `create` or `copy_of`.
    """

    def __init__(self, storage: Storage, below: StagingFile, file: h5py.File) -> None:
        self._storage = storage
        self._below = below
        self.file = file
        self.path = below.path
        self.applier = Applier(file.id, self.check)

    @classmethod
    def create(cls, storage: Storage, names: Names, creation: FileCreation) -> Staging:
        """An empty staging file, in the place of any left from before."""
        _remove_old(storage, names.staging)
        below = StagingFile.create(storage, names.staging, names.target)
        return cls._open(storage, below, "w", creation)

    @classmethod
    def copy_of(cls, storage: Storage, names: Names, source: str, progress: Progress = silent) -> Staging:
        """A staging file that begins as a copy of `source`.

        Raises
        ------
        NotHDF5Error
            If `source` is not a whole HDF5 file.
        DiskFullError
            If there is no room for the copy.
        """
        _remove_old(storage, names.staging)
        try:
            storage.copy_file(source, names.staging, progress)
        except OSError as error:
            _remove_old(storage, names.staging)
            raise _staging_failed(error, names.staging) from error
        below = StagingFile.open(storage, names.staging, names.target)
        return cls._open(storage, below, "r+", FileCreation())

    @classmethod
    def _open(cls, storage: Storage, below: StagingFile, mode: str, creation: FileCreation) -> Staging:
        try:
            file = h5py.File(
                repr(below),  # the name that h5py shows: the target's
                mode,
                driver="fileobj",
                fileobj=below,
                libver=creation.libver,
                userblock_size=creation.userblock_size,
                track_order=creation.track_order,
            )
        except (OSError, RuntimeError, ValueError) as error:
            latched = below.error
            below.close()
            if latched is not None:
                raise _latched(latched, below.path) from latched
            raise NotHDF5Error(f"HDF5 does not open the file: {error}", path=below.path) from error
        return cls(storage, below, file)

    @property
    def file_id(self) -> h5f.FileID:
        """The low-level identifier of the open file."""
        return self.file.id

    def check(self) -> None:
        """Raise if a write below libhdf5 has failed; the file is then lost, the journal is not."""
        if self._below.error is not None:
            raise _latched(self._below.error, self.path) from self._below.error

    def checkpoint(self) -> None:
        """Bring everything applied so far to the disk.

        The file is then consistent and durable; nothing refers to it yet, so
        no order of its writes matters before the fsync at the end.
        """
        h5f.flush(self.file_id)
        self.check()
        try:
            self._below.sync()
        except OSError as error:
            raise _staging_failed(error, self.path) from error

    def finish(self) -> None:
        """Checkpoint and close; the file at `path` is then whole and durable."""
        h5f.flush(self.file_id)
        self._close_hdf5()
        self.check()
        try:
            self._below.sync()
        except OSError as error:
            raise _staging_failed(error, self.path) from error
        finally:
            self._below.close()

    def discard(self) -> None:
        """Close without caring for the content, and remove the file."""
        if self._below.error is None:
            # From here on libhdf5 writes nothing any more: see `StagingFile`.
            self._below.error = OSError("the staging file is being thrown away")
        with contextlib.suppress(Exception):
            # libhdf5 is told that its last writes went well; whatever it says
            # about a file that is being thrown away does not matter.
            self._close_hdf5()
        self._below.close()
        _remove_old(self._storage, self.path)

    def _close_hdf5(self) -> None:
        self.applier.release()
        self.file.close()


def _remove_old(storage: Storage, path: str) -> None:
    if storage.exists(path):
        storage.unlink(path)


def _latched(error: BaseException, path: str) -> BaseException:
    """What to raise for an error latched below libhdf5: an interrupt as it came."""
    return _staging_failed(error, path) if isinstance(error, OSError) else error


def _staging_failed(error: OSError, path: str) -> DiskFullError | ApplyError:
    """The error for a failed disk below the staging file."""
    safe = "The target is untouched and everything acknowledged is in the journal"
    if error.errno in NO_SPACE:
        return DiskFullError(
            f"there is no room for the new HDF5 file: {error.strerror}",
            path=str(path),
            errno=error.errno,
            safe=safe,
            hint="Free space and call again, or commit later with: safeh5 recover",
        )
    return ApplyError(f"the staging file cannot be written: {error.strerror}", path=path, safe=safe)
