"""The journal of a killed session, cut off at every place where a kill could have cut it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import safeh5
from safeh5.errors import CorruptJournalError
from safeh5.journal import Frame, Kind, frames, scan
from safeh5.recovery import Condition
from safeh5.storage import Storage
from tests.support import batches, copied, dead_session, entries, held, segments, sidecar


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three batches over an old file, in one segment."""
    return dead_session(tmp_path_factory.mktemp("cut") / "dead", 0, 1, 2, old=True)


def frames_of(target: Path) -> list[Frame]:
    storage = Storage()
    return [
        frame._replace(payload=memoryview(b"")) for frame in frames(storage, scan(storage, sidecar(target)))
    ]


def ended_before(target: Path, offset: int) -> int:
    """How many batches have their END, whole, before `offset` of the only segment."""
    found = frames_of(target)
    ends = [*(frame.offset for frame in found[1:]), segments(target)[-1].stat().st_size]
    return sum(f.kind is Kind.END and end <= offset for f, end in zip(found, ends, strict=True))


def cuts(target: Path) -> Iterator[int]:
    """Every frame boundary, and places inside every frame."""
    size = segments(target)[-1].stat().st_size
    offsets = [*(frame.offset for frame in frames_of(target)), size]
    for start, end in zip(offsets[1:], [*offsets[2:], size], strict=True):
        yield start
        if start < end:
            yield from {start + 1, start + 8, start + 47, start + 48, (start + end) // 2, end - 1} & set(
                range(start, end)
            )


def test_cut_at_any_frame_or_inside_it_every_batch_before_the_cut_is_recovered_and_none_behind(
    dead: Path, tmp_path: Path
) -> None:
    tried = 0
    for offset in cuts(dead):
        target = copied(dead, tmp_path / "cut")
        with segments(target)[-1].open("r+b") as file:
            file.truncate(offset)
        count = ended_before(dead, offset)
        assert safeh5.status(target).condition is Condition.INTERRUPTED
        report = safeh5.recover(target)
        assert held(target) == batches(*range(count), old=True), f"cut at {offset}"
        boundary = offset in {frame.offset for frame in frames_of(dead)} | {segments(dead)[-1].stat().st_size}
        assert (report.torn is None) == boundary, "what was cut off is reported"
        assert all(".safeh5-torn-" in name for name in entries(target))
        tried += 1
    assert tried > 60


def test_cut_before_the_first_record_the_session_is_corrupt_and_the_target_stays(
    dead: Path, tmp_path: Path
) -> None:
    for offset in range(0, frames_of(dead)[1].offset, 7):
        target = copied(dead, tmp_path / "cut")
        with segments(target)[0].open("r+b") as file:
            file.truncate(offset)
        before = target.read_bytes()
        assert safeh5.status(target).condition is Condition.CORRUPT, offset
        for action in ("replay", "salvage"):
            with pytest.raises(CorruptJournalError):
                safeh5.recover(target, action)
        assert target.read_bytes() == before
        report = safeh5.recover(target, "rollback")
        assert target.read_bytes() == before
        assert len(report.kept_aside) == 1 and "safeh5-damaged" in report.kept_aside[0]


def test_a_torn_end_is_kept_beside_the_target(dead: Path, tmp_path: Path) -> None:
    target = copied(dead, tmp_path / "torn")
    journal = segments(target)[0]
    last = frames_of(dead)[-1]
    with journal.open("r+b") as file:
        file.truncate(journal.stat().st_size - 8)
    tail = journal.read_bytes()[last.offset :]
    report = safeh5.recover(target)
    assert report.torn is not None and report.torn.offset == last.offset
    [kept] = report.kept_aside
    assert Path(kept).read_bytes() == tail
    assert Path(kept).parent == target.parent


def test_a_segment_that_is_cut_short_or_gone_behind_which_another_stands_is_corruption(
    tmp_path: Path,
) -> None:
    dead = dead_session(tmp_path / "dead", *range(6), segment_bytes=600)
    count = len(segments(dead))
    assert count > 3
    for index in range(count - 1):
        size = segments(dead)[index].stat().st_size
        for length in (None, 0, 60, 128, size // 2, size - 8, size - 1):
            target = copied(dead, tmp_path / "cut")
            damage(segments(target)[index], length)
            report = safeh5.status(target)
            assert report.condition is Condition.CORRUPT
            assert report.damage[0].segment == index + 1
            with pytest.raises(CorruptJournalError) as caught:
                safeh5.recover(target)
            assert caught.value.segment == index + 1
            assert caught.value.offset is not None
            assert not target.exists()


def damage(segment: Path, length: int | None) -> None:
    if length is None:
        segment.unlink()
        return
    with segment.open("r+b") as file:
        file.truncate(length)


def test_the_last_segment_cut_short_costs_only_what_was_in_it(tmp_path: Path) -> None:
    dead = dead_session(tmp_path / "dead", *range(6), segment_bytes=600)
    last = segments(dead)[-1]
    for length in range(128, last.stat().st_size + 1, 5):
        target = copied(dead, tmp_path / "cut")
        damage(segments(target)[-1], length)
        safeh5.recover(target)
        found = held(target)
        assert found == batches(*range(len(found))) and len(found) >= 4
