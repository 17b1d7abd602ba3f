"""Segments that are not those that the next one followed, or that are gone: named, all of them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from safeh5.journal.format import SEGMENT_HEADER_SIZE
from safeh5.journal.segment import segment_paths
from tests.journal.building import STORAGE, Places, begin, content, flip, put, resume, scan_of, segment

scan_module = sys.modules["safeh5.journal.scan"]  # the package gives a function that name


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal of three segments, LSN 3 to 9 and on in them."""
    directory = tmp_path / "journal"
    with begin(directory, segment_bytes=500) as writer:
        for payload in (b"abc", b"12345678", b"in segment 2", b"more"):
            put(writer, payload, sync=True)
    with resume(directory) as writer:
        put(writer, b"last", sync=True)
    assert len(scan_of(directory).segments) == 3
    return directory


def test_the_list_of_damage_is_bounded_over_all_segments(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places.in_journal(journal)
    for lsn in (3, 5, 9):
        number, offset, _ = places.of[lsn]
        flip(segment(journal, number), offset + 20)
    monkeypatch.setattr(scan_module, "MAX_LISTED_DAMAGE", 2)
    found = scan_of(journal)
    assert ([d.lsn for d in found.damage], found.more_damage) == ([3, 5], 1)


THIS = [b"this", b"that" * 50]


@pytest.mark.parametrize(
    ("older", "cause"),
    [
        ([b"th"], "the file ends here, not at 656"),
        ([b"th", b"that"], "the file ends here, not at 656"),
        ([b"th" * 500, b"that"], "the segment ends inside a frame"),
        ([b"th" * 100, b"that", b"and", b"more"], ""),
        ([b"th" * 134], "LSN 8 begins here and 7 should"),
    ],
    ids=["fewer", "shorter", "longer", "more", "fewer-of-the-same-length"],
)
def test_a_segment_replaced_by_another_of_its_session_is_damage(
    tmp_path: Path, older: list[bytes], cause: str
) -> None:
    """As by a backup of a journal that was gone on with twice: what follows is not passed over unsaid."""
    directory = tmp_path / "j"
    begin(directory).close()
    shutil.copytree(directory, tmp_path / "fork")
    for where, payloads in ((directory, THIS), (tmp_path / "fork", older)):
        with resume(where) as writer:
            for payload in payloads:
                put(writer, payload)
            writer.sync()
        with resume(where) as writer:
            put(writer, sync=True)
    shutil.copy(segment(tmp_path / "fork", 2), segment(directory, 2))
    found = scan_of(directory)
    assert found.durable_lsn == 10 and found.last_lsn < 10
    assert cause in str([d.cause for d in found.damage]) and found.damage


def test_a_first_segment_that_is_missing_is_named_with_the_first_record_that_is_torn(tmp_path: Path) -> None:
    begin(tmp_path).close()
    resume(tmp_path).close()
    path = segment(tmp_path, 2)
    path.write_bytes(path.read_bytes()[: SEGMENT_HEADER_SIZE + 20])
    segment(tmp_path, 1).unlink()
    found = scan_of(tmp_path)
    assert [(d.segment, d.cause) for d in found.damage] == [
        (2, "it ends inside its first record"),
        (1, "segment 1 is missing"),
    ]
    assert (found.last_lsn, content(tmp_path)) == (0, [])


def test_a_journal_whose_segments_change_while_it_is_looked_at_is_looked_at_again(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that prunes its journal takes them away one by one."""
    whole = scan_of(journal)
    seen: list[dict[int, str]] = []

    def without_the_second_at_first(storage: object, directory: object) -> dict[int, str]:
        found = segment_paths(STORAGE, journal)
        if not seen:
            del found[2]
        seen.append(found)
        return found

    monkeypatch.setattr(scan_module, "segment_paths", without_the_second_at_first)
    found = scan_of(journal)
    assert not found.damage and found.last_lsn == whole.last_lsn
    assert [len(paths) for paths in seen] == [2, 3, 3][: len(seen)]
