"""The torn end of a journal, kept in a file of its own."""

from __future__ import annotations

from safeh5.journal import TornTail
from safeh5.recovery.evidence import Evidence
from safeh5.recovery.failures import failed
from safeh5.recovery.plan import Step
from safeh5.storage import Names, Storage


def save_torn(storage: Storage, evidence: Evidence) -> str | None:
    """Copy the torn end of the journal to a file beside the target; returns its path.

    The bytes were never acknowledged, and they stay in their segment too until
    the session ends. They are kept because nothing is thrown away silently.
    """
    scan = evidence.scan
    if scan is None or scan.torn is None:
        return None
    kept = evidence.names.torn(scan.session_id, scan.torn.segment, scan.torn.offset)
    try:
        return kept if _save_tail(storage, evidence.names, scan.torn, kept) else None
    except OSError as error:
        raise failed(Step.SAVE_TORN, evidence.names, error) from error


def _save_tail(storage: Storage, names: Names, torn: TornTail, kept: str) -> bool:
    """Write the bytes of `torn` to the file `kept`, durably; False when they are all zero."""
    with storage.map(names.segment(torn.segment)) as mapped:
        tail = bytes(mapped.view[torn.offset : torn.offset + torn.size])
    if not tail.strip(b"\0"):
        return False
    if storage.exists(kept):
        storage.unlink(kept)
    storage.write_new(kept, tail)
    if storage.exists(names.target):
        # The bytes are the target's to be: nobody reads them who may not read that.
        storage.copy_metadata(names.target, kept)
    storage.sync_directory(names.directory)
    return True
