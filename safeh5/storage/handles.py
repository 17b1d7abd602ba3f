"""Open files: what is appended to, what is written anywhere, what is mapped.

These classes know nothing of journals or HDF5. Each system call that changes
the disk stands in a method of its own whose name begins with ``_do_``, so that
`safeh5.testing.faults` can make any one of them fail.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import filelock

from safeh5._typing import Buffer
from safeh5.storage import platform
from safeh5.storage.closing import Closes


class OpenFile(Closes):
    """A descriptor that is closed once, and by a ``with`` block too.

    Attributes
    ----------
    path : str
        The path that the file was opened with.
    """

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._fd < 0

    def sync(self) -> None:
        """Make all that was written durable.

        Raises
        ------
        OSError
            The sync failed: the fate of what was written since the last one is
            unknown. Calling again proves nothing.
        """
        self._do_sync()

    def write_back(self, offset: int, size: int) -> None:
        """Begin to bring a part of the file to the disk, so that the next `sync` has less to wait for.

        What is there already, the system keeps in memory no longer. A hint: nothing is durable by that.
        """
        platform.write_back(self._fd, offset, size)

    def close(self) -> None:
        """Close the descriptor; nothing is made durable by that."""
        fd = self.detach()
        if fd >= 0:
            os.close(fd)

    def detach(self) -> int:
        """Give the descriptor to the caller, who closes it; this object is closed."""
        fd, self._fd = self._fd, -1
        return fd

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}{' closed' if self.closed else ''}>"

    def _do_sync(self) -> None:
        platform.sync_file(self._fd)

    def _do_truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)


class AppendFile(OpenFile):
    """A file that grows at its end; what was appended last can be read, and put right.

    Attributes
    ----------
    size : int
        Length of the file in bytes, as far as this object wrote or found it.
        After a failed `write` it counts the part that was written.
    """

    def __init__(self, path: str, fd: int) -> None:
        super().__init__(path, fd)
        # Not O_APPEND: on Linux that has `amend` write at the end, too.
        self.size = os.lseek(fd, 0, os.SEEK_END)

    @property
    def has_name(self) -> bool:
        """Whether the file is still in a directory; False when somebody has deleted it."""
        return os.fstat(self._fd).st_nlink > 0

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Append the bytes of `buffers`, one after the other, without joining them.

        On return they are in the operating system's hands, not durable.

        Parameters
        ----------
        buffers : sequence of C-contiguous buffers
            Any item type and shape; empty ones are skipped.

        Raises
        ------
        OSError
            Some first part of the bytes may have been written: see `size`.
        """
        views = [view for view in map(platform.byte_view, buffers) if len(view)]
        while views:
            count = self._do_write(views)
            self.size += count
            views = platform.drop_written(views, count)

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes; the next `write` goes there. Not durable yet."""
        self._do_truncate(size)
        self.size = os.lseek(self._fd, size, os.SEEK_SET)

    def read_into(self, view: memoryview, offset: int) -> int:
        """Fill `view` from byte `offset`; returns the bytes read, fewer only at the end of file."""
        return platform.fill(view, offset, self._do_read)

    def amend(self, data: bytes, offset: int) -> None:
        """Put `data` in the place of bytes that were written and not synced since; not durable yet.

        Raises
        ------
        OSError
            Some first part of the bytes may have been replaced.
        """
        view = memoryview(data)
        while len(view):
            count = self._do_amend(view, offset)
            view, offset = view[count:], offset + count
        # Some systems have no other way to read or write at an offset than to go there.
        os.lseek(self._fd, self.size, os.SEEK_SET)

    def _do_write(self, views: list[memoryview]) -> int:
        return platform.write_some(self._fd, views)

    def _do_read(self, view: memoryview, offset: int) -> int:
        return platform.read_at(self._fd, view, offset)

    def _do_amend(self, view: memoryview, offset: int) -> int:
        return platform.write_at(self._fd, view, offset)


class RandomFile(OpenFile):
    """A file that is read and written at any offset."""

    @property
    def size(self) -> int:
        """Length of the file in bytes, asked of the system."""
        return os.fstat(self._fd).st_size

    def write_at(self, buffer: Buffer, offset: int) -> None:
        """Write all bytes of `buffer` at byte `offset`; not durable yet.

        Raises
        ------
        OSError
            Some first part of the bytes may have been written.
        """
        view = platform.byte_view(buffer)
        while len(view):
            count = self._do_write(view, offset)
            view, offset = view[count:], offset + count

    def read_into(self, view: memoryview, offset: int) -> int:
        """Fill `view` from byte `offset`; returns the bytes read, fewer only at the end of file."""
        return platform.fill(view, offset, self._do_read)

    def read_at(self, offset: int, size: int) -> bytes:
        """The `size` bytes at `offset`, fewer only at the end of the file."""
        data = bytearray(size)
        return bytes(data[: self.read_into(memoryview(data), offset)])

    @property
    def inode(self) -> int:
        """The number that the file system knows the file by, whatever its name."""
        return os.fstat(self._fd).st_ino

    def status(self) -> os.stat_result:
        """Status of the file, whatever became of its name."""
        return os.fstat(self._fd)

    def give_to(self, owner: int | None) -> None:
        """Let the file belong to another user, if it does not yet; `PermissionError` if we may not."""
        if owner is not None and os.fstat(self._fd).st_uid != owner:
            os.fchown(self._fd, owner, -1)

    def try_lock(self) -> bool:
        """Take the lock on the file if nobody has it; it goes when the file is closed."""
        return filelock.lock_descriptor(self._fd, blocking=False)

    def truncate(self, size: int) -> None:
        """Make the file `size` bytes long, shorter or longer; not durable yet."""
        self._do_truncate(size)

    def _do_write(self, view: memoryview, offset: int) -> int:
        return platform.write_at(self._fd, view, offset)

    def _do_read(self, view: memoryview, offset: int) -> int:
        return platform.read_at(self._fd, view, offset)


class MappedFile:
    """The bytes of a file, read-only, without reading them all.

    Attributes
    ----------
    path : str
        The path that was mapped.
    view : memoryview
        All bytes of the file as it was when it was mapped.
    size : int
        How many they are.

    Notes
    -----
    A sector that the disk cannot read ends the process (SIGBUS) when it is
    touched through `view`; `probe` finds it first, as an `OSError`.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "rb") as file:
            self.size = os.fstat(file.fileno()).st_size
            # An empty file cannot be mapped. The length is given, since the file may be growing.
            self._map = mmap.mmap(file.fileno(), self.size, access=mmap.ACCESS_READ) if self.size else None
        self.view = memoryview(self._map if self._map is not None else b"")

    def probe(self) -> None:
        """Read the whole file once by ordinary reads.

        Raises
        ------
        OSError
            A part of the file cannot be read.
        """
        buffer = bytearray(1 << 20)
        with open(self.path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass

    def release(self) -> None:
        """Give the mapping back, now or when the last slice of `view` is gone."""
        mapped, self._map = self._map, None
        try:
            self.view.release()
            if mapped is not None:
                mapped.close()
        except BufferError:
            # A slice is still in use. The mapping lives as long as it and goes with it.
            pass
        self.view = memoryview(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class LoadedFile(MappedFile):
    """The bytes of a file, read-only, read into memory.

    For a file that somebody else may make shorter: to touch a mapping behind
    the new end would end the process (SIGBUS).
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._map = None
        with open(path, "rb") as file:
            self.view = memoryview(file.read())
        self.size = len(self.view)
