"""What the writer says when the disk refuses: the errors with their advice."""

from __future__ import annotations

import errno
from typing import Final

from safeh5.errors import DiskFullError, JournalWriteError, SessionFailedError, recover_command

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a write that go away when room is made."""

_SAFE: Final = "Everything acknowledged so far is safe in the journal."


def disk_full(error: OSError, what: str, directory: str, needed: int) -> DiskFullError:
    """For a write that found no room; it left nothing behind."""
    return DiskFullError(
        f"{what}: {error.strerror}; {needed} bytes are needed",
        needed=needed, errno=error.errno, path=directory, safe=_SAFE,
        hint="Free some space and call again.",
    )  # fmt: skip


def refused(error: OSError, what: str, directory: str) -> JournalWriteError:
    """For a write that the disk refused for another reason; it left nothing behind."""
    return JournalWriteError(
        f"{what}: {error.strerror or error}",
        errno=error.errno,
        path=directory,
        safe="The record was not written. " + _SAFE,
        hint="See to the disk and call again: the session goes on if the disk does. " + _advice(directory),
    )


def broken(error: OSError, what: str, directory: str) -> JournalWriteError:
    """For a failure after which nobody knows what is on the disk."""
    return JournalWriteError(
        f"{what}: {error.strerror or error}",
        errno=error.errno,
        path=directory,
        safe=_SAFE,
        hint=_advice(directory),
    )


def deleted(path: str, directory: str) -> JournalWriteError:
    """For a segment that has no name any more: what is in it goes with its descriptor."""
    return JournalWriteError(
        f"{path} was deleted by somebody else while it was written",
        errno=errno.ENOENT,
        path=directory,
        safe="The target is untouched; what this session acknowledged was in that journal",
        hint="If there is a copy of the sidecar, put it back; else begin again",
    )


def poisoned(failure: str, directory: str) -> SessionFailedError:
    """For every call after such a failure."""
    return SessionFailedError(
        f"the journal takes no more records since an earlier failure ({failure})",
        path=directory, safe=_SAFE, hint=_advice(directory),
    )  # fmt: skip


def _advice(directory: str) -> str:
    return f"End this session, see to the disk, then run: {recover_command(directory)}"
