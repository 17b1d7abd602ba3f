"""How a session began and how it ended, as far as somebody sees who reads along."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from safeh5.journal.anchor import read_anchor
from safeh5.journal.format import SEGMENT_HEADER_SIZE, Kind, SegmentHeader
from safeh5.journal.ledger import meta_of
from safeh5.journal.segment import segment_paths
from safeh5.journal.walk import BadPlace, parse
from safeh5.operations.control import SessionRecord, decode_control
from safeh5.options import KIB
from safeh5.storage import Names, Storage
from safeh5.storage.fingerprint import Fingerprint

_FIRST_BYTES: Final = 64 * KIB
"""More than a SESSION record takes."""


class TailEnd(StrEnum):
    """Why a tail has ended."""

    COMMITTED = "committed"
    """The session was committed; the last item is in the target."""
    ROLLED_BACK = "rolled back"
    """The session was rolled back: the items do not exist any more."""
    SUSPENDED = "suspended"
    """The session was sealed, and may be resumed."""
    INTERRUPTED = "interrupted"
    """The writer is gone; what it acknowledged is in the journal."""
    NO_SESSION = "no session"
    """There was no session to follow; the items are those of the file."""


def session_record(storage: Storage, names: Names) -> SessionRecord | None:
    """How the session began whose sidecar there is; None when it cannot be told any more."""
    try:
        paths = segment_paths(storage, names.sidecar)
        for number in sorted(paths):
            data = storage.read_bytes(paths[number], _FIRST_BYTES)
            header = SegmentHeader.unpack(data)
            anchor = read_anchor(storage, paths[number], header)
            if anchor is not None:
                return decode_control(SessionRecord, anchor.session)
            if number == 1:
                view = memoryview(data)
                frame = parse(view, header.salt, header.first_lsn, SEGMENT_HEADER_SIZE, len(data))
                return decode_control(SessionRecord, meta_of(view, frame))
    except (FileNotFoundError, BadPlace):
        return None
    return None


def how_it_ended(noted: Kind | None, began: SessionRecord | None, names: Names, *, written: bool) -> TailEnd:
    """What became of a session whose journal is gone.

    Parameters
    ----------
    noted : Kind or None
        The last word of its journal that was seen.
    began : SessionRecord or None
        How it began.
    written : bool
        Whether it has written anything.
    """
    if noted in (Kind.COMMIT, Kind.ROLLBACK):
        return TailEnd.COMMITTED if noted is Kind.COMMIT else TailEnd.ROLLED_BACK
    target = Fingerprint.of(names.target)
    # A commit leaves a target; one of a session that has changed anything leaves another target.
    if target is None or (began is not None and written and target == began.base):
        return TailEnd.ROLLED_BACK
    return TailEnd.COMMITTED
