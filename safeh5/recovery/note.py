"""The note that a salvage leaves in the damaged session, before it replaces the target.

It makes a salvage that was killed half way safe to run again: from the note on,
a target that is the result is known as such, and is not taken for one that
somebody else has changed. And it stays with the damaged session, so that what
was lost can be looked up later.
"""

from __future__ import annotations

import msgspec

from safeh5.recovery.report import Loss
from safeh5.storage import Names, Storage
from safeh5.storage.fingerprint import Fingerprint


class SalvageNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a salvage came to.

    Attributes
    ----------
    result : Fingerprint
        The file that it built.
    records, bytes : int
        Records and payload bytes in it.
    losses : tuple of Loss
        Acknowledged data that are not in it.
    """

    result: Fingerprint
    records: int
    bytes: int
    losses: tuple[Loss, ...]


def write_note(storage: Storage, names: Names, note: SalvageNote) -> None:
    """Write the note, durably, in the place of one of an earlier try."""
    made = names.salvage_note + ".new"
    if storage.exists(made):
        storage.unlink(made)
    storage.write_new(made, msgspec.json.format(msgspec.json.encode(note), indent=2) + b"\n")
    storage.replace(made, names.salvage_note)
    storage.sync_directory(names.sidecar)


def read_note(storage: Storage, names: Names) -> SalvageNote | None:
    """The note, or None when there is none that can be read."""
    if not storage.exists(names.salvage_note):
        return None
    try:
        return msgspec.json.decode(storage.read_bytes(names.salvage_note), type=SalvageNote)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OSError):
        # Without the note the salvage is done again, or refused because the target has changed.
        return None
