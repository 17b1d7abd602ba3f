"""A reader written from the page alone reads the sample: the page is enough."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import msgspec
import pytest

SAMPLE = Path(__file__).parents[1] / "data" / "journal-v1"
SEGMENTS = sorted(SAMPLE.glob("journal-*.log"))


def crc32c(data: bytes) -> int:
    """CRC32C, bit by bit; 0x82F63B78 is the polynomial 0x1EDC6F41 reflected."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def padded(n: int) -> int:
    return (n + 7) // 8 * 8


def read_segment(data: bytes, end: int) -> tuple[list[tuple[int, int, int, int, bytes, bytes]], bytes]:
    """Frames of a segment as (LSN, batch, kind, flags, meta, payload), and what its chain goes over."""
    assert data[:8] == bytes.fromhex("89 53 41 46 45 48 35 0A")
    assert struct.unpack_from("<HH", data, 8) == (1, 128)
    assert struct.unpack_from("<I", data, 124)[0] == crc32c(data[:124])
    session, number = data[16:32], data[32:40]
    frames, chained, at = [], b"", 128
    while at < end:
        magic, header_crc, lsn, batch, payload_length = struct.unpack_from("<4sIQQQ", data, at)
        meta_length, payload_crc, _, kind, flags, zero = struct.unpack_from("<IIIBBH", data, at + 32)
        assert (magic, zero) == (b"SFR\xf5", 0)
        payload_at = at + 48 + padded(meta_length)
        after = payload_at + padded(payload_length)
        salt = session + number + struct.pack("<Q", at)
        assert header_crc == crc32c(salt + data[at + 8 : payload_at])
        assert payload_crc == (crc32c(data[payload_at:after]) if payload_length else 0)
        meta = data[at + 48 : at + 48 + meta_length]
        frames.append((lsn, batch, kind, flags, meta, data[payload_at : payload_at + payload_length]))
        chained += struct.pack("<I", header_crc)
        at = after
    return frames, chained


@pytest.fixture(scope="module")
def frames() -> list[tuple[int, int, int, int, bytes, bytes]]:
    everything, contents = [], [path.read_bytes() for path in SEGMENTS]
    for data, successor in zip(contents, [*contents[1:], None], strict=True):
        end = struct.unpack_from("<Q", successor, 56)[0] if successor else len(data)
        found, chained = read_segment(data, end)
        assert struct.unpack_from("<Q", data, 40)[0] == found[0][0]
        if successor:
            # The CRC of a header is that of the 124 bytes before it; extended by the frames' CRCs.
            assert struct.unpack_from("<I", successor, 64)[0] == crc32c(data[:124] + chained)
        everything += found
    return everything


def test_lsns_are_dense_from_1(frames: list[tuple[int, int, int, int, bytes, bytes]]) -> None:
    assert [lsn for lsn, *_ in frames] == list(range(1, len(frames) + 1))


def test_the_records_are_those_that_were_written(
    frames: list[tuple[int, int, int, int, bytes, bytes]],
) -> None:
    operation, end, abort = 2, 3, 4
    ended = {
        batch for _, batch, kind, flags, *_ in frames if kind == end or (kind == operation and flags & 1)
    }
    aborted = {batch for _, batch, kind, *_ in frames if kind == abort}
    records = [
        {"lsn": lsn, "batch": batch, "meta": meta.hex(), "payload": payload.hex()}
        for lsn, batch, kind, _, meta, payload in frames
        if kind == operation and batch in ended - aborted
    ]
    assert records == json.loads((SAMPLE / "expected.json").read_text(encoding="utf-8"))["records"]


def test_a_pruned_journal_begins_at_the_anchor_that_the_page_describes() -> None:
    sample = SAMPLE.with_name("journal-v1-anchored")
    expected = json.loads((sample / "expected.json").read_text(encoding="utf-8"))
    contents = [path.read_bytes() for path in sorted(sample.glob("journal-*.log"))]
    segments = []
    for data, successor in zip(contents, [*contents[1:], None], strict=True):
        end = struct.unpack_from("<Q", successor, 56)[0] if successor else len(data)
        segments.append(read_segment(data, end)[0])
    checkpoint = 6
    anchors = [
        number for number, [(_, _, kind, _, meta, _), *_] in enumerate(segments)
        if kind == checkpoint and "session" in msgspec.msgpack.decode(meta)
    ]  # fmt: skip
    assert anchors == [len(expected["leftovers"])]
    lsn, _, _, _, meta, _ = segments[anchors[-1]][0]
    fields = msgspec.msgpack.decode(meta)
    assert fields.pop("time")
    fields["session"] = msgspec.msgpack.decode(fields["session"])
    assert {"lsn": lsn, **fields} == expected["anchor"]


def test_every_sync_mark_vouches_for_what_stands_before_it(
    frames: list[tuple[int, int, int, int, bytes, bytes]],
) -> None:
    marks = [(lsn, msgspec.msgpack.decode(meta)) for lsn, _, kind, _, meta, _ in frames if kind == 5]
    assert len(marks) > 5
    assert all(mark == {"durable": lsn - 1} for lsn, mark in marks)
