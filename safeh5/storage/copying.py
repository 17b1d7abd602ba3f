"""Copies of a whole file: its bytes by the cheapest road, its metadata with care.

Nothing here is durable on return: whoever copies syncs.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from safeh5.events import Progress, ProgressEvent, silent
from safeh5.storage import platform

if sys.platform != "win32":
    import fcntl

_FICLONE: Final = 0x40049409
_BLOCK: Final = 16 << 20
_REFUSALS: Final = frozenset(
    {
        errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EXDEV, errno.ENOTTY, errno.ENOSYS,
        errno.EPERM, errno.EACCES, errno.EBADF, errno.ETXTBSY,
    }
)  # fmt: skip
_ACL: Final = "system.posix_acl_access"


class CopyMethod(StrEnum):
    """How the bytes of a file were copied."""

    REFLINK = "reflink"
    """The file system shares the blocks until one side changes."""
    KERNEL = "kernel"
    """Copied inside the kernel (or on the server of a network file system)."""
    STREAM = "stream"
    """Read and written in blocks."""


class NoRoomError(OSError):
    """There is no room for a copy, which was not begun.

    Attributes
    ----------
    needed : int
        Bytes that the copy takes.
    free : int
        Bytes that there are.
    """

    def __init__(self, path: str, needed: int, free: int) -> None:
        super().__init__(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        self.needed, self.free = needed, free


def copy_bytes(source: str, destination: str, progress: Progress = silent) -> CopyMethod:
    """Copy the bytes of `source` to the new file `destination`; holes stay holes.

    Parameters
    ----------
    source, destination : str
        Paths; `destination` must not exist and is removed again on failure.
    progress : callable, optional
        Told about every block, in bytes.

    Raises
    ------
    OSError
        `source` cannot be read, shrank meanwhile, or there is no room: a
        `NoRoomError` when that was seen before anything was copied.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | platform.BINARY
    with open(source, "rb", buffering=0) as file:
        target = os.open(destination, flags, 0o600)
        try:
            return _copy_open_file(file.fileno(), target, destination, progress)
        except BaseException:
            os.unlink(destination)
            raise
        finally:
            os.close(target)


def _copy_open_file(source: int, target: int, destination: str, progress: Progress) -> CopyMethod:
    size = os.fstat(source).st_size
    if _reflink(source, target):
        progress(ProgressEvent("copying", size, size))
        return CopyMethod.REFLINK
    _require_room(source, destination)
    method = CopyMethod.KERNEL if hasattr(os, "copy_file_range") else CopyMethod.STREAM
    for start, end in _data_ranges(source, size):
        while start < end:
            count, method = _copy_block(source, target, start, min(end - start, _BLOCK), method)
            start += count
            progress(ProgressEvent("copying", start, size))
    os.ftruncate(target, size)
    return method


def _require_room(source: int, destination: str) -> None:
    """Find out before minutes of copying, and before the last byte of the disk, that it does not fit."""
    needed = allocated(os.fstat(source))
    free = shutil.disk_usage(os.path.dirname(destination) or ".").free
    if needed > free:
        raise NoRoomError(destination, needed, free)


def allocated(status: os.stat_result) -> int:
    """Bytes that a file takes on the disk: its holes take none."""
    return min(status.st_size, getattr(status, "st_blocks", 1 << 53) * 512)


def shares_blocks(directory: str) -> bool:
    """Whether the file system of `directory` can reflink; tried on two files that never have a name."""
    if not hasattr(os, "O_TMPFILE"):
        return False
    opened = []
    try:
        for _ in range(2):
            opened.append(os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600))
        return _reflink(*opened)
    except OSError:
        return False
    finally:
        for fd in opened:
            os.close(fd)


def _reflink(source: int, target: int) -> bool:
    """Share the blocks of `source`, where the file system can."""
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        return False
    return True


def _data_ranges(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that are not holes, as ``(start, end)`` in bytes."""
    position = 0
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        except (OSError, AttributeError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENXIO:
                return  # nothing but a hole up to the end
            start, end = position, size
        yield start, end
        position = end


def _copy_block(
    source: int, target: int, start: int, length: int, method: CopyMethod
) -> tuple[int, CopyMethod]:
    """Copy up to `length` bytes at `start`; returns how many and by which road."""
    if method is CopyMethod.KERNEL:
        try:
            count = os.copy_file_range(source, target, length, start, start)
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            count = 0
        if count:
            return count, method
    # Some file systems answer 0 instead of refusing: only a plain read tells the end of the file.
    view = memoryview(bytearray(length))
    count = platform.read_at(source, view, start)
    if count == 0:
        raise OSError(errno.EIO, "the file became shorter while it was copied")
    done = 0
    while done < count:
        done += platform.write_at(target, view[done:count], start + done)
    return count, CopyMethod.STREAM


def copy_metadata(source: str, destination: str) -> tuple[str, ...]:
    """Give `destination` the owner, mode, extended attributes and ACL of `source`.

    Best effort: what the system does not permit is left out, never at the cost
    of letting more people in than before.

    Returns
    -------
    tuple of str
        What could not be kept: ``"owner"``, ``"group"``, ``"mode"`` or the
        name of an extended attribute.

    Raises
    ------
    OSError
        One of the two files cannot be looked at.
    """
    status = os.stat(source)
    lost = _copy_owner(status, destination)
    mode = stat.S_IMODE(status.st_mode)
    if "group" in lost:
        # The bits for the old group would now serve another group: give it what everybody has.
        mode = mode & ~0o070 | (mode & 0o007) << 3
    # After the owner, because changing that clears the set-id bits.
    try:
        os.chmod(destination, mode)
    except PermissionError:
        lost.append("mode")
    return (*lost, *_copy_attributes(source, destination, skip=_ACL if "group" in lost else ""))


def _copy_owner(status: os.stat_result, destination: str) -> list[str]:
    """Set owner and group, each on its own; returns those that were refused."""
    if sys.platform == "win32":
        return []
    lost = []
    now = os.stat(destination)
    for name, wanted, found in (("owner", status.st_uid, now.st_uid), ("group", status.st_gid, now.st_gid)):
        if wanted == found:
            continue
        try:
            os.chown(destination, wanted if name == "owner" else -1, wanted if name == "group" else -1)
        except OSError:
            lost.append(name)
    return lost


def _copy_attributes(source: str, destination: str, skip: str) -> list[str]:
    """Copy the extended attributes, ACLs among them; returns those that were refused."""
    if sys.platform != "linux":
        return []
    try:
        names = os.listxattr(source)
    except OSError:
        return []
    lost = []
    for name in names:
        try:
            if name == skip:
                raise PermissionError(errno.EPERM, "the group is another one")
            os.setxattr(destination, name, os.getxattr(source, name))
        except OSError:
            lost.append(name)
    return lost
