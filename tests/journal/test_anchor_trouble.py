"""A crash or a full disk in an anchor leaves a journal that is whole; damage behind it is found."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from itertools import chain, combinations
from pathlib import Path

import pytest

from safeh5.errors import DiskFullError, JournalWriteError
from safeh5.journal import Frame, Gap, JournalScan, frames, salvage_frames, scan
from safeh5.journal.format import SEGMENT_HEADER_SIZE
from safeh5.options import JournalOptions
from safeh5.storage import Storage
from safeh5.storage.names import segment_name
from safeh5.testing.faults import Fault, FaultyStorage, Killed, disk_full
from tests.journal.anchored import copy, grow, lsns, numbers
from tests.journal.building import (
    SESSION_META,
    STORAGE,
    anchor,
    begin,
    flip,
    put,
    resume,
    scan_of,
    segment,
)

# --- crashes ---------------------------------------------------------------------------------------


def deaths(directory: Path) -> Iterator[Path]:
    """The journal after a death at each effect of `anchor`: before, half way, after."""
    clean = FaultyStorage()
    with grow(directory / "clean", clean) as writer:
        writer.sync()
        start = len(clean.calls)
        anchor(writer)
    effects = clean.effects()[start:]
    for nth, effect in enumerate(effects, start + 1):
        ways = [{"done": False}, {"done": True}]
        ways += [{"short": size} for size in (1, 40, 100, 250)] if effect == "append" else []
        for number, way in enumerate(ways):
            place = directory / f"{nth}-{number}"
            writer = grow(place, FaultyStorage(Fault(nth=nth, kill=True, **way)))
            writer.sync()
            with pytest.raises(Killed):
                anchor(writer)
            yield place


def test_a_crash_anywhere_in_an_anchor_leaves_the_whole_journal_or_an_anchored_one(tmp_path: Path) -> None:
    with grow(tmp_path / "whole") as writer:
        applied = writer.sync()
    everything, seen = lsns(tmp_path / "whole"), set()
    for place in deaths(tmp_path):
        found = scan_of(place)
        assert found.damage == (), place
        seen.add(found.is_complete)
        if found.is_complete:
            assert lsns(place) == everything
        else:
            assert found.anchor is not None
            assert (found.anchor.applied, found.anchor.session) == (applied, SESSION_META)
            assert lsns(place) == []
        with resume(place) as writer:
            lsn = put(writer, sync=True)
        assert scan_of(place).damage == ()
        assert scan_of(place).leftovers == ()
        assert lsns(place) == ([*everything, lsn] if found.is_complete else [lsn])
    assert seen == {False, True}


def test_an_anchor_that_did_not_reach_the_disk_whole_leaves_the_journal_before(tmp_path: Path) -> None:
    unlinks = Fault("unlink", path="journal", error=errno.EIO, times=None)
    with grow(tmp_path / "now", FaultyStorage(unlinks)) as writer:
        lsn = anchor(writer)
        size, number = writer._tip.offset, writer._tip.number
    with grow(tmp_path / "before"):
        everything = lsns(tmp_path / "before")
    anchor_ends = [frame.offset for frame in frames(STORAGE, scan_of(tmp_path / "now"))][1]
    for length in range(SEGMENT_HEADER_SIZE, size):
        path = segment(copy(tmp_path / "now", "cut"), number)
        path.write_bytes(path.read_bytes()[:length])
        found = scan_of(tmp_path / "cut")
        assert found.damage == ()
        assert (found.anchor is None) == (length < anchor_ends)
        assert found.last_lsn == (lsn if length >= anchor_ends else lsn - 1)
        if found.anchor is None:
            assert lsns(tmp_path / "cut") == everything


def test_whatever_is_left_of_the_segments_before_an_anchor_is_ignored_and_removed_on_resume(
    tmp_path: Path,
) -> None:
    with grow(tmp_path / "full") as writer:
        writer.sync()
        kept = copy(tmp_path / "full", "kept")
        anchor(writer)
        lsn = put(writer, sync=True)
    old = sorted(kept.iterdir())
    assert len(old) >= 3
    expected = scan_of(tmp_path / "full")
    for left in chain.from_iterable(combinations(old, n) for n in range(len(old) + 1)):
        place = copy(tmp_path / "full", "place")
        for path in left:
            shutil.copy(path, place)
        found = scan_of(place)
        assert [Path(path).name for path in found.leftovers] == [path.name for path in left]
        assert (found.damage, found.anchor, found.records) == ((), expected.anchor, 1)
        assert lsns(place) == [lsn]
        with resume(place) as writer:
            pass
        assert {path.name for path in place.iterdir()}.isdisjoint(path.name for path in old)


def test_leftovers_may_be_damaged(tmp_path: Path) -> None:
    with grow(tmp_path) as writer:
        writer.sync()
        old = {path: path.read_bytes() for path in tmp_path.iterdir()}
        anchor(writer)
    for path, data in old.items():
        path.write_bytes(bytes(len(data)) if path.name.endswith("2.log") else data[:200])
    assert scan_of(tmp_path).damage == ()
    assert len(scan_of(tmp_path).leftovers) == len(old)


# --- full disks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("effect", ["create", "append"])
@pytest.mark.parametrize("short", [0, 50])
def test_an_anchor_without_room_removes_nothing_and_succeeds_later(
    tmp_path: Path, effect: str, short: int
) -> None:
    clean = FaultyStorage()
    with grow(tmp_path / "clean", clean) as writer:
        writer.sync()
    before = clean.effects().count(effect)
    for nth in range(1, 4):
        place = tmp_path / f"{nth}"
        storage = FaultyStorage(disk_full(effect, nth=before + nth, times=1, short=short))
        with grow(place, storage) as writer:
            writer.sync()
            everything = lsns(place)
            try:
                anchor(writer)
            except DiskFullError:
                assert scan_of(place).damage == ()
                assert lsns(place) == everything
                put(writer, sync=True)
                anchor(writer)
            lsn = put(writer, sync=True)
        assert scan_of(place).damage == ()
        assert lsns(place) == [lsn]


def test_a_failed_sync_of_the_anchor_poisons_and_removes_nothing(tmp_path: Path) -> None:
    with grow(tmp_path / "clean"):
        number = max(numbers(tmp_path / "clean")) + 1
    # The first sync of that segment is of its header, under the temporary name.
    storage = FaultyStorage(Fault("sync", nth=2, error=errno.EIO, path=segment_name(number)))
    with grow(tmp_path / "journal", storage) as writer:
        writer.sync()
        with pytest.raises(JournalWriteError):
            anchor(writer)
        assert writer.failed
    assert "unlink" not in storage.effects()
    assert numbers(tmp_path / "journal") == [number]
    assert len(scan_of(tmp_path / "journal").leftovers) == number - 1


def test_segments_that_cannot_be_removed_go_with_the_next_anchor(tmp_path: Path) -> None:
    storage = FaultyStorage(Fault("unlink", nth=2, error=errno.EACCES))
    with grow(tmp_path, storage) as writer:
        anchor(writer)
        found = scan_of(tmp_path)
        assert found.damage == ()
        assert found.leftovers
        put(writer, sync=True)
        anchor(writer)
    assert scan_of(tmp_path).leftovers == ()


# --- damage ----------------------------------------------------------------------------------------


@pytest.fixture
def pruned(tmp_path: Path) -> tuple[Path, JournalScan]:
    with grow(tmp_path / "pruned") as writer:
        anchor(writer)
        for _ in range(6):
            put(writer, b"x" * 100, sync=True)
    return tmp_path / "pruned", scan_of(tmp_path / "pruned")


def test_damage_of_the_anchor_is_never_taken_for_a_journal_that_begins_elsewhere(
    pruned: tuple[Path, JournalScan],
) -> None:
    directory, sound = pruned
    first = sound.segments[0]
    end = next(frame.offset for frame in frames(STORAGE, sound) if frame.lsn == sound.first_lsn + 1)
    for offset in range(end):
        place = copy(directory, "flipped")
        flip(segment(place, first.number), offset, offset % 8)
        found = scan_of(place)
        assert found.damage, offset
        assert found.records == 0


def test_a_journal_that_is_cut_before_its_anchor_is_named_before_what_the_anchor_had_let_go(
    tmp_path: Path,
) -> None:
    with grow(tmp_path / "pruned") as writer:
        anchor(writer)
    [only] = scan_of(tmp_path / "pruned").segments
    path = segment(tmp_path / "pruned", only.number)
    path.write_bytes(path.read_bytes()[:SEGMENT_HEADER_SIZE])
    first = scan_of(tmp_path / "pruned").damage[0]
    assert (first.segment, first.offset) == (only.number, SEGMENT_HEADER_SIZE)


@pytest.mark.parametrize("records_behind", [0, 1])
@pytest.mark.parametrize("left", [1, 2])
def test_an_anchor_that_is_damaged_is_named_before_what_it_had_let_go_though_some_of_that_is_there(
    left: int, records_behind: int, tmp_path: Path
) -> None:
    with grow(tmp_path / "pruned") as writer:
        writer.sync()
        kept = copy(tmp_path / "pruned", "kept")
        anchor(writer)
        for _ in range(records_behind):
            put(writer, sync=True)
    only = scan_of(tmp_path / "pruned").segments[0]
    for path in sorted(kept.iterdir())[-left:]:
        shutil.copy(path, tmp_path / "pruned")
    flip(segment(tmp_path / "pruned", only.number), SEGMENT_HEADER_SIZE + 20, 3)
    first, second, *_ = scan_of(tmp_path / "pruned").damage
    assert (first.segment, first.offset) == (only.number, SEGMENT_HEADER_SIZE)
    assert "missing" in second.cause


def test_every_flip_behind_an_anchor_is_found(pruned: tuple[Path, JournalScan]) -> None:
    directory, sound = pruned
    for info in sound.segments[1:-1]:
        for offset in range(0, info.size, 3):
            place = copy(directory, "flipped")
            flip(segment(place, info.number), offset, offset % 8)
            assert scan_of(place).damage, (info.number, offset)


def test_a_missing_segment_behind_an_anchor_is_damage(pruned: tuple[Path, JournalScan]) -> None:
    directory, sound = pruned
    for info in sound.segments[:-1]:
        place = copy(directory, "missing")
        segment(place, info.number).unlink()
        assert any("missing" in damage.cause for damage in scan_of(place).damage)


def test_salvage_begins_at_the_anchor_and_names_the_gaps_behind_it(pruned: tuple[Path, JournalScan]) -> None:
    directory, sound = pruned
    items = list(salvage_frames(STORAGE, sound))
    assert [item.lsn for item in items if isinstance(item, Frame)] == list(
        range(sound.first_lsn, sound.last_lsn + 1)
    )
    lost = sound.segments[1]
    segment(directory, lost.number).unlink()
    gaps = [item for item in salvage_frames(STORAGE, scan_of(directory)) if isinstance(item, Gap)]
    assert [(gap.segment, gap.last_lsn) for gap in gaps] == [(lost.number, lost.last_lsn)]


def test_an_anchor_of_another_session_is_not_believed(tmp_path: Path) -> None:
    with grow(tmp_path / "ours") as writer:
        writer.sync()
    sound = copy(tmp_path / "ours", "sound")
    with begin(tmp_path / "theirs", segment_bytes=300, session=bytes(16)) as writer:
        for _ in range(9):
            put(writer, b"x" * 200, sync=True)
        anchor(writer)
    [theirs] = (tmp_path / "theirs").iterdir()
    shutil.copy(theirs, tmp_path / "ours")
    found = scan_of(tmp_path / "ours")
    assert found.is_complete
    assert found.damage
    assert found.records == len(lsns(sound))


def test_a_scan_of_a_journal_that_is_being_pruned_sees_one_or_the_other(tmp_path: Path) -> None:
    with grow(tmp_path) as writer:
        writer.sync()

        class Meddling(Storage):
            done = False

            def read_bytes(self, path, limit=None, offset=0):  # type: ignore[no-untyped-def]
                if not self.done and "0000002" in str(path):
                    Meddling.done = True
                    anchor(writer)
                return super().read_bytes(path, limit, offset)

        found = scan(Meddling(), tmp_path)
        assert (found.damage, found.is_complete) == ((), False)


def test_segments_are_a_quarter_of_the_limit_at_most() -> None:
    assert JournalOptions(segment_bytes=1000, journal_limit=2000).segment_size == 500
    assert JournalOptions(segment_bytes=100, journal_limit=2000).segment_size == 100
