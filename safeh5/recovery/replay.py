"""Replay: the staging file made again, from what the session began with and the journal.

The same applier as in normal running, over the same records in the same
order. Nothing on disk but the staging file is changed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from safeh5.applier import Place, Staging
from safeh5.errors import TargetChangedError, recover_command
from safeh5.events import Progress, ProgressEvent, silent
from safeh5.journal import JournalScan, records
from safeh5.operations import codec
from safeh5.operations.control import SessionRecord
from safeh5.options import MIB
from safeh5.recovery.checkpoint import open_checkpoint
from safeh5.storage import Names, Storage
from safeh5.storage.copying import allocated
from safeh5.storage.fingerprint import Fingerprint
from safeh5.storage.pager import read_redo

REBUILD_BYTES: Final = 64 * MIB


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


def staging_place(storage: Storage, names: Names, session_id: bytes) -> Place:
    """Where the staging file of a session lies."""
    return Place(storage, names.staging, names.target, session_id)


def begin_staging(
    storage: Storage,
    names: Names,
    session_id: bytes,
    session: SessionRecord,
    progress: Progress = silent,
    *,
    any_base: bool = False,
    only_look: bool = False,
) -> Staging:
    """The staging file as the session began with it.

    Parameters
    ----------
    storage, names : Storage, Names
        Where it is made.
    session_id, session : bytes, SessionRecord
        Whose it is, and how the session began.
    progress : callable
        Told about copying.
    any_base : bool
        Take the target as it is now, changed or not; for results that go elsewhere.
    only_look : bool
        A target is not copied yet, but read until the staging file is asked to `Staging.own` it.

    Raises
    ------
    TargetChangedError
        If the target, which the staging file starts from, is not what it was.
    """
    place = staging_place(storage, names, session_id)
    if not session.copy:
        return Staging.create(place, session.creation)
    if not any_base:
        require_base(names, session)
    if only_look:
        return Staging.over(place, names.target, session.creation)
    return Staging.copy_of(place, names.target, session.creation, progress)


def replay(
    storage: Storage,
    names: Names,
    session: SessionRecord,
    journal: JournalScan,
    progress: Progress = silent,
    *,
    any_base: bool = False,
) -> Replayed:
    """The staging file with every batch that has its end, from the last checkpoint on.

    Raises
    ------
    ApplyError
        If HDF5 refuses a record; it says which.
    CheckpointLostError
        If the journal builds on a checkpoint that is not there.
    """
    staging = None
    # For a result that goes elsewhere a target that others changed is the worse beginning.
    if not _cheap_to_rebuild(session, journal) or (any_base and not _has_base(names, session)):
        staging = open_checkpoint(
            staging_place(storage, names, journal.session_id), journal, session.creation
        )
    if staging is None:
        staging = begin_staging(storage, names, journal.session_id, session, progress, any_base=any_base)
    return apply_records(staging, storage, journal, progress)


def _has_base(names: Names, session: SessionRecord) -> bool:
    try:
        return Fingerprint.of(names.target) == session.base
    except IsADirectoryError:
        return False


def _cheap_to_rebuild(session: SessionRecord, journal: JournalScan) -> bool:
    """Whether the whole journal is replayed although there may be a checkpoint.

    Every byte of the journal has a checksum and the staging file has none, so
    where it costs next to nothing the journal is believed and not the file.
    """
    base = session.base.size if session.copy and session.base is not None else 0
    return journal.is_complete and base + journal.record_bytes <= REBUILD_BYTES


def room_needed(storage: Storage, names: Names, session: SessionRecord, journal: JournalScan) -> int:
    """Bytes of room that `replay`, and closing what it makes, take; those it gives back are taken off.

    Values are counted as they are in the journal: compressed, or written twice
    to one place, they take less.
    """
    rebuilt = _cheap_to_rebuild(session, journal)
    redo = None if rebuilt else read_redo(storage, names.staging, journal.session_id)
    after = 0 if redo is None else redo.applied
    fresh = sum(len(frame.payload) + len(frame.meta) for frame in records(storage, journal, after=after))
    there = allocated(storage.stat(names.staging)) if storage.exists(names.staging) else 0
    if redo is not None:
        # What stands behind the checkpoint's end is cut off first.
        return max(0, fresh - max(0, there - redo.end))
    return max(0, room_to_begin(storage, names, session) + fresh - there)


def room_to_begin(storage: Storage, names: Names, session: SessionRecord) -> int:
    """Bytes of room that a copy of the target takes, to begin with; none where it shares its blocks."""
    if not session.copy or not storage.exists(names.target) or storage.shares_blocks(names.directory):
        return 0
    return allocated(storage.stat(names.target))


def apply_records(staging: Staging, storage: Storage, journal: JournalScan, progress: Progress) -> Replayed:
    """Apply the journal's records behind the checkpoint that a staging file was opened at."""
    count, size = 0, 0
    try:
        for frame in records(storage, journal, after=staging.applied):
            staging.applier.apply(codec.decode(frame.meta), frame.payload, lsn=frame.lsn)
            count, size = count + 1, size + len(frame.payload)
            progress(ProgressEvent("replaying journal", size, journal.record_bytes))
    except BaseException:
        staging.drop()
        raise
    return Replayed(staging, count, size)


def require_base(names: Names, session: SessionRecord) -> None:
    """Raise `TargetChangedError` unless the target is what the session found."""
    if _has_base(names, session):
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
        + recover_command(names.target, "--replay", "--output", f"{stem}.recovered{suffix}")
        + "; then set the session aside with: "
        + recover_command(names.target, "--rollback"),
    )
