"""Publish: the last steps of a commit, the same for a session and for recovery.

::

    staging whole, fsynced        old target, no COMMIT      a crash: replay again
    COMMIT record, fsynced        old target, COMMIT         a crash: roll forward
    rename staging over target    new target, maybe not yet durable
    fsync the directory           new target, durable        a crash: tidy up
    rename sidecar to trash, fsync the directory, delete it

Invariants
----------
1. The content of the staging file is on disk before the COMMIT record is
   written, so a COMMIT record always speaks of a whole file.
2. The COMMIT record is on disk before the rename, so a target that was
   replaced always has a record that says so, and what was replaced is known.
3. The rename is on disk before the journal goes: until then the target may
   come back as the old file after a power cut, and the journal is needed.
4. The sidecar goes by a rename, so a half-deleted sidecar never looks like a
   session.
"""

from __future__ import annotations

import shlex

from safeh5.applier.failures import staging_failed
from safeh5.errors import LockLostError, VerificationError
from safeh5.events import Progress, logger
from safeh5.operations.control import SessionRecord
from safeh5.options import VerifyLevel
from safeh5.recovery.replay import require_base
from safeh5.storage import Names, Storage, TargetLock
from safeh5.storage.fingerprint import Fingerprint
from safeh5.verify import verify


def make_ready(storage: Storage, names: Names, level: VerifyLevel, progress: Progress) -> Fingerprint:
    """Verify the finished staging file and give it the target's mode and owner; returns its fingerprint.

    Until this returns nothing has been decided: after an error the staging
    file is opened at its last checkpoint when next needed.

    Parameters
    ----------
    storage, names : Storage, Names
        Where everything lies; the staging file is closed, whole and durable.
    level : VerifyLevel
        How much of the file to read again.
    progress : callable
        Told about verifying.
    """
    if level is not VerifyLevel.NONE:
        _verify(names.staging, level, progress)
    try:
        if storage.exists(names.target):
            for missing in storage.copy_metadata(names.target, names.staging):
                logger.warning("%s of %s could not be kept", missing, names.target)
        # Mode and owner were changed after the file was synced, so sync once more.
        storage.sync_path(names.staging)
        result = Fingerprint.of(names.staging)
    except OSError as error:
        raise staging_failed(error, names.staging) from error
    assert result is not None
    return result


def _verify(path: str, level: VerifyLevel, progress: Progress) -> None:
    report = verify(path, level=level.value, progress=progress)
    if report.ok:
        return
    first = report.problems[0]
    raise VerificationError(
        f"the file built for commit does not verify: {first.what} at {first.path} ({first.detail})",
        path=path,
        safe="The target is untouched and everything acknowledged is in the journal",
        hint="See all that is wrong with it: " + shlex.join(["safeh5", "verify", path]),
    )


def require_commit_possible(names: Names, session: SessionRecord, lock: TargetLock) -> None:
    """Look once more, right before the COMMIT record, whether the target is ours to replace.

    Raises
    ------
    TargetChangedError
        If somebody else wrote the target since the session began.
    LockLostError
        If the lock file was taken away under the session.
    """
    require_lock(lock)
    require_base(names, session)


def require_lock(lock: TargetLock) -> None:
    """Raise `LockLostError` if the lock file was taken away under the session."""
    if not lock.held():
        who = shlex.join(["safeh5", "status", lock.path.removesuffix(".lock")])
        raise LockLostError(
            "the lock file was removed while the session was open, so another writer may be at work",
            path=lock.path,
            safe="The target is untouched and everything acknowledged is in the journal",
            hint=f"See who is at work with: {who}",
        )


def place(storage: Storage, names: Names) -> None:
    """Rename the staging file over the target, durably."""
    storage.replace(names.staging, names.target)
    storage.sync_directory(names.directory)


def retire(storage: Storage, names: Names, session_id: bytes) -> None:
    """Remove the sidecar, in one step as far as anyone can see."""
    trash = names.trash(session_id)
    if storage.exists(trash):
        storage.remove_tree(trash)
    storage.rename(names.sidecar, trash)
    storage.sync_directory(names.directory)
    remove_garbage(storage, trash)


def remove_garbage(storage: Storage, path: str) -> None:
    """Remove a directory that is nobody's session; if that fails nobody has to care."""
    try:
        storage.remove_tree(path)
    except OSError as error:
        logger.warning("%s is of no use any more and cannot be removed: %s", path, error.strerror or error)
