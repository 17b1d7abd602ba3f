"""Taking the lock of a target, with errors that name the holder."""

from __future__ import annotations

import errno
import os
import stat

from safeh5.errors import (
    InvalidOptionError,
    NotHDF5Error,
    NotWritableError,
    SafeH5Error,
    TargetIsDirectoryError,
)
from safeh5.storage import Names, Owner, Storage, TargetLock
from safeh5.storage.names import LONGEST_SUFFIX


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
        if error.errno == errno.ENAMETOOLONG:
            require_name(names)
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
    InvalidOptionError
        No file can have such a name.
    """
    try:
        mode = os.stat(names.target).st_mode
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            require_name(names)
        return
    if stat.S_ISDIR(mode):
        raise TargetIsDirectoryError("this is a directory", path=names.target, safe="Nothing was touched")
    if not stat.S_ISREG(mode):
        raise NotHDF5Error("this is not a regular file", path=names.target, safe="Nothing was touched")


def require_name(names: Names) -> None:
    """Refuse a name that the files beside the target cannot be named after.

    Raises
    ------
    InvalidOptionError
        It is not UTF-8, which the journal keeps it as, or too long.
    """
    name = os.fsencode(os.path.basename(names.target))
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidOptionError(
            f"the name of the file is not UTF-8: {name!r}",
            safe="Nothing was touched",
            hint="Give it another name; its directory may have any",
        ) from None
    longest = _longest_name(names.directory)
    if len(name) + LONGEST_SUFFIX > longest:
        raise InvalidOptionError(
            f"the name of the file has {len(name)} bytes; safeh5 names files after it and needs "
            f"{LONGEST_SUFFIX} more, and {longest} are allowed here",
            path=names.directory,
            safe="Nothing was touched",
            hint=f"Use a name of at most {longest - LONGEST_SUFFIX} bytes, and rename the file afterwards",
        )


def _longest_name(directory: str) -> int:
    """Bytes that a file name in a directory may have."""
    try:
        return os.pathconf(directory, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        return 255


def describe_owner(storage: Storage, names: Names) -> str | None:
    """Who says to write there, in words."""
    owner = Owner.read(storage, names.owner)
    if owner is None:
        return None
    if owner.is_gone:
        return f"a recovery, it seems, of what was begun by {owner.describe()}, which is no more"
    return owner.describe()
