"""The disk, as the layers above see it: every effect of ours is a method here.

`Storage` has no state. It is a class so that a test can put another in its
place, fail the third rename or record the order of syncs (`safeh5.testing`).
The methods raise the plain `OSError` of the system; what an error means for a
session is decided by those who call.

Durable is only what the description of a method calls durable. A new or a
renamed file survives a power cut when its content was synced *and then* the
directory that holds its name.
"""

from __future__ import annotations

import errno
import os
import shutil
from typing import Final

from safeh5._typing import Buffer
from safeh5.errors import InvalidOptionError
from safeh5.events import Progress, silent
from safeh5.storage import platform
from safeh5.storage.copying import CopyMethod, copy_bytes, copy_metadata, shares_blocks
from safeh5.storage.handles import AppendFile, LoadedFile, MappedFile, RandomFile
from safeh5.storage.removal import remove_tree

StrPath = str | os.PathLike[str]

_RANDOM: Final = os.O_RDWR | platform.BINARY
_NEW: Final = os.O_CREAT | os.O_EXCL


class Storage:
    """The real disk."""

    # --- open files ------------------------------------------------------------

    def create(self, path: StrPath) -> AppendFile:
        """A new empty file for appending; `FileExistsError` if the name is taken."""
        return AppendFile(os.fspath(path), os.open(path, _RANDOM | _NEW, 0o666))

    def open_append(self, path: StrPath) -> AppendFile:
        """An existing file for appending at its end; `FileNotFoundError` if there is none."""
        return AppendFile(os.fspath(path), os.open(path, _RANDOM))

    def create_random(self, path: StrPath) -> RandomFile:
        """A new empty file to write anywhere; `FileExistsError` if the name is taken."""
        return RandomFile(os.fspath(path), os.open(path, _RANDOM | _NEW, 0o666))

    def open_random(self, path: StrPath) -> RandomFile:
        """An existing file to read and write anywhere; `FileNotFoundError` if there is none."""
        return RandomFile(os.fspath(path), os.open(path, _RANDOM))

    def open_readonly(self, path: StrPath) -> RandomFile:
        """An existing file to read anywhere; `FileNotFoundError` if there is none."""
        return RandomFile(os.fspath(path), os.open(path, os.O_RDONLY | platform.BINARY))

    def create_private(self, path: StrPath, owner: int | None = None) -> RandomFile:
        """As `create_random`, for the eyes of one user only: ours, or `owner` where that is permitted.

        Nothing is left at `path` when it is not (`PermissionError`).
        """
        file = RandomFile(os.fspath(path), os.open(path, _RANDOM | _NEW, 0o600))
        try:
            file.give_to(owner)
        except BaseException:
            file.close()
            os.unlink(path)
            raise
        return file

    def map(self, path: StrPath) -> MappedFile:
        """The bytes of a file as it is now, read-only; it may be empty."""
        return MappedFile(os.fspath(path))

    def load(self, path: StrPath) -> LoadedFile:
        """The same for a file that another process may cut shorter meanwhile."""
        return LoadedFile(os.fspath(path))

    # --- whole files -----------------------------------------------------------

    def read_bytes(self, path: StrPath, limit: int | None = None, offset: int = 0) -> bytes:
        """The content of a file from byte `offset` on, or the first `limit` bytes of that."""
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(-1 if limit is None else limit)

    def write_new(self, path: StrPath, data: Buffer) -> None:
        """A new file with this content, which is durable on return; its name is not yet."""
        with self.create(path) as file:
            file.write([data])
            file.sync()

    def copy_file(self, source: StrPath, destination: StrPath, progress: Progress = silent) -> CopyMethod:
        """Copy the bytes of a file to a new name, by reflink where possible; not durable.

        Readable by the owner only, until `copy_metadata`. Nothing is left at
        `destination` when it fails.
        """
        return copy_bytes(os.fspath(source), os.fspath(destination), progress)

    def allocate(self, path: StrPath, size: int) -> None:
        """A new file of `size` bytes that takes their room and holds nothing; nothing is left when it fails.

        Not durable: it serves the process that made it.
        """
        fd = os.open(path, _RANDOM | _NEW, 0o600)
        try:
            platform.allocate(fd, size)
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(fd)

    def give_back(self, path: StrPath) -> None:
        """Remove a file of `allocate`; its room is free on return."""
        # Some file systems (xfs) free the blocks of a removed file later, those cut off at once.
        os.truncate(path, 0)
        os.unlink(path)

    def copy_metadata(self, source: StrPath, destination: StrPath) -> tuple[str, ...]:
        """Copy owner, mode, extended attributes and ACL; returns what was not permitted."""
        return copy_metadata(os.fspath(source), os.fspath(destination))

    def sync_path(self, path: StrPath) -> None:
        """Make durable what anyone (libhdf5 for one) wrote to this file and closed, and its times and mode.

        With the times, because a commit and the recovery of one know a file by
        its time of modification, and a sync of data alone may leave that behind.
        """
        writable = os.name == "nt"  # where only a writable file can be flushed
        fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | platform.BINARY)
        try:
            platform.sync_whole(fd)
        finally:
            os.close(fd)

    # --- names -----------------------------------------------------------------

    def sync_directory(self, path: StrPath) -> None:
        """Make durable which names a directory holds."""
        platform.sync_directory(os.fspath(path))

    def replace(self, source: StrPath, destination: StrPath) -> None:
        """Rename a file over another, atomically; durable after `sync_directory`."""
        platform.replace(os.fspath(source), os.fspath(destination))

    def rename(self, source: StrPath, destination: StrPath) -> None:
        """Rename a file or a directory to a free name; `FileExistsError` if it is taken.

        Between the look and the rename another process might take the name:
        call it under the lock of the target. Durable after `sync_directory`.
        """
        if os.path.lexists(destination):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(destination))
        os.rename(source, destination)

    def unlink(self, path: StrPath) -> None:
        """Remove a file; durable after `sync_directory`."""
        os.unlink(path)

    def make_directory(self, path: StrPath, mode: int = 0o777) -> None:
        """A new directory (permissions `mode` less the umask); `FileExistsError` if the name is taken."""
        os.mkdir(path, mode)

    def remove_tree(self, path: StrPath) -> None:
        """Remove a directory and all below it; not atomic, so rename it to a trash name first.

        The names are gone on return; the room that large files took is free a moment later.
        """
        remove_tree(os.fspath(path))

    # --- questions -------------------------------------------------------------

    def exists(self, path: StrPath) -> bool:
        """Whether there is anything at `path`, a dangling symbolic link included."""
        return os.path.lexists(path)

    def stat(self, path: StrPath) -> os.stat_result:
        """Status of a file, symbolic links followed; `FileNotFoundError` if there is none."""
        return os.stat(path)

    def list_directory(self, path: StrPath) -> list[str]:
        """The names in a directory, sorted."""
        return sorted(os.listdir(path))

    def free_space(self, path: StrPath) -> int:
        """Bytes that this user may still write on the file system of an existing `path`.

        Quotas and limits on the size of a file are not in it.
        """
        return shutil.disk_usage(path).free

    def disk_size(self, path: StrPath) -> int:
        """Bytes that the file system of an existing `path` has in all."""
        return shutil.disk_usage(path).total

    def shares_blocks(self, directory: StrPath) -> bool:
        """Whether a copy of a file in `directory` can share its blocks (reflink); nothing is left there."""
        return shares_blocks(os.fspath(directory))


def disk_of(storage: Storage | None) -> Storage:
    """The disk that a caller means; the real one when he names none.

    Raises
    ------
    InvalidOptionError
        It is no `Storage`.
    """
    if storage is None:
        return Storage()
    if not isinstance(storage, Storage):
        raise InvalidOptionError(f"storage={storage!r} is no Storage")
    return storage
