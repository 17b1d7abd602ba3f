"""Old pages kept for readers: nothing of the file is believed that its checksums do not hold for."""

from __future__ import annotations

import pytest

from safeh5.storage.redo import PAGE
from safeh5.storage.undo import HEADER, BadRecord, Header, pack_record, records

KEPT = Header(bytes(range(16)), inode=7, sequence=3, end=5 * PAGE, limit=9 * PAGE)


def test_a_header_that_is_short_damaged_or_of_another_version_is_none() -> None:
    whole = KEPT.pack()
    assert Header.unpack(whole) == Header.unpack(whole + b"what follows") == KEPT
    for size in range(HEADER.size):
        assert Header.unpack(whole[:size]) is None, size
    for bit in range(8 * HEADER.size):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        assert Header.unpack(bytes(flipped)) is None, bit


def test_records_are_given_up_to_one_that_is_torn_and_never_beyond_a_damaged_one() -> None:
    first = pack_record(1, [4], b"a" * PAGE)
    both = first + pack_record(2, [0, 6], b"b" * (2 * PAGE))
    assert [(one.sequence, sorted(one.places)) for one in records(both)] == [(1, [4]), (2, [0, 6])]
    for size in range(len(first), len(both), 97):
        assert [one.sequence for one in records(both[:size])] == [1], size
    for at in (20, len(first) - 1):
        damaged = bytearray(both)
        damaged[at] ^= 1
        with pytest.raises(BadRecord):
            list(records(bytes(damaged)))
