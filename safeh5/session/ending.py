"""The steps that end a session; which of them, and in which state, is the session's business.

The order of the writes and syncs of a commit is explained in `safeh5.recovery.publish`.
"""

from __future__ import annotations

from safeh5.events import logger
from safeh5.journal import Kind
from safeh5.operations.control import CommitRecord, now
from safeh5.recovery import publish
from safeh5.session.parts import Parts
from safeh5.storage import AsideKind, Names
from safeh5.storage.fingerprint import Fingerprint
from safeh5.storage.readers import remove_readers


def prepare(parts: Parts) -> Fingerprint:
    """Finish the staging file: whole, closed, verified, durable. Nothing is decided by that."""
    parts.log.settle()
    parts.workspace.finish(parts.log.sync())
    return publish.make_ready(parts.storage, parts.names, parts.verify, parts.progress)


def decide(parts: Parts, result: Fingerprint) -> None:
    """Write the COMMIT record, durably: from here on recovery rolls forward."""
    publish.require_commit_possible(parts.names, parts.record, parts.lock)
    parts.log.control(Kind.COMMIT, CommitRecord(result=result, time=now()))


def place_and_retire(parts: Parts) -> None:
    """Rename the new file over the target, then let the sidecar go."""
    publish.place(parts.storage, parts.names)
    retire(parts)


def retire(parts: Parts) -> None:
    """Delete the sidecar."""
    parts.workspace.drop()
    parts.log.journal.close()
    publish.retire(parts.storage, parts.names, parts.session_id)


def set_aside(parts: Parts) -> None:
    """Keep the sidecar under a name that says what it is."""
    parts.log.journal.close()
    parts.log.disk.release()
    aside = parts.names.aside(AsideKind.ROLLED_BACK, parts.session_id)
    parts.storage.rename(parts.names.sidecar, aside)
    parts.storage.sync_directory(parts.names.directory)
    remove_readers(parts.storage, Names(parts.names.target, aside).staging)
    logger.info("the session is kept at %s", aside)


def nothing(parts: Parts) -> None:
    """No last steps: a suspended session leaves everything where it is."""
