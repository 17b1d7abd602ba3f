"""The page on the journal format says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from safeh5.journal import Kind
from safeh5.journal.checksum import crc32c, extend
from safeh5.journal.format import (
    FRAME_HEADER,
    FRAME_HEADER_SIZE,
    MAX_META,
    MAX_SEGMENT_HEADER,
    SEGMENT_HEADER,
    SEGMENT_HEADER_SIZE,
    Layout,
    decode_meta,
)
from safeh5.journal.scan import scan
from safeh5.operations.control import CheckpointRecord
from tests.journal.building import STORAGE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "journal-format.md").read_text(encoding="utf-8")
SAMPLE = ROOT / "tests" / "data" / "journal-v1"
FIRST = (SAMPLE / "journal-00000001.log").read_bytes()
FRAME_AT = 0x460


def section(heading: str) -> str:
    """The text below a heading, up to the next one of the same or a higher level."""
    found = re.search(rf"^(#+) {re.escape(heading)}$", PAGE, re.MULTILINE)
    assert found, heading
    rest = PAGE[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its header."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize(("heading", "layout"), [("Segment header", SEGMENT_HEADER), ("Frame", FRAME_HEADER)])
def test_the_tables_of_fields_are_those_of_the_code(heading: str, layout: Layout) -> None:
    assert rows(heading) == [[str(cell) for cell in row] for row in layout.rows()]


def test_the_sizes_and_limits_are_those_of_the_code() -> None:
    assert section("Segment header").lstrip().startswith(f"{SEGMENT_HEADER_SIZE} bytes.")
    assert section("Frame").lstrip().startswith(f"A header of {FRAME_HEADER_SIZE} bytes")
    assert f"longer than {MAX_SEGMENT_HEADER} bytes" in PAGE
    assert f"at most {MAX_META}" in PAGE


def test_the_kinds_are_those_of_the_code() -> None:
    assert [(int(number), name) for number, name, *_ in rows("Kinds")] == [
        (int(kind), kind.name) for kind in Kind
    ]


def test_the_fields_of_an_anchor_are_those_of_the_code() -> None:
    assert {name.strip("`") for name, *_ in rows("Anchors")} == {
        field.name for field in msgspec.structs.fields(CheckpointRecord)
    }


def test_the_checksum_is_the_one_named() -> None:
    assert crc32c(memoryview(b"123456789")) == 0xE3069283


def test_the_bytes_shown_are_those_of_the_sample() -> None:
    shown = re.findall(r"^([0-9a-f]{4})  ((?:[0-9a-f]{2} ?)+?)  (.*)$", PAGE, re.MULTILINE)
    assert len(shown) > 15
    for offset, text, letters in shown:
        data = bytes.fromhex(text)
        start = int(offset, 16)
        assert FIRST[start : start + len(data)] == data
        assert letters == "".join(chr(c) if 32 <= c < 127 else "." for c in data)
    covered = {int(offset, 16) + n for offset, text, _ in shown for n in range(len(bytes.fromhex(text)))}
    assert covered == {*range(SEGMENT_HEADER_SIZE), *range(FRAME_AT, FRAME_AT + 136)}


@pytest.mark.parametrize(
    ("heading", "layout", "at"),
    [("Its segment header", SEGMENT_HEADER, 0), ("A frame", FRAME_HEADER, FRAME_AT)],
)
def test_the_example_is_decoded_as_the_format_says(heading: str, layout: Layout, at: int) -> None:
    values = layout.unpack_from(FIRST, at)
    expected = []
    for (offset, size, name, _), value in zip(layout.rows(), values, strict=True):
        if name == "reserved":
            continue
        text = value.hex(" ") if isinstance(value, bytes) else str(value)
        if name.endswith("CRC") or (name == "magic" and isinstance(value, int)):
            text = f"0x{value:08x}"
        expected.append([f"`{at + offset:04x}` to `{at + offset + size - 1:04x}`", name, text])
    assert rows(heading) == expected


def test_the_recipe_for_the_header_checksum_gives_the_one_in_the_example() -> None:
    session = scan(STORAGE, SAMPLE).session_id
    offset = bytes.fromhex("60 04 00 00 00 00 00 00")
    assert FRAME_AT.to_bytes(8, "little") == offset
    crc = extend(0, session + bytes.fromhex("01 00 00 00 00 00 00 00") + offset + FIRST[0x468:0x4E0])
    assert crc == int.from_bytes(FIRST[FRAME_AT + 4 : FRAME_AT + 8], "little")


def test_the_meta_in_the_example_is_what_it_says() -> None:
    assert decode_meta(FIRST[0x490:0x4E0])["op"] == "append_data"
