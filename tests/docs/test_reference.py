"""What the reference pages list is what the code has."""

from __future__ import annotations

import re
import struct
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import typer.main

import safeh5
from safeh5.cli.app import app
from safeh5.cli.exits import Exit
from safeh5.journal.checksum import crc32c
from safeh5.storage import undo
from safeh5.storage.names import AsideKind, Names
from safeh5.storage.pager import slot_path
from safeh5.storage.readers import NEW, RESERVE, reader_path
from safeh5.storage.redo import HEADER, PAGE, SLOTS, VERSION, Redo
from safeh5.storage.undo import Header, pack_record
from safeh5.verify import STALL_SECONDS
from tests.docs.pages import DOCS, blocks, in_code, table

EXAMPLE = Redo(b"\x5a\xfe" * 8, 1, 10, 8192, {1: bytes(range(256)) * 16})
"""The checkpoint of the worked example on the page."""


def page(name: str) -> str:
    """The text of a reference page."""
    return (DOCS / "reference" / name).read_text(encoding="utf-8")


# --- the redo slot format -----------------------------------------------------------


def header_of(data: bytes) -> dict[str, Any]:
    """The header of a slot, read as the table on the page says."""
    found: dict[str, Any] = {}
    end = 0
    for offset, size, name, _ in table("reference/redo-format.md", "Header"):
        assert int(offset) == end, "the fields leave no gaps"
        end += int(size)
        raw = data[int(offset) : end]
        found[name] = raw if name in ("magic", "session") else int.from_bytes(raw, "little")
    assert end == HEADER.size
    return found


def test_the_header_of_a_redo_slot_is_the_one_on_its_page() -> None:
    data = b"".join(EXAMPLE.pack())
    assert header_of(data) == {
        "magic": bytes.fromhex(dict_of_meanings()["magic"]),
        "version": VERSION,
        "zero": 0,
        "page size": PAGE,
        "session": EXAMPLE.session,
        "sequence": EXAMPLE.sequence,
        "applied": EXAMPLE.applied,
        "end": EXAMPLE.end,
        "page count": len(EXAMPLE.pages),
        "payload CRC": crc32c(memoryview(data)[72:]),
        "header CRC": crc32c(memoryview(data)[:68]),
    }
    assert f"\n{HEADER.size} bytes.\n" in page("redo-format.md")


def dict_of_meanings() -> dict[str, str]:
    """The header's fields and what the page says of them."""
    return {row[2]: row[3] for row in table("reference/redo-format.md", "Header")}


def test_the_pages_of_a_redo_slot_lie_where_its_page_says() -> None:
    redo = Redo(bytes(16), 7, 3, 3 * PAGE, {2: b"b" * PAGE, 0: b"a" * PAGE})
    data = b"".join(redo.pack())
    rows = table("reference/redo-format.md", "Pages")
    assert [row[:2] for row in rows] == [
        ["72", "8 * page count"],
        ["72 + 8 * page count", f"{PAGE} * page count"],
    ]
    assert struct.unpack_from("<2Q", data, 72) == (2, 0)
    assert data[72 + 16 :] == b"b" * PAGE + b"a" * PAGE


def test_the_bytes_of_the_example_are_those_that_the_code_writes() -> None:
    data = b"".join(EXAMPLE.pack())
    shown = re.findall(r"^([0-9a-f]{4})  ((?:[0-9a-f]{2} ?){16}) (.*)$", page("redo-format.md"), re.M)
    assert len(shown) == 5
    for offset, text, letters in shown:
        row = data[int(offset, 16) :][:16]
        assert bytes.fromhex(text) == row
        assert letters.strip() == "".join(chr(c) if 32 <= c < 127 else "." for c in row).strip()


def test_the_slots_have_the_names_and_turns_on_the_page() -> None:
    names = [in_code(row[0])[0] for row in table("reference/redo-format.md", "Files")]
    assert names == ["staging.h5", *(Path(slot_path("staging.h5", slot)).name for slot in range(SLOTS))]


# --- the reader file format ---------------------------------------------------------


def test_the_header_of_a_readers_file_is_the_one_on_its_page() -> None:
    header = Header(EXAMPLE.session, 1234, 5, 8192, 1 << 20)
    data, end, found = header.pack(), 0, {}
    rows = table("reference/reader-format.md", "Header")
    for offset, size, name, _ in rows:
        assert int(offset) == end, "the fields leave no gaps"
        end += int(size)
        raw = data[int(offset) : end]
        found[name] = raw if name in ("magic", "session") else int.from_bytes(raw, "little")
    assert end == len(data)
    assert found == {
        "magic": bytes.fromhex(rows[0][3]),
        "version": undo.VERSION,
        "zero": 0,
        "page size": PAGE,
        "session": header.session,
        "inode": 1234,
        "sequence": 5,
        "end": 8192,
        "limit": 1 << 20,
        "header CRC": crc32c(memoryview(data)[:68]),
    }
    assert f"\n{len(data)} bytes, written" in page("reader-format.md")


def test_the_records_of_a_readers_file_are_those_on_its_page() -> None:
    data = pack_record(7, [2, 0], b"b" * PAGE + b"a" * PAGE)
    rows = [row[:2] for row in table("reference/reader-format.md", "Records")]
    assert rows == [
        ["0", "8"],
        ["8", "4"],
        ["12", "4"],
        ["16", "8 * page count"],
        ["16 + 8 * page count", f"{PAGE} * page count"],
    ]
    assert struct.unpack_from("<QI", data) == (7, 2)
    assert struct.unpack_from("<I", data, 12)[0] == crc32c(memoryview(data[:12] + data[16:]))
    assert struct.unpack_from("<2Q", data, 16) == (2, 0)
    assert data[32:] == b"b" * PAGE + b"a" * PAGE
    assert f"less than {RESERVE >> 20} MiB of free space" in page("reader-format.md")


# --- the command line -----------------------------------------------------------------


def test_the_exit_codes_are_those_of_the_code() -> None:
    listed = [(int(code), name) for code, name, _ in table("reference/cli.md", "Exit codes")]
    assert listed == [(code.value, code.name) for code in Exit]


def test_the_commands_are_those_of_the_code() -> None:
    shown = re.findall(r"^\| `safeh5 (\w+)", page("cli.md"), re.M)
    assert shown == list(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [None, *typer.main.get_command(app).commands])  # type: ignore[attr-defined]
def test_the_options_of_a_command_are_those_of_the_code(name: str | None) -> None:
    main = typer.main.get_command(app)
    command = main if name is None else main.commands[name]  # type: ignore[attr-defined]
    heading = "Options for all commands" if name is None else f"Options of {name}"
    listed = [option.split()[0] for row in table("reference/cli.md", heading) for option in in_code(row[0])]
    assert listed == [o for p in command.params for o in p.opts if o.startswith("-")]


def test_the_defaults_of_verify_are_those_of_the_code() -> None:
    assert f"({STALL_SECONDS:g})" in page("cli.md")


# --- the Python API -------------------------------------------------------------------


def test_every_public_name_stands_in_the_api_page() -> None:
    documented = set(re.findall(r"^\.\. auto\w+:: (?:safeh5\.)?(\w+)$", page("api.md"), re.M))
    # The whole module of errors is documented by one line.
    assert set(safeh5.__all__) <= documented | set(vars(safeh5.errors))
    assert ".. automodule:: safeh5.errors\n   :members:" in page("api.md")


# --- names on the disk ----------------------------------------------------------------


def patterns(heading: str) -> set[str]:
    """The names in a table of the page, with the parts that vary as wildcards."""
    rows = table("reference/on-disk-names.md", heading)
    shown = {name for row in rows for name in in_code(row[0])}
    return {
        re.sub(r"-4096\.bin$", "-*.bin", re.sub(r"0000000\d", "*", re.sub(r"\bUTC\b", "*", n))).replace(
            "-ID", "-" + "?" * 8
        )
        for n in shown
    }


def made(names: Names) -> tuple[set[str], set[str]]:
    """The names of everything that the code makes: beside the target, and in the sidecar."""
    sid = bytes(range(16))
    beside = {
        names.target,
        names.sidecar,
        names.lock,
        names.new_sidecar(sid),
        names.trash(sid),
        *(names.aside(kind, sid) for kind in AsideKind),
        names.torn(sid, 1, 4096),
    }
    inside = {
        names.segment(1),
        names.segment(2) + ".new",
        names.staging,
        names.staging + ".lock",
        *(slot_path(names.staging, slot) for slot in range(SLOTS)),
        reader_path(names.staging, 4711, "1a2b3c4d"),
        reader_path(names.staging, 4711, "1a2b3c4d") + NEW,
        names.owner,
        names.reserve,
        names.old_target,
        names.salvage_note,
    }
    return {Path(path).name for path in beside}, {Path(path).name for path in inside}


def test_the_names_on_the_disk_are_those_of_the_code() -> None:
    beside, inside = made(Names("/data/run.h5", "/data/run.h5.safeh5"))
    for names, shown in ((beside, patterns("Beside the target")), (inside, patterns("In the sidecar"))):
        assert {n for n in names if not any(fnmatchcase(n, p) for p in shown)} == set()
        assert {p for p in shown if not any(fnmatchcase(n, p) for n in names)} == set()


def test_the_names_on_the_disk_are_all_that_a_session_makes(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    session = safeh5.open(target)
    session.stream("/a", (4,), "f4").append([1, 2, 3, 4])
    session.checkpoint()
    shown = patterns("Beside the target"), patterns("In the sidecar")
    for directory, allowed in zip((tmp_path, tmp_path / "run.h5.safeh5"), shown, strict=True):
        for path in directory.iterdir():
            assert any(fnmatchcase(path.name, pattern) for pattern in allowed), path
    session.rollback()


# --- pages ----------------------------------------------------------------------------


def test_every_page_is_in_the_table_of_contents() -> None:
    for index in DOCS.glob("[!_]*/index.md"):
        text = index.read_text(encoding="utf-8")
        if ":glob:" in text:
            continue
        listed = set(re.search(r"```\{toctree\}\n.*?\n\n(.*?)```", text, re.S)[1].split())  # type: ignore[index]
        assert listed == {path.stem for path in index.parent.glob("*.md")} - {"index"}
    assert all(block.language for name in DOCS.rglob("*.md") for block in blocks(name))
