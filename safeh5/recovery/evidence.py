"""Look, touch nothing: everything that recovery needs to know about one target.

Reading is all that happens here, so `status` may look at a session that is
running. What the facts mean is decided in `classify`, by a pure function.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import msgspec

from safeh5.errors import (
    ForeignSidecarError,
    JournalError,
    NotHDF5Error,
    NotReadableError,
    UnsupportedVersion,
)
from safeh5.journal import ControlFrame, Frame, JournalScan, Kind, salvage_frames, scan
from safeh5.operations.control import CommitRecord, SessionRecord, decode_control
from safeh5.recovery.checkpoint import checkpoint_problem, cut_short
from safeh5.recovery.note import SalvageNote, read_note
from safeh5.storage import Names, Owner, Storage, TargetLock
from safeh5.storage.fingerprint import Fingerprint

_Record = TypeVar("_Record", bound=msgspec.Struct)


class Sidecar(Enum):
    """What the sidecar directory holds."""

    ABSENT = "there is none"
    FOREIGN = "it holds no journal of safeh5"
    UNSUPPORTED = "its journal was written by a newer version"
    JOURNAL = "it holds a journal"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Facts about a target and its sidecar, none of them interpreted.

    Attributes
    ----------
    names : Names
        Where everything is.
    locked : bool
        Whether some process holds the lock now.
    sidecar : Sidecar
        What the sidecar holds.
    problem : str or None
        Why the journal cannot be read when it cannot be at all, or what shows
        that its end is lost.
    scan : JournalScan or None
        What reading the journal from end to end gave.
    session : SessionRecord or None
        How the session began.
    commit : CommitRecord or None
        The COMMIT record, if there is one.
    sealed, rolled_back : bool
        Whether the journal's last word is SEAL, or it holds a ROLLBACK.
    staging, target : Fingerprint or None
        The staging file and the target as they are now.
    owner : Owner or None
        Who says to have written.
    owner_gone : bool
        Whether that process is known to have ended.
    salvaged : SalvageNote or None
        What an earlier salvage of this session came to.
    checkpoint_problem : str
        Why the checkpoint cannot be gone on from that the journal builds on;
        empty when it can, or when the journal can do without.
    """

    names: Names
    locked: bool
    sidecar: Sidecar
    problem: str | None = None
    scan: JournalScan | None = None
    session: SessionRecord | None = None
    commit: CommitRecord | None = None
    sealed: bool = False
    rolled_back: bool = False
    staging: Fingerprint | None = None
    target: Fingerprint | None = None
    owner: Owner | None = None
    owner_gone: bool = False
    salvaged: SalvageNote | None = None
    checkpoint_problem: str = ""


def examine(storage: Storage, names: Names, *, locked: bool | None = None) -> Evidence:
    """Gather the evidence about `names`, changing nothing.

    Parameters
    ----------
    locked : bool, optional
        False for the caller who holds the lock and so knows that nobody else does.

    Raises
    ------
    JournalError
        The sidecar cannot be read.
    NotReadableError, NotHDF5Error
        The target cannot be read.
    """
    # The lock is asked first: a session that ends while we look then shows as
    # live, which is the answer that makes nobody act.
    if locked is None:
        found = examine(storage, names, locked=_is_held(names))
        # And last, for one that began meanwhile: it must not look interrupted.
        began = not found.locked and found.sidecar is Sidecar.JOURNAL and _is_held(names)
        return examine(storage, names, locked=True) if began else found
    target = _look_at(names.target)
    if not storage.exists(names.sidecar):
        return Evidence(names, locked, Sidecar.ABSENT, target=target)
    if not os.path.isdir(names.sidecar):
        return Evidence(names, locked, Sidecar.FOREIGN, "it is not a directory", target=target)
    owner = Owner.read(storage, names.owner)
    try:
        return _read_journal(storage, names, locked, scan(storage, names.sidecar, live=locked), target, owner)
    except ForeignSidecarError as error:
        return Evidence(names, locked, Sidecar.FOREIGN, error.message, target=target, owner=owner)
    except UnsupportedVersion as error:
        return Evidence(names, locked, Sidecar.UNSUPPORTED, error.message, target=target, owner=owner)
    except OSError as error:
        if not storage.exists(names.sidecar):
            # The session that it belonged to has ended while we looked.
            return examine(storage, names, locked=locked)
        raise JournalError(
            f"the session's directory cannot be read: {error.strerror or error}",
            path=names.sidecar,
            safe="Nothing was touched",
            hint="See to the permissions or the disk, then call again",
        ) from error


def _is_held(names: Names) -> bool:
    return not names.is_aside and TargetLock.is_held(names.lock)


def _look_at(target: str) -> Fingerprint | None:
    try:
        return Fingerprint.of(target)
    except PermissionError as error:
        raise NotReadableError(
            "the file may not be read by this user", path=target, safe="Nothing was touched"
        ) from error
    except OSError as error:
        raise NotHDF5Error(
            f"the file cannot be read: {error.strerror or error}", path=target, safe="Nothing was touched"
        ) from error


def _read_journal(
    storage: Storage,
    names: Names,
    locked: bool,
    journal: JournalScan,
    target: Fingerprint | None,
    owner: Owner | None,
) -> Evidence:
    problem: str | None = None
    session: SessionRecord | None = None
    commit: CommitRecord | None = None
    control = journal.control if not journal.damage else _control_past_damage(storage, journal)
    try:
        session = _how_it_began(journal, control)
        commit = _last(control, Kind.COMMIT, CommitRecord)
    except JournalError as error:
        problem = error.message
    if session is None and problem is None:
        problem = "the journal's first record, which says how the session began, is missing"
    if problem is None and not locked:
        # A session that is running may have checkpointed since its journal was read.
        problem = cut_short(storage, names.staging, journal)
    return Evidence(
        names,
        locked,
        Sidecar.JOURNAL,
        problem,
        scan=journal,
        session=session,
        commit=commit,
        sealed=_is_sealed(journal),
        rolled_back=any(frame.kind is Kind.ROLLBACK for frame in control),
        staging=Fingerprint.of(names.staging),
        target=target,
        owner=owner,
        owner_gone=owner is not None and owner.is_gone,
        salvaged=read_note(storage, names),
        checkpoint_problem=_checkpoint_problem(storage, names, locked, journal),
    )


def _how_it_began(journal: JournalScan, control: tuple[ControlFrame, ...]) -> SessionRecord | None:
    if journal.anchor is not None:
        return decode_control(SessionRecord, journal.anchor.session)
    return _last(control, Kind.SESSION, SessionRecord)


def _checkpoint_problem(storage: Storage, names: Names, locked: bool, journal: JournalScan) -> str:
    # A session that is running may be just writing the slots.
    if journal.anchor is None or locked:
        return ""
    return checkpoint_problem(storage, names.staging, journal)


def _control_past_damage(storage: Storage, journal: JournalScan) -> tuple[ControlFrame, ...]:
    """The control records of a damaged journal that are whole, behind the damage too.

    How the session began and how it ended must not be unknown because of a bit
    somewhere else.
    """
    return tuple(
        ControlFrame(item.kind, item.lsn, item.time, item.meta)
        for item in salvage_frames(storage, journal)
        if isinstance(item, Frame) and item.kind in (Kind.SESSION, Kind.COMMIT, Kind.ROLLBACK)
    )


def _is_sealed(journal: JournalScan) -> bool:
    """Whether the session was suspended and nobody went on with it since."""
    last = journal.last(Kind.SESSION, Kind.RESUME, Kind.SEAL)
    return last is not None and last.kind is Kind.SEAL


def _last(control: tuple[ControlFrame, ...], kind: Kind, record: type[_Record]) -> _Record | None:
    found = next((frame for frame in reversed(control) if frame.kind is kind), None)
    return decode_control(record, found.meta) if found is not None else None
