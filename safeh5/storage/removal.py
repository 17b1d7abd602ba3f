"""Removing what is large: the names at once, the blocks beside.

A file system takes a good part of a second to free a gigabyte: a journal of that
size would keep everybody waiting whose file has long been committed. So a large
file is held open while its name goes, and closed by a thread; the last one to close
it is the one who waits for the blocks. No name is left over in any case: when the
process ends before, the system closes the file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import threading
from collections.abc import Iterable, Iterator
from typing import Final

from safeh5.storage.interrupts import Uncollected

LARGE: Final = 64 << 20
"""Smaller files are freed in less time than it takes to notice."""
_SPARE: Final = 4
"""With less free space than so many times what goes, the room is wanted before the call returns."""

_held: Final[list[int]] = []


def remove_tree(path: str) -> None:
    """Remove a directory and all below it; the room that large files took is free a moment later."""
    with freed_beside(_files_in(path)) as held:
        try:
            shutil.rmtree(path)
        except OSError:
            if not held:
                raise
            # Network file systems keep another name for a file that is removed while it is open.
            _close(held)
            shutil.rmtree(path)


@contextlib.contextmanager
def freed_beside(paths: Iterable[str]) -> Iterator[list[int]]:
    """A block in which files are removed, of which the large ones are freed by a thread afterwards.

    Gives the descriptors that are held open for that; what is closed and taken off is freed at once.
    """
    held: list[int] = []
    try:
        if os.name == "posix":  # elsewhere no name goes while its file is open
            _hold_open(paths, held)
        yield held
    finally:
        if held:
            _close_beside(held)


def _files_in(path: str) -> list[str]:
    try:
        return [os.path.join(path, name) for name in os.listdir(path)]
    except OSError:
        return []


def _hold_open(paths: Iterable[str], held: list[int]) -> None:
    """Open the large files, if they may be freed later."""
    with contextlib.suppress(OSError):
        large = {path: size for path in paths if (size := _size(path)) >= LARGE}
        if large and shutil.disk_usage(next(iter(large))).free >= _SPARE * sum(large.values()):
            for path in large:
                held.append(os.open(path, os.O_RDONLY | os.O_NOFOLLOW))


def _size(path: str) -> int:
    status = os.lstat(path)
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _close_beside(held: list[int]) -> None:
    """Close them in a thread, or here if there is none to be had."""
    _held.extend(held)
    thread = threading.Thread(target=_close, args=(_held,), name="safeh5 removal", daemon=True)
    try:
        with Uncollected():  # the caller waits until it runs, and may hold h5py's lock
            thread.start()
    except RuntimeError:
        _close(_held)


def _close(held: list[int]) -> None:
    """Close all of a list that others may be closing too: each is taken off it once."""
    with contextlib.suppress(IndexError):
        while True:
            descriptor = held.pop()
            with contextlib.suppress(OSError):
                os.close(descriptor)


# A fork has them too, and would keep the blocks until it ends.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _close(_held))
