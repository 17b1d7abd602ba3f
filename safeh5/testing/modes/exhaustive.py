"""Every bit and every truncation of small journals.

Each is looked at by a scan of the journal, which is what all recovery goes by:
it names the place, or what is left is a prefix of what was written. One in
`FULL` is recovered and salvaged too, and shown by the command line.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

from safeh5.errors import CorruptJournalError, SafeH5Error
from safeh5.journal import JournalScan, records, scan
from safeh5.storage import Storage, segment_number
from safeh5.testing.damage import Damage, Kind
from safeh5.testing.damaged import may_be_lost_in_silence

FULL = 61
"""Of so many damages one is recovered for real."""

Records = list[list[int]]
"""LSN and CRC-32 of each record that counts."""


def every_damage(sidecar: Path) -> Iterator[Damage]:
    """Each bit of each segment, and each length that it may be cut to."""
    for path in sorted(sidecar.glob("journal-*.log")):
        size = path.stat().st_size
        for offset in range(size):
            for bit in range(8):
                yield Damage(Kind.FLIP, path.name, offset=offset, bit=bit)
        for offset in range(size):
            yield Damage(Kind.TRUNCATE, path.name, offset=offset)


def read(sidecar: Path) -> Records:
    """What recovery would apply.

    Raises
    ------
    SafeH5Error
        It would refuse.
    """
    storage = Storage()
    return _contents(storage, scan(storage, sidecar))


def _contents(storage: Storage, found: JournalScan) -> Records:
    return [[f.lsn, zlib.crc32(f.payload, zlib.crc32(f.meta))] for f in records(storage, found)]


def look(sidecar: Path, damage: Damage, whole: Records, last: int) -> str:
    """What a scan makes of it, in a word.

    Parameters
    ----------
    sidecar : Path
        Damaged.
    damage : Damage
        What happened to it.
    whole : list
        What `read` gave before.
    last : int
        Number of the last segment.

    Raises
    ------
    AssertionError
        A value that nobody wrote, a loss without a word, or the blame for another segment.
    """
    try:
        found = scan(Storage(), sidecar)
        left = _contents(Storage(), found)
    except CorruptJournalError as error:
        number = segment_number(damage.file)
        assert number is not None and error.segment is not None, f"it does not say where: {error}"
        assert abs(error.segment - number) <= 1, f"segment {number} was damaged: {error}"
        return "refused"
    except SafeH5Error as error:
        return f"refused: {type(error).__name__}"
    assert left == whole[: len(left)], "something was made up"
    return _judge_loss(found, left, whole, damage, last)


def _judge_loss(found: JournalScan, left: Records, whole: Records, damage: Damage, last: int) -> str:
    if left == whole:
        return "all is there"
    # One bit of an acknowledged record: its SYNC mark stands behind it, whole, and vouches for it.
    assert damage.kind is not Kind.FLIP, f"lost, and taken for a torn end: {found.torn}"
    assert may_be_lost_in_silence(damage, last) or found.torn, "lost without a word"
    return "a torn end"
