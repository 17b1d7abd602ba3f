"""A disk that fails below the staging file, as one of our errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from safeh5.errors import ApplyError, DiskFullError, SafeH5Error
from safeh5.journal.failures import NO_SPACE
from safeh5.storage.copying import NoRoomError


@contextlib.contextmanager
def telling(path: str) -> Iterator[None]:
    """What the disk says inside, as what `staging_failed` makes of it; our own errors as they are."""
    try:
        yield
    except OSError as error:
        if isinstance(error, SafeH5Error):
            raise
        raise staging_failed(error, path) from error


def latched_error(error: BaseException, path: str) -> BaseException:
    """What to raise for an error latched below libhdf5: an interrupt as it came."""
    return staging_failed(error, path) if isinstance(error, OSError) else error


def staging_failed(error: OSError, path: str) -> DiskFullError | ApplyError:
    """The error for a failed disk below the staging file."""
    safe = "The target is untouched and everything acknowledged is in the journal"
    if error.errno in NO_SPACE:
        needed, free = (error.needed, error.free) if isinstance(error, NoRoomError) else (None, 0)
        detail = "" if needed is None else f"; {needed} bytes are needed and {free} are free"
        return DiskFullError(
            f"there is no room for the new HDF5 file: {error.strerror}{detail}",
            path=path,
            errno=error.errno,
            needed=needed,
            missing=None if needed is None else needed - free,
            safe=safe,
            hint="Free space and call again, or commit later with: safeh5 recover",
        )
    return ApplyError(
        f"the staging file cannot be written: {error.strerror or error}",
        path=path,
        safe=safe,
        hint="See to the disk and call again, or commit later with: safeh5 recover",
    )
