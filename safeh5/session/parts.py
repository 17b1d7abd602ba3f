"""What a session is made of."""

from __future__ import annotations

from dataclasses import dataclass

from safeh5.events import Progress
from safeh5.journal import JournalScan
from safeh5.operations.control import SessionRecord
from safeh5.options import VerifyLevel
from safeh5.session.log import BatchLog
from safeh5.session.workspace import Workspace
from safeh5.storage import Names, Storage, TargetLock


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that `safeh5.session.opening` put together for one session.

    Attributes
    ----------
    storage, names : Storage, Names
        The disk, and where everything lies on it.
    lock : TargetLock
        Held while the session lives.
    session_id : bytes
        16 bytes.
    record : SessionRecord
        How the session began.
    log : BatchLog
        Where operations are journaled.
    workspace : Workspace
        Where they are applied.
    verify : VerifyLevel
        How much of the new file is read again before commit.
    progress : callable
        Told about long work.
    found : JournalScan or None
        The journal as it was found, when the session goes on with an interrupted one.
    """

    storage: Storage
    names: Names
    lock: TargetLock
    session_id: bytes
    record: SessionRecord
    log: BatchLog
    workspace: Workspace
    verify: VerifyLevel
    progress: Progress
    found: JournalScan | None = None
