"""Reading records again that this very process has appended, from where it knows them to stand.

Nothing is searched and nothing is walked: the writer has told the place of
each frame. Everything is checked as on any other reading, since what comes
back from a disk need not be what was written to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from safeh5.journal.findings import Damage
from safeh5.journal.format import segment_salt
from safeh5.journal.ledger import meta_of
from safeh5.journal.maps import Maps
from safeh5.journal.segment import StrPath
from safeh5.journal.tip import Placed
from safeh5.journal.walk import BadPlace, RawFrame, parse
from safeh5.storage.files import Storage
from safeh5.storage.names import segment_name


class Reread(NamedTuple):
    """A record: its LSN, its meta part, its payload (valid until the next one is asked for)."""

    lsn: int
    meta: bytes
    payload: memoryview


def reread(
    storage: Storage, directory: StrPath, session_id: bytes, places: Iterable[Placed]
) -> Iterator[Reread]:
    """The records at `places`, which are whole; whether they are durable does not matter.

    Memory: at most two segments are mapped at a time, and of them no more than
    64 MiB (or one frame) stay resident.

    Raises
    ------
    CorruptJournalError
        What stands there is not what was written.
    """
    number, path, salt = 0, "", 0
    with Maps(storage) as maps:
        for place in places:
            if place.segment != number:
                number = place.segment
                path, salt = str(Path(directory, segment_name(number))), segment_salt(session_id, number)
            raw, view = _frame(maps, path, salt, place)
            yield Reread(
                raw.lsn, meta_of(view, raw), view[raw.payload_at : raw.payload_at + raw.payload_length]
            )
            maps.touched(raw.end - raw.offset)


def _frame(maps: Maps, path: str, salt: int, place: Placed) -> tuple[RawFrame, memoryview]:
    while True:
        view = maps.view(path)
        try:
            return parse(view, salt, place.lsn, place.offset, len(view)), view
        except BadPlace as bad:
            # A mapping ends where the file ended when it was made.
            if not maps.renew(path):
                raise Damage(path, place.segment, bad.offset, bad.lsn, bad.cause).error() from bad
