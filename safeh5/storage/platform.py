"""What differs between operating systems about making bytes durable.

Nothing else in the package asks which system it runs on. Every function here
raises the plain `OSError` of the system; a failed sync is never retried, since
after it nobody knows which pages reached the disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from safeh5._typing import Buffer

if sys.platform != "win32":
    import fcntl

BINARY: Final[int] = getattr(os, "O_BINARY", 0)
"""The open flag that keeps Windows from translating line ends; 0 elsewhere."""

REPLACE_ATTEMPTS: Final = 100
REPLACE_PAUSE: Final = 0.05
_IOV_MAX: Final = 1024
_LARGEST_CALL: Final = 1 << 30
_NO_DIRECTORY_SYNC: Final = frozenset({errno.EINVAL, errno.EBADF, errno.ENOTSUP})


def byte_view(buffer: Buffer) -> memoryview:
    """The bytes of any C-contiguous buffer, not copied.

    ``memoryview.cast`` refuses most formats that are not native (big-endian,
    structured, datetime); NumPy asks for the plain bytes and gets them all.
    """
    if type(buffer) is bytes:
        return memoryview(buffer)
    view = buffer if isinstance(buffer, memoryview) else None
    if view is not None and view.ndim == 1 and view.format == "B" and view.c_contiguous:
        return view
    if isinstance(buffer, bytes | bytearray):
        return memoryview(buffer)
    array = buffer if isinstance(buffer, np.ndarray) else np.asarray(memoryview(buffer))
    if array.nbytes == 0:
        return memoryview(b"")
    return np.frombuffer(array, dtype=np.uint8).data


def sync_file(fd: int) -> None:
    """Make the content and the length of an open file durable.

    Raises
    ------
    OSError
        The sync failed; the fate of what was written since the last one is unknown.
    """
    if sys.platform == "darwin":
        _full_sync(fd)
    elif hasattr(os, "fdatasync"):
        # fdatasync flushes the length too when it changed; it leaves out only the time stamps.
        os.fdatasync(fd)
    else:
        os.fsync(fd)


def sync_whole(fd: int) -> None:
    """Make an open file durable with its times, its mode and its owner, which `sync_file` may leave out.

    Raises
    ------
    OSError
        As `sync_file`.
    """
    if sys.platform == "darwin":
        _full_sync(fd)
    else:
        os.fsync(fd)


if sys.platform == "darwin":

    def _full_sync(fd: int) -> None:
        """Flush the drive's own cache too, which macOS's fsync leaves alone."""
        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError as error:
            # Network file systems do not know the call: nothing was tried, so fsync is no retry.
            if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY):
                raise
            os.fsync(fd)


def sync_directory(path: str) -> None:
    """Make the names in a directory durable (creations, renames, removals).

    On Windows a directory cannot be synced; NTFS journals its names itself.

    Raises
    ------
    OSError
        The sync failed. A file system that has no such call is not an error.
    """
    if sys.platform == "win32":
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise
    finally:
        os.close(fd)


def replace(source: str, destination: str) -> None:
    """Rename `source` over `destination`, atomically.

    On Windows a scanner or a reader that has the file open makes this fail for
    a moment; it is tried again for about five seconds. Durable only after
    `sync_directory`.
    """
    for _ in range(REPLACE_ATTEMPTS if sys.platform == "win32" else 0):
        try:
            os.replace(source, destination)
        except PermissionError:
            time.sleep(REPLACE_PAUSE)
        else:
            return
    os.replace(source, destination)


def write_some(fd: int, views: list[memoryview]) -> int:
    """One write call at the descriptor's position; returns how many bytes it took."""
    if sys.platform == "win32":
        return os.write(fd, views[0][:_LARGEST_CALL])
    return os.write(fd, views[0]) if len(views) == 1 else os.writev(fd, views[:_IOV_MAX])


def write_at(fd: int, view: memoryview, offset: int) -> int:
    """One write call at `offset`; returns how many bytes it took."""
    if sys.platform == "win32":
        os.lseek(fd, offset, os.SEEK_SET)
        return os.write(fd, view[:_LARGEST_CALL])
    return os.pwrite(fd, view, offset)


def read_at(fd: int, view: memoryview, offset: int) -> int:
    """One read call at `offset` into `view`; returns the bytes read, 0 at the end of file."""
    if sys.platform == "win32":
        os.lseek(fd, offset, os.SEEK_SET)
        data = os.read(fd, min(len(view), _LARGEST_CALL))
        view[: len(data)] = data
        return len(data)
    return os.preadv(fd, [view], offset)


def fill(view: memoryview, offset: int, read: Callable[[memoryview, int], int]) -> int:
    """Fill `view` from byte `offset` by as many calls as it takes; returns the bytes read."""
    done = count = read(view, offset)
    while count and done < len(view):
        count = read(view[done:], offset + done)
        done += count
    return done


def write_back(fd: int, offset: int, size: int) -> None:
    """Have the system begin to write a part of a file to the disk, and forget what of it is there already.

    A hint, which is not waited for, makes nothing durable, and cannot fail; nothing where there is no
    such call.
    """
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(fd, offset, size, os.POSIX_FADV_DONTNEED)


def drop_written(views: Iterable[memoryview], count: int) -> list[memoryview]:
    """What remains of `views` after `count` bytes of them were written."""
    remaining = []
    for view in views:
        if count >= len(view):
            count -= len(view)
        else:
            remaining.append(view[count:])
            count = 0
    return remaining


def allocate(fd: int, size: int) -> None:
    """Have the file system set aside `size` bytes for an empty file; it is then that long.

    Where blocks are copied when they are written (btrfs, zfs) what is set
    aside is room that others do not get, and no promise that it can be used.

    Raises
    ------
    OSError
        There is no room for them.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
        return
    block = memoryview(bytes(1 << 16))
    done = 0
    while done < size:
        done += write_at(fd, block[: size - done], done)


def boot_id() -> str:
    """A name for the time since the machine last booted; empty where the system has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""
