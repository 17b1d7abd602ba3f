"""The structures on disk."""

from __future__ import annotations

import struct

import pytest

from safeh5.journal.checksum import extend
from safeh5.journal.format import (
    FRAME_HEADER,
    FRAME_MAGIC,
    MAX_META,
    SEGMENT_HEADER,
    FormatError,
    Kind,
    SegmentHeader,
    UnknownVersion,
    count_in,
    decode_meta,
    encode_meta,
    pack_frame,
)
from safeh5.storage.names import segment_name, segment_number

HEADER = SegmentHeader(bytes(range(16)), 3, 77, 2, 1_700_000_000_000_000_000, 4096, 0xDEADBEEF)


def test_the_sizes_of_version_1_never_change() -> None:
    assert SEGMENT_HEADER.size == 128
    assert FRAME_HEADER.size == 48


def test_a_segment_header_comes_back_as_it_was() -> None:
    assert SegmentHeader.unpack(HEADER.pack() + b"frames") == HEADER


def test_any_flipped_bit_of_a_segment_header_is_seen_and_is_never_taken_for_a_newer_version() -> None:
    packed = HEADER.pack()
    for position in range(len(packed) * 8):
        damaged = bytearray(packed)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(FormatError) as caught:
            SegmentHeader.unpack(bytes(damaged))
        assert not isinstance(caught.value, UnknownVersion)


@pytest.mark.parametrize("length", [128, 136, 4096])
def test_a_whole_header_of_another_version_is_told_from_damage(length: int) -> None:
    body = bytearray(HEADER.pack()[:-4].ljust(length - 4, b"\x07"))
    struct.pack_into("<HH", body, 8, 2, length)
    newer = bytes(body) + struct.pack("<I", extend(0, bytes(body)))
    with pytest.raises(UnknownVersion, match="version 2"):
        SegmentHeader.unpack(newer)
    with pytest.raises(FormatError, match="checksum"):
        SegmentHeader.unpack(newer[:-5] + b"\x01" + newer[-4:])


def test_a_header_with_values_that_version_1_does_not_know_is_refused() -> None:
    body = HEADER._replace(durability=3).pack()
    with pytest.raises(FormatError, match="does not know"):
        SegmentHeader.unpack(body)


def test_a_file_that_ends_inside_its_header_is_refused() -> None:
    with pytest.raises(FormatError, match="ends after 127 bytes"):
        SegmentHeader.unpack(HEADER.pack()[:127])


def test_a_frame_is_bound_to_its_session_its_segment_and_its_offset() -> None:
    frame = dict(lsn=5, batch=1, kind=2, flags=0, elapsed=9, meta=b"meta", payload_length=0, payload_crc=0)
    salts = {HEADER.salt, HEADER._replace(session=bytes(16)).salt, HEADER._replace(number=4).salt}
    crcs = {pack_frame(salt, offset, **frame)[1] for salt in salts for offset in (128, 136, 1 << 20, 1 << 33)}
    assert len(crcs) == 12


def test_everything_before_the_payload_is_a_multiple_of_8_bytes() -> None:
    for length in range(20):
        head, _ = pack_frame(HEADER.salt, 128, 1, 0, 1, 0, 0, b"m" * length, 0, 0)
        assert len(head) % 8 == 0


def test_the_frame_magic_repeated_is_no_possible_length() -> None:
    """So an array full of the magic is not mistaken for frame headers."""
    assert FRAME_MAGIC > MAX_META


def test_kind_numbers_never_change() -> None:
    assert {kind.name: int(kind) for kind in Kind} == {
        "SESSION": 1, "OPERATION": 2, "END": 3, "ABORT": 4, "SYNC": 5,
        "CHECKPOINT": 6, "RESUME": 7, "SEAL": 8, "COMMIT": 9, "ROLLBACK": 10,
    }  # fmt: skip


@pytest.mark.parametrize("number", [1, 42, 99_999_999, 123_456_789])
def test_a_segment_name_says_its_number(number: int) -> None:
    assert segment_number(segment_name(number)) == number


@pytest.mark.parametrize(
    "name",
    ["journal-1.log", "journal-000000001.log", "journal-00000001.log.new", "Journal-00000001.log", "a.json"],
)
def test_other_names_are_no_segments(name: str) -> None:
    assert segment_number(name) is None


@pytest.mark.parametrize("meta", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x81\x01\x02", encode_meta(a=1)[:-1]])
def test_a_meta_part_that_is_no_map_is_refused(meta: bytes) -> None:
    with pytest.raises(FormatError):
        decode_meta(meta)


@pytest.mark.parametrize("value", [None, "7", -1, 1.5, True])
def test_a_count_that_is_no_natural_number_is_refused(value: object) -> None:
    with pytest.raises(FormatError):
        count_in(encode_meta(records=value), "records")
