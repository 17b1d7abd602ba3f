"""Every byte of a small journal, damaged: the truth, or an error that says where. Then salvage."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import safeh5
from safeh5.errors import CorruptJournalError
from safeh5.journal import Frame, Kind
from safeh5.recovery import Condition
from tests.recovery.test_cut_journal import frames_of
from tests.support import batches, copied, dead_session, entries, held, segments, sidecar, snapshot

HEADER = 128


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three batches over an old file, in one segment."""
    return dead_session(tmp_path_factory.mktemp("damage") / "dead", 0, 1, 2, old=True)


@pytest.fixture(scope="module")
def rolled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four batches for a new file, in several segments."""
    return dead_session(tmp_path_factory.mktemp("damage") / "rolled", 0, 1, 2, 3, segment_bytes=600)


def flip(path: Path, offset: int, mask: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        [byte] = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


def check_flip(dead: Path, directory: Path, segment: int, offset: int, mask: int, numbers: int) -> None:
    """One flip: recovery tells the truth or names the place, and changes nothing then."""
    target = copied(dead, directory)
    flip(segments(target)[segment], offset, mask)
    before = snapshot(target.parent)
    status = safeh5.status(target)
    assert status.condition in (Condition.INTERRUPTED, Condition.CORRUPT), status
    try:
        report = safeh5.recover(target)
    except CorruptJournalError as error:
        assert status.condition is Condition.CORRUPT
        assert (error.segment, error.offset is None, error.lsn is None) == (segment + 1, False, False)
        assert error.offset is not None and error.offset <= offset
        assert snapshot(target.parent) == before, "damaged input was changed"
        return
    found = held(target) - {"old"}
    assert found == batches(*range(len(found))), "not a prefix"
    # Only the last SYNC mark is not vouched for by anything behind it.
    assert len(found) == numbers
    assert report.torn is not None, "the loss was not reported"


def check_salvage(dead: Path, directory: Path, segment: int, offset: int, mask: int, numbers: int) -> None:
    """One flip, salvaged: all batches but the one that was hit, and the loss is named."""
    target = copied(dead, directory)
    old = target.read_bytes() if target.exists() else None
    flip(segments(target)[segment], offset, mask)
    if safeh5.status(target).condition is not Condition.CORRUPT:
        return
    damaged = snapshot(sidecar(target))
    hit = frame_at(dead, segment, offset)
    if hit is not None and hit.kind is Kind.SESSION:
        with pytest.raises(CorruptJournalError):
            safeh5.recover(target, "salvage")
        assert snapshot(sidecar(target)) == damaged
        return
    damaged.pop("reserve", None)  # room to work in, which recovery may use
    report = safeh5.recover(target, "salvage")
    lost = {f"b{hit.batch - 1}"} if hit is not None and hit.batch else set()
    assert held(target) == batches(*range(numbers), old=old is not None) - lost
    assert report.losses, "nothing was said about the damage"
    [aside] = report.kept_aside
    kept = snapshot(Path(aside))
    assert damaged.items() <= kept.items(), "the damaged session was changed"
    assert kept.get("target-before-salvage.h5") == old
    assert entries(target) == [Path(aside).name]


def frame_at(dead: Path, segment: int, offset: int) -> Frame | None:
    """The frame that byte `offset` belongs to; None for a segment header."""
    inside = [f for f in frames_of(dead) if f.segment == segment + 1 and f.offset <= offset]
    return inside[-1] if inside else None


def places(target: Path, chance: random.Random, share: float) -> Iterator[tuple[int, int, int]]:
    """Segment, offset and a mask of one bit, for a share of all bytes."""
    for index, segment in enumerate(segments(target)):
        for offset in range(segment.stat().st_size):
            if chance.random() < share:
                yield index, offset, 1 << chance.randrange(8)


def test_a_flipped_bit_in_any_byte_is_named_or_the_journal_is_recovered_up_to_it(
    dead: Path, tmp_path: Path
) -> None:
    for segment, offset, mask in places(dead, random.Random(1), 0.6):
        check_flip(dead, tmp_path / "flip", segment, offset, mask, 3)


def test_a_flipped_bit_in_any_of_several_segments_is_named(rolled: Path, tmp_path: Path) -> None:
    for segment, offset, mask in places(rolled, random.Random(2), 0.4):
        check_flip(rolled, tmp_path / "flip", segment, offset, mask, 4)


def test_salvage_brings_back_every_batch_that_is_whole_and_names_the_loss(dead: Path, tmp_path: Path) -> None:
    for segment, offset, mask in places(dead, random.Random(3), 0.15):
        check_salvage(dead, tmp_path / "flip", segment, offset, mask, 3)


def test_salvage_of_several_segments_brings_back_every_batch_that_is_whole(
    rolled: Path, tmp_path: Path
) -> None:
    for segment, offset, mask in places(rolled, random.Random(4), 0.1):
        check_salvage(rolled, tmp_path / "flip", segment, offset, mask, 4)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("bit", range(8))
def test_every_bit_flip_is_named_or_recovered_and_salvaged(
    dead: Path, rolled: Path, tmp_path: Path, bit: int
) -> None:
    for session, numbers in ((dead, 3), (rolled, 4)):
        for segment, offset, _ in places(session, random.Random(5), 1):
            check_flip(session, tmp_path / "flip", segment, offset, 1 << bit, numbers)
            check_salvage(session, tmp_path / "flip", segment, offset, 1 << bit, numbers)


def test_blocks_that_were_zeroed_swapped_or_repeated_are_named(dead: Path, tmp_path: Path) -> None:
    chance = random.Random(6)
    size = segments(dead)[0].stat().st_size
    for number in range(150):
        target = copied(dead, tmp_path / "blocks")
        segment = segments(target)[0]
        data = bytearray(segment.read_bytes())
        width = chance.choice([8, 64, 512])
        a, b = (chance.randrange(HEADER, size - width) & -8 for _ in range(2))
        left, right = data[a : a + width], data[b : b + width]
        kind = number % 3
        data[a : a + width] = bytes(width) if kind == 0 else right
        if kind == 2:
            data[b : b + width] = left
        segment.write_bytes(data)
        untouched = data == segments(dead)[0].read_bytes()
        try:
            report = safeh5.recover(target)
        except CorruptJournalError as error:
            assert error.segment == 1 and error.offset is not None
            continue
        found = held(target)
        assert found == batches(*range(len(found) - 1), old=True)
        # Nothing vouches for the last batch when its SYNC mark is gone too: that looks like a torn end.
        assert report.torn is not None or untouched
        changed = [a] if kind < 2 else [a, b]
        assert len(found) == 4 or max(changed) + width > frames_of(dead)[-1].offset


def test_a_salvage_note_stays_with_the_damaged_session(dead: Path, tmp_path: Path) -> None:
    target = copied(dead, tmp_path / "note")
    data = segments(target)[0].read_bytes()
    flip(segments(target)[0], data.index(b"/b1/data"), 1)
    report = safeh5.recover(target, "salvage")
    note = (Path(report.kept_aside[0]) / "salvaged.json").read_text()
    assert all(loss.what in note for loss in report.losses)


def test_salvage_of_an_intact_journal_is_a_replay_without_losses(dead: Path, tmp_path: Path) -> None:
    target = copied(dead, tmp_path / "intact")
    report = safeh5.recover(target, "salvage")
    assert not report.losses and not report.kept_aside
    assert held(target) == batches(0, 1, 2, old=True)
    assert entries(target) == []


def test_a_damaged_session_kept_aside_can_be_salvaged_to_another_file_once_more(
    dead: Path, tmp_path: Path
) -> None:
    target = copied(dead, tmp_path / "again")
    data = segments(target)[0].read_bytes()
    flip(segments(target)[0], data.index(b"/b1/data"), 1)
    aside = safeh5.recover(target, "salvage").kept_aside[0]
    before = snapshot(target.parent)
    output = target.with_name("other.h5")
    report = safeh5.recover(aside, "salvage", output=output)
    assert held(output) == batches(0, 2, old=True)
    assert report.result == str(output)
    output.unlink()
    assert snapshot(target.parent) == before


def test_salvage_applies_no_part_of_a_batch_whose_end_is_lost_with_the_beginning_of_the_next(
    dead: Path, tmp_path: Path
) -> None:
    target = copied(dead, tmp_path / "ends")
    hit = [f for f in frames_of(target) if f.batch in (1, 2)]
    first = [f.offset for f in hit if f.batch == 1 and f.kind is Kind.OPERATION][-1]
    last = next(f.offset for f in hit if f.batch == 2 and f.kind is Kind.END)
    data = bytearray(segments(target)[0].read_bytes())
    data[first:last] = bytes(last - first)
    segments(target)[0].write_bytes(data)
    report = safeh5.recover(target, "salvage")
    assert held(target) == batches(2, old=True)
    assert report.losses


def test_a_segment_of_another_session_is_named_and_not_the_one_before_it(
    rolled: Path, tmp_path: Path
) -> None:
    target = copied(rolled, tmp_path / "foreign")
    other = dead_session(tmp_path / "other", 0, 1, segment_bytes=600)
    segments(target)[2].write_bytes(segments(other)[0].read_bytes())
    with pytest.raises(CorruptJournalError) as caught:
        safeh5.recover(target)
    assert caught.value.segment == 3
