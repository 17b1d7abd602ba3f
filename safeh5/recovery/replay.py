"""Replay: the staging file made again, from what the session began with and the journal.

The same applier as in normal running, over the same records in the same
order. Nothing on disk but the staging file is changed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from safeh5.applier import Staging
from safeh5.errors import TargetChangedError, recover_command
from safeh5.events import Progress, ProgressEvent, silent
from safeh5.journal import JournalScan, records
from safeh5.operations import codec
from safeh5.operations.control import SessionRecord
from safeh5.storage import Names, Storage
from safeh5.storage.fingerprint import Fingerprint


@dataclass(frozen=True, slots=True)
class Replayed:
    """A staging file that holds everything the journal says.

    Attributes
    ----------
    staging : Staging
        Open for more.
    records, bytes : int
        How much was applied.
    """

    staging: Staging
    records: int
    bytes: int


def begin_staging(
    storage: Storage,
    names: Names,
    session: SessionRecord,
    progress: Progress = silent,
    *,
    any_base: bool = False,
) -> Staging:
    """The staging file as the session began with it.

    Parameters
    ----------
    storage, names : Storage, Names
        Where it is made.
    session : SessionRecord
        How the session began.
    progress : callable
        Told about copying.
    any_base : bool
        Take the target as it is now, changed or not; for results that go elsewhere.

    Raises
    ------
    TargetChangedError
        If the target, which the staging file starts from, is not what it was.
    """
    if not session.copy:
        return Staging.create(storage, names, session.creation)
    if not any_base:
        require_base(names, session)
    return Staging.copy_of(storage, names, names.target, progress)


def replay(
    storage: Storage, names: Names, session: SessionRecord, journal: JournalScan, progress: Progress = silent
) -> Replayed:
    """Apply every batch that has its end.

    Raises
    ------
    ApplyError
        If HDF5 refuses a record; it says which. The staging file is gone then.
    """
    return apply_records(begin_staging(storage, names, session, progress), storage, journal, progress)


def apply_records(staging: Staging, storage: Storage, journal: JournalScan, progress: Progress) -> Replayed:
    """Apply the journal's records to a staging file that holds none of them yet."""
    count, size = 0, 0
    try:
        for frame in records(storage, journal):
            staging.applier.apply(codec.decode(frame.meta), frame.payload, lsn=frame.lsn)
            count, size = count + 1, size + len(frame.payload)
            progress(ProgressEvent("replaying journal", size, journal.record_bytes))
    except BaseException:
        staging.discard()
        raise
    return Replayed(staging, count, size)


def require_base(names: Names, session: SessionRecord) -> None:
    """Raise `TargetChangedError` unless the target is what the session found."""
    if Fingerprint.of(names.target) == session.base:
        return
    found = "was changed by someone else" if os.path.exists(names.target) else "is gone"
    if session.base is None:
        found = "was made by someone else"
    stem, suffix = os.path.splitext(names.target)
    raise TargetChangedError(
        f"{names.target} {found} since the session began",
        path=names.target,
        safe="It is left as it is, and everything acknowledged is kept in the journal",
        hint="Write the session's result to another file with: "
        + recover_command(names.target, "--replay", "--output", f"{stem}.recovered{suffix}"),
    )
