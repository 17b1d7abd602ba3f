"""Every error of safeh5, in one tree grouped by what the caller can do next.

====================  =====================================================
catch                 and then
====================  =====================================================
`WaitError`           wait: somebody else is at work, nothing is wrong
`FreeSpaceError`      free disk space, then call again
`RecoverError`        run ``safeh5 status`` / ``safeh5 recover``
`InputError`          change what was passed in; nothing has been written
`InternalError`       report a bug; what was acknowledged is in the journal
====================  =====================================================

A message says what happened, where, what is safe, and what to do next; the
same facts are attributes, for programs.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterable


def recover_command(target: str | os.PathLike[str], *options: str) -> str:
    """The shell command that recovers `target`, quoted for copy and paste."""
    return shlex.join(["safeh5", "recover", os.fspath(target), *options])


class SafeH5Error(Exception):
    """Root of the tree.

    Parameters
    ----------
    message : str
        What happened, as a sentence.
    path : path-like, optional
        The file or directory it happened to.
    lsn : int, optional
        Log sequence number of the record concerned.
    dataset : str, optional
        HDF5 path (or tree path) of the object concerned.
    safe : str, optional
        What is not affected, as a sentence.
    hint : str, optional
        What to do next, as a sentence or a command.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | os.PathLike[str] | None = None,
        lsn: int | None = None,
        dataset: str | None = None,
        safe: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = None if path is None else os.fspath(path)
        self.lsn = lsn
        self.dataset = dataset
        self.safe = safe
        self.hint = hint

    def __str__(self) -> str:
        return " ".join(self._sentences())

    def _sentences(self) -> Iterable[str]:
        where = [
            text
            for text in (
                self.path,
                None if self.lsn is None else f"LSN {self.lsn}",
                self.dataset,
            )
            if text is not None and text not in self.message
        ]
        message = self.message.removesuffix(".") if where else self.message
        yield _stop(message + (f" ({', '.join(where)})" if where else ""))
        if self.safe:
            yield _stop(self.safe)
        if self.hint:
            yield _stop(self.hint)


def _stop(sentence: str) -> str:
    """`sentence` with a full stop, unless it ends in punctuation."""
    return sentence if sentence.endswith((".", "!", "?", ":")) else sentence + "."


# --- wait ---------------------------------------------------------------------


class WaitError(SafeH5Error):
    """Somebody else is at work; call again later."""


class SessionLockedError(WaitError, BlockingIOError):
    """Another session holds the lock of this target.

    Attributes
    ----------
    holder : str or None
        The holder in words (process, host, since when), as far as known.
    """

    def __init__(self, message: str, *, holder: str | None = None, **kwargs: str | None) -> None:
        super().__init__(message, **kwargs)  # type: ignore[arg-type]
        self.holder = holder


class BacklogFull(WaitError):
    """More waits to be applied than was allowed; nothing was written by this call."""


class LiveViewExpiredError(WaitError, OSError):
    """A live view shows a checkpoint that the file does not hold any more; refresh it and read again."""

    def __init__(self, message: str, **kwargs: str | None) -> None:
        super().__init__(message, **kwargs)  # type: ignore[arg-type]


# --- free space ---------------------------------------------------------------


class FreeSpaceError(SafeH5Error):
    """There is no room on the disk."""


class DiskFullError(FreeSpaceError, OSError):
    """A write found no room (ENOSPC, EDQUOT, EFBIG), or would leave too little; it was not acknowledged.

    Attributes
    ----------
    needed : int or None
        Bytes that the refused call needs, where known.
    missing : int or None
        Bytes that have to be freed for it, where known.
    """

    def __init__(
        self,
        message: str,
        *,
        needed: int | None = None,
        missing: int | None = None,
        errno: int | None = None,
        **kwargs: str | None,
    ) -> None:
        super().__init__(message, **kwargs)  # type: ignore[arg-type]
        self.needed = needed
        self.missing = missing
        self.errno = errno


# --- recover ------------------------------------------------------------------


class RecoverError(SafeH5Error):
    """What was acknowledged is in the journal; recovery brings it back."""


class InterruptedSessionError(RecoverError, OSError):
    """The target has an interrupted session and nobody said what to do with it."""


class SessionFailedError(RecoverError):
    """The session is poisoned and takes no more work; what it acknowledged stays."""


class JournalWriteError(RecoverError, OSError):
    """The journal could not be written (EIO, EROFS, a failed fsync).

    After a failed write the session goes on when the disk does; after a failed
    fsync it has FAILED.
    """

    def __init__(self, message: str, *, errno: int | None = None, **kwargs: str | int | None) -> None:
        super().__init__(message, **kwargs)  # type: ignore[arg-type]
        self.errno = errno


class StagingReadError(RecoverError, OSError):
    """The disk failed under the file that a session shows, while it was read."""

    def __init__(self, message: str, *, errno: int | None = None, **kwargs: str | int | None) -> None:
        super().__init__(message, **kwargs)  # type: ignore[arg-type]
        self.errno = errno


class JournalError(RecoverError):
    """The journal cannot be read as it stands."""


class CorruptJournalError(JournalError):
    """Acknowledged bytes of the journal are damaged.

    Attributes
    ----------
    segment : int or None
        Number of the damaged segment.
    offset : int or None
        Byte offset of the damage in that segment.
    cause : str or None
        What was found there.
    """

    def __init__(
        self,
        message: str,
        *,
        segment: int | None = None,
        offset: int | None = None,
        cause: str | None = None,
        **kwargs: str | int | None,
    ) -> None:
        super().__init__(message, **kwargs)  # type: ignore[arg-type]
        self.segment = segment
        self.offset = offset
        self.cause = cause


class UnsupportedVersion(JournalError):
    """The journal was written by a newer safeh5; it is not damaged."""


class JournalPrunedError(JournalError):
    """Records that a reader still wanted were removed from the journal; a checkpoint holds them."""


class JournalGoneError(JournalError):
    """The journal that was followed is not there any more: its session has ended."""


class ForeignSidecarError(JournalError):
    """Something stands where the sidecar should be that safeh5 did not make."""


class CheckpointLostError(RecoverError):
    """A journal builds on a checkpoint of the staging file that is missing or damaged."""


class ObjectLostError(RecoverError, ValueError, RuntimeError):
    """An h5py object was opened on a file that was made again since; open it anew."""


class ApplyError(RecoverError):
    """A journaled record cannot be applied to the HDF5 file."""


class TargetChangedError(RecoverError):
    """The target is not the file that the session began with; it is left alone."""


class VerificationError(RecoverError):
    """The file built for commit does not verify; the target is left alone."""


class LockLostError(RecoverError):
    """The lock file was taken away under a live session."""


# --- fix the input ------------------------------------------------------------


class InputError(SafeH5Error):
    """What was passed in does not fit; nothing has been written."""


class InvalidTreeError(InputError, ValueError):
    """A node of a MicroData tree is wrong; `dataset` names the node's path."""


class InvalidTypeError(InvalidTreeError, TypeError):
    """A value or data type that HDF5 cannot hold."""


class ObjectExistsError(InvalidTreeError):
    """Something stands already at the path of a node."""


class InvalidOptionError(InputError, ValueError):
    """An argument has a value that is not among those allowed."""


class SessionStateError(InputError, RuntimeError):
    """The session is in a state in which this call has no meaning."""


class TargetNotFoundError(InputError, FileNotFoundError):
    """There is no file at the path and the mode does not create one."""

    errno = errno.ENOENT


class TargetExistsError(InputError, FileExistsError):
    """There is a file at the path and the mode is ``'x'``."""

    errno = errno.EEXIST


class NotHDF5Error(InputError, OSError):
    """The target exists and is not an HDF5 file (or not a whole one)."""


class NotReadableError(InputError, PermissionError):
    """The file may not be read by this user, or not the session's directory."""

    def __init__(self, message: str, **kwargs: str | None) -> None:
        super().__init__(message, **kwargs)  # type: ignore[arg-type]


class TargetIsDirectoryError(NotHDF5Error, IsADirectoryError):
    """There is a directory at the path."""

    errno = errno.EISDIR


class NotWritableError(InputError, PermissionError):
    """The directory of the target cannot be written, or its file system cannot lock."""


class TargetReadOnlyError(InputError, PermissionError):
    """The file at the path may not be written."""

    errno = errno.EACCES


class TargetIsOpenError(InputError, OSError):
    """The file is open in this process, in a way that does not go with what was asked for."""


class NothingToRecoverError(InputError):
    """There is no session of safeh5 at this path."""


class UnjournaledOperationError(InputError, NotImplementedError):
    """A road of h5py's API that safeh5 cannot journal; it was refused, not done."""


# --- report a bug -------------------------------------------------------------


class InternalError(SafeH5Error):
    """safeh5 broke one of its own invariants."""
