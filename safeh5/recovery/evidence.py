"""Look, touch nothing: everything that recovery needs to know about one target.

Reading is all that happens here, so `status` may look at a session that is
running. What the facts mean is decided in `classify`, by a pure function.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import msgspec

from safeh5.errors import ForeignSidecarError, JournalError, UnsupportedVersion
from safeh5.journal import JournalScan, Kind, scan
from safeh5.operations.control import CommitRecord, SessionRecord, decode_control
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
        Why the journal cannot be read, when it cannot be at all.
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


def examine(storage: Storage, names: Names, *, locked: bool | None = None) -> Evidence:
    """Gather the evidence about `names`, changing nothing.

    Parameters
    ----------
    locked : bool, optional
        False for the caller who holds the lock and so knows that nobody else does.
    """
    # The lock is asked first: a session that ends while we look then shows as
    # live, which is the answer that makes nobody act.
    if locked is None:
        locked = not names.is_aside and TargetLock.is_held(names.lock)
    target = Fingerprint.of(names.target)
    if not storage.exists(names.sidecar):
        return Evidence(names, locked, Sidecar.ABSENT, target=target)
    owner = Owner.read(storage, names.owner)
    try:
        journal = scan(storage, names.sidecar)
    except ForeignSidecarError as error:
        return Evidence(names, locked, Sidecar.FOREIGN, error.message, target=target, owner=owner)
    except UnsupportedVersion as error:
        return Evidence(names, locked, Sidecar.UNSUPPORTED, error.message, target=target, owner=owner)
    return _read_journal(names, locked, journal, target, owner)


def _read_journal(
    names: Names, locked: bool, journal: JournalScan, target: Fingerprint | None, owner: Owner | None
) -> Evidence:
    problem: str | None = None
    session: SessionRecord | None = None
    commit: CommitRecord | None = None
    try:
        session = _last(journal, Kind.SESSION, SessionRecord)
        commit = _last(journal, Kind.COMMIT, CommitRecord)
    except JournalError as error:
        problem = error.message
    if session is None and problem is None:
        problem = "the journal's first record, which says how the session began, is missing"
    return Evidence(
        names,
        locked,
        Sidecar.JOURNAL,
        problem,
        scan=journal,
        session=session,
        commit=commit,
        sealed=_is_sealed(journal),
        rolled_back=journal.last(Kind.ROLLBACK) is not None,
        staging=Fingerprint.of(names.staging),
        target=target,
        owner=owner,
    )


def _is_sealed(journal: JournalScan) -> bool:
    """Whether the session was suspended and nobody went on with it since."""
    last = journal.last(Kind.SESSION, Kind.RESUME, Kind.SEAL)
    return last is not None and last.kind is Kind.SEAL


def _last(journal: JournalScan, kind: Kind, record: type[_Record]) -> _Record | None:
    found = journal.last(kind)
    return decode_control(record, found.meta) if found is not None else None
