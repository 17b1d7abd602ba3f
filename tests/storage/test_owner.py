"""The page that tells people who writes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from safeh5.storage import Owner, Storage


def test_the_page_reads_back_as_it_was_written(tmp_path: Path) -> None:
    owner = Owner.current()
    Storage().write_new(tmp_path / "owner.json", owner.to_json())
    assert Owner.read(Storage(), tmp_path / "owner.json") == owner
    assert owner.pid == os.getpid()
    assert not owner.is_gone


@pytest.mark.parametrize(
    "page",
    [b"", b"{", b"null", b"[]", b'{"pid": "x"}', b'{"host": "h"}', b"\xff\xfe", b"[" * 100_000, bytes(1000)],
)
def test_a_damaged_page_is_no_owner_and_no_error(tmp_path: Path, page: bytes) -> None:
    (tmp_path / "owner.json").write_bytes(page)
    assert Owner.read(Storage(), tmp_path / "owner.json") is None


def test_a_missing_page_is_no_owner_and_no_error(tmp_path: Path) -> None:
    assert Owner.read(Storage(), tmp_path / "owner.json") is None
    assert Owner.read(Storage(), tmp_path) is None


def test_a_page_of_a_newer_version_is_understood() -> None:
    page = b'{"pid": 7, "host": "lab", "favourite_colour": "green"}'
    assert Owner.from_json(page) == Owner(pid=7, host="lab")


def test_the_owner_is_described_in_words() -> None:
    owner = Owner(pid=4711, host="lab-2", command="python acquire.py", started="2031-05-06T09:08:09+02:00")
    assert owner.describe() == "process 4711 on lab-2 (python acquire.py) since 2031-05-06 07:08:09 UTC"
    assert Owner(pid=3, started="yesterday").describe() == "process 3 since yesterday"


def test_a_command_line_of_any_bytes_gives_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "a\udce9b", "two\nlines", "\x1b[31m", "x" * 5000])
    owner = Owner.current()
    assert Owner.from_json(owner.to_json()) == owner
    assert owner.command.isprintable()
    assert len(owner.command) <= 500


def test_after_a_reboot_the_owner_is_gone_and_of_another_machine_nothing_is_known() -> None:
    owner = Owner.current()
    assert not owner.is_gone
    assert Owner(pid=owner.pid, host=owner.host, boot_id="another boot").is_gone
    assert not Owner(pid=owner.pid, host="another host", boot_id="another boot").is_gone
