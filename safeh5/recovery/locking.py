"""Taking the lock of a target, with errors that name the holder."""

from __future__ import annotations

import os

from safeh5.errors import NotWritableError
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


def describe_owner(storage: Storage, names: Names) -> str | None:
    """Who says to write there, in words."""
    owner = Owner.read(storage, names.owner)
    return owner.describe() if owner is not None else None
