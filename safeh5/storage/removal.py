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
from typing import Final

from safeh5.storage.interrupts import Uncollected

LARGE: Final = 64 << 20
"""Smaller files are freed in less time than it takes to notice."""
_SPARE: Final = 4
"""With less free space than so many times what goes, the room is wanted before the call returns."""

_held: Final[list[int]] = []


def remove_tree(path: str) -> None:
    """Remove a directory and all below it; the room that large files took is free a moment later."""
    held = _held_open(path)
    try:
        _remove(path, held)
    finally:
        if held:
            _close_beside(held)


def _remove(path: str, held: list[int]) -> None:
    try:
        shutil.rmtree(path)
    except OSError:
        if not held:
            raise
        # Network file systems keep another name for a file that is removed while it is open.
        _close(held)
        shutil.rmtree(path)


def _held_open(path: str) -> list[int]:
    """Descriptors of the large files in a directory, if they may be freed later."""
    held: list[int] = []
    if os.name != "posix":
        return held  # elsewhere no name goes while its file is open
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        large = {entry.path: status.st_size for entry in entries if (status := _if_large(entry))}
        if large and shutil.disk_usage(path).free >= _SPARE * sum(large.values()):
            for each in large:
                held.append(os.open(each, os.O_RDONLY | os.O_NOFOLLOW))
    return held


def _if_large(entry: os.DirEntry[str]) -> os.stat_result | None:
    status = entry.stat(follow_symlinks=False)
    return status if stat.S_ISREG(status.st_mode) and status.st_size >= LARGE else None


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
