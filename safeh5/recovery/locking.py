"""Taking the lock of a target, with errors that name the holder."""

from __future__ import annotations

import os
import stat

from safeh5.errors import NotHDF5Error, NotWritableError, SafeH5Error, TargetIsDirectoryError
from safeh5.storage import Names, Owner, Storage, TargetLock


def lock_target(storage: Storage, names: Names, timeout: float) -> TargetLock:
    """The lock of `names`, acquired; release it with ``remove=True`` to leave no litter.

    Raises
    ------
    SessionLockedError
        Another session holds it.
    NotWritableError
        The lock file cannot be made.
    """
    lock = TargetLock(names.lock, lambda: describe_owner(storage, names))
    try:
        lock.acquire(timeout)
    except OSError as error:
        if isinstance(error, SafeH5Error):
            raise
        if not os.path.isdir(names.directory):
            reason = "there is no such directory"
        else:
            reason = f"the lock file cannot be made or locked there: {error.strerror or error}"
        raise NotWritableError(
            reason,
            path=names.directory,
            safe="Nothing was touched",
            hint="safeh5 needs to write the directory of the target, on a file system that can lock files",
        ) from error
    return lock


def require_file(names: Names) -> None:
    """Refuse a target that is there and is no file: a directory, a pipe, a device.

    Raises
    ------
    NotHDF5Error
        To open a pipe could wait for ever, and a device must not be replaced.
    """
    try:
        mode = os.stat(names.target).st_mode
    except OSError:
        return
    if stat.S_ISDIR(mode):
        raise TargetIsDirectoryError("this is a directory", path=names.target, safe="Nothing was touched")
    if not stat.S_ISREG(mode):
        raise NotHDF5Error("this is not a regular file", path=names.target, safe="Nothing was touched")


def describe_owner(storage: Storage, names: Names) -> str | None:
    """Who says to write there, in words."""
    owner = Owner.read(storage, names.owner)
    if owner is None:
        return None
    if owner.is_gone:
        return f"a recovery, it seems, of what was begun by {owner.describe()}, which is no more"
    return owner.describe()
