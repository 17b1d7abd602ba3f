"""Sessions: the life cycle of one transaction on one HDF5 file."""

from __future__ import annotations

import os
from operator import index
from typing import Final, Literal, SupportsIndex, get_args

from safeh5.errors import InvalidOptionError
from safeh5.events import Progress, silent
from safeh5.operations.control import FileCreation
from safeh5.options import (
    MIB,
    ApplierKind,
    BacklogOptions,
    CheckpointOptions,
    DiskOptions,
    Durability,
    JournalOptions,
    Libver,
    Mode,
    OnError,
    VerifyLevel,
    choose,
    is_count,
    require_choice,
    require_number,
)
from safeh5.recovery.report import Action
from safeh5.session.opening import Opening, open_session
from safeh5.session.session import Session
from safeh5.session.state import State
from safeh5.session.written import Written
from safeh5.storage import Storage, disk_of

__all__ = ["Session", "State", "Written", "open"]

_SMALLEST_USERBLOCK: Final = 512


def open(
    path: str | os.PathLike[str],
    mode: Mode = "a",
    *,
    resume: bool = False,
    recover: Action | str | None = None,
    durability: Durability | str = Durability.RECORD,
    interval_ms: int = 100,
    on_error: OnError | str = OnError.SUSPEND,
    verify: VerifyLevel | str = VerifyLevel.NONE,
    lock_timeout: float = 0.0,
    libver: str | None = None,
    userblock_size: int | None = None,
    track_order: bool | None = None,
    segment_bytes: int = 256 * MIB,
    journal_limit: int = 1024 * MIB,
    checkpoint_bytes: int = 256 * MIB,
    checkpoint_seconds: float = 60.0,
    applier: ApplierKind | str = ApplierKind.AUTO,
    backlog_bytes: int = 1024 * MIB,
    on_backlog: Literal["block", "raise"] = "block",
    warn_below: int | None = None,
    refuse_below: int | None = None,
    reserve: int | None = None,
    progress: Progress = silent,
    creation: FileCreation | None = None,
    storage: Storage | None = None,
) -> Session:
    """Begin a session on an HDF5 file.

    Parameters
    ----------
    path : path-like
        The file; symbolic links are followed to the real one.
    mode : {"a", "r+", "w", "x", "w-"}
        As in h5py: ``"a"`` changes a file or makes one, ``"r+"`` changes one,
        ``"x"`` and ``"w-"`` make one that must not exist, ``"w"`` makes one.
        None of them touches an existing file before commit.
    resume : bool
        Go on with an interrupted session, if there is one.
    recover : {"replay", "rollback", "salvage"}, optional
        Finish or undo an interrupted session first, if there is one; or take
        what is whole of one whose journal is damaged.
    durability : {"record", "interval", "flush"}
        When a call that changes something returns: when it is on disk; soon
        before it is; or at once, and it is on disk at `Session.sync`.
    interval_ms : int
        The bound of ``"interval"``, in milliseconds.
    on_error : {"suspend", "rollback", "commit"}
        What a ``with`` block does when an exception leaves it.
    verify : {"none", "structure", "full"}
        How much of the new file is read again before it replaces the target.
    lock_timeout : float
        Seconds to wait for another session to end.
    libver, userblock_size, track_order
        As in `h5py.File`, for a file made anew.
    segment_bytes : int
        Size at which the journal begins a new segment file; at most a quarter
        of `journal_limit`.
    journal_limit : int
        When the journal has grown beyond so many bytes, the session
        checkpoints and removes what the checkpoint holds. So the journal takes
        no more than this, and one batch, on the disk.
    checkpoint_bytes, checkpoint_seconds : int, float
        The session checkpoints by itself after so many payload bytes, or so
        much time with anything written; recovery then starts from there.
    applier : {"auto", "inline", "process"}
        Apply in the caller, so that everything written can be read at once; or
        in a process beside, so that a call waits for the journal only and a
        crash of libhdf5 does not reach the acquisition. ``"auto"`` begins in
        the caller and starts the process when streams have written 32 MiB, or
        for two seconds; `Session.file` takes the work back for good.
    backlog_bytes, on_backlog : int, {"block", "raise"}
        How many payload bytes may wait for the process beside, and whether a
        call that finds more waits or raises `BacklogFull`.
    warn_below, refuse_below : int, optional
        Free bytes on the disk below which a warning is logged, and below which
        records are refused with `DiskFullError`. By default 1 GiB and 16 MiB,
        and on small file systems 5 % and 1 % of their size; 0 for neither.
    reserve : int, optional
        Bytes set aside in the sidecar, so that the session can be ended when
        others have filled the disk. By default 1 MiB, on file systems below
        256 MiB a 256th; 0 for none.
    progress : callable, optional
        Gets `ProgressEvent` while copying and replaying.
    creation : FileCreation, optional
        All arguments of `h5py.File` at once, instead of `libver`,
        `userblock_size` and `track_order`; for `safeh5.File`.
    storage : Storage, optional
        The disk; one that fails, for tests.

    Returns
    -------
    Session
        A context manager: commits when it is left without an exception.

    Raises
    ------
    InvalidOptionError
        An option is none of what it may be; nothing was touched.
    SessionLockedError
        Somebody else is writing the file.
    InterruptedSessionError
        An earlier session was interrupted, and neither `resume` nor `recover` was given.
    CorruptJournalError, CheckpointLostError, ForeignSidecarError, UnsupportedVersion
        What stands beside the file can be gone on with in no such way; nothing was touched.
    TargetNotFoundError, TargetExistsError, TargetIsDirectoryError, NotHDF5Error
        The file does not fit the mode.
    NotWritableError, DiskFullError
        No sidecar can be made beside the file; nothing is left of it.
    """
    if libver is not None and libver not in get_args(Libver):
        raise InvalidOptionError(f"libver={libver!r} is not one of {', '.join(map(repr, get_args(Libver)))}")
    if not callable(progress):
        raise InvalidOptionError(f"progress={progress!r} cannot be called")
    require_choice(resume, "resume", (False, True))
    require_choice(track_order, "track_order", (None, False, True))
    require_number(lock_timeout, "lock_timeout")
    if creation is not None and not isinstance(creation, FileCreation):
        raise InvalidOptionError(f"creation={creation!r} is no FileCreation")
    opening = Opening(
        mode=mode,
        resume=resume,
        recover=None if recover is None else choose(Action, recover, "recover"),
        journal=JournalOptions(
            choose(Durability, durability, "durability"),
            interval_ms,
            segment_bytes,
            journal_limit=journal_limit,
        ),
        on_error=choose(OnError, on_error, "on_error"),
        verify=choose(VerifyLevel, verify, "verify"),
        creation=creation
        or FileCreation(libver=libver, userblock_size=_userblock(userblock_size), track_order=track_order),
        checkpoints=CheckpointOptions(checkpoint_bytes, checkpoint_seconds),
        applier=choose(ApplierKind, applier, "applier"),
        backlog=BacklogOptions(backlog_bytes, _blocks(on_backlog)),
        disk=DiskOptions(warn_below, refuse_below, reserve),
        lock_timeout=lock_timeout,
        progress=progress,
    )
    return open_session(os.fsdecode(path), opening, disk_of(storage))


def _blocks(on_backlog: str) -> bool:
    if on_backlog not in ("block", "raise"):
        raise InvalidOptionError(f"on_backlog={on_backlog!r} is not one of 'block', 'raise'")
    return on_backlog == "block"


def _userblock(size: object) -> int | None:
    """The size of a user block, which HDF5 would refuse only when the file is made."""
    if size is None:
        return None
    require_number(size, "userblock_size")
    if not is_count(size) or not isinstance(size, SupportsIndex):
        raise InvalidOptionError(f"userblock_size={size!r} is no whole number")
    count = index(size)
    if count and (count < _SMALLEST_USERBLOCK or count & (count - 1)):
        raise InvalidOptionError(
            f"userblock_size={size!r} is neither 0 nor a power of two of at least {_SMALLEST_USERBLOCK}"
        )
    return count
