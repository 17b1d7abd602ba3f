"""Salvage: every whole frame of a damaged journal, and every gap by name."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeh5.errors import SafeH5Error
from safeh5.journal import Frame, Gap, Kind, salvage_frames
from safeh5.storage import MappedFile
from tests.journal.building import (
    STORAGE,
    Places,
    begin,
    content,
    flip,
    overwrite,
    put,
    resume,
    scan_of,
    segment,
)


def build(directory: Path) -> dict[int, tuple[int, bytes, bytes]]:
    """A journal of several segments; kind, meta and payload of every frame by LSN."""
    with begin(directory, segment_bytes=700) as writer:
        for n in range(12):
            put(writer, bytes([n]) * (20 + n), sync=n % 3 == 0)
    assert len(scan_of(directory).segments) > 2
    return {lsn: (kind, meta, payload) for lsn, kind, _, meta, payload in content(directory)}


def salvage(directory: Path) -> tuple[dict[int, tuple[int, bytes, bytes]], list[Gap]]:
    """What salvage gives: frames by LSN, and gaps."""
    saved: dict[int, tuple[int, bytes, bytes]] = {}
    gaps = []
    for item in salvage_frames(STORAGE, scan_of(directory)):
        if isinstance(item, Gap):
            gaps.append(item)
        else:
            assert item.lsn > max(saved, default=0), "LSNs only grow"
            saved[item.lsn] = (int(item.kind), item.meta, bytes(item.payload))
    return saved, gaps


def test_a_sound_journal_is_salvaged_whole_without_gaps(tmp_path: Path) -> None:
    assert salvage_equals(tmp_path, build(tmp_path)) == []


def salvage_equals(directory: Path, expected: dict[int, tuple[int, bytes, bytes]]) -> list[Gap]:
    saved, gaps = salvage(directory)
    assert saved == expected
    return gaps


def test_a_frame_with_a_bad_payload_is_lost_alone_and_its_meta_tells_what_it_was(tmp_path: Path) -> None:
    everything = build(tmp_path)
    number, offset, end = Places.in_journal(tmp_path).of[3]
    flip(segment(tmp_path, number), end - 8)
    _, meta, _ = everything.pop(3)
    (gap,) = salvage_equals(tmp_path, everything)
    assert (gap.segment, gap.offset, gap.size) == (number, offset, end - offset)
    assert (gap.first_lsn, gap.last_lsn, gap.cause) == (3, 3, "wrong checksum of a payload")
    assert gap.broken is not None
    assert (gap.broken.lsn, gap.broken.kind, gap.broken.meta) == (3, Kind.OPERATION, meta)


def test_frames_behind_a_bad_header_are_found_again(tmp_path: Path) -> None:
    everything = build(tmp_path)
    places = Places.in_journal(tmp_path)
    number, start, _ = places.of[2]
    assert places.of[3][0] == number
    overwrite(segment(tmp_path, number), start, bytes(places.of[3][2] - start))
    del everything[2], everything[3]
    (gap,) = salvage_equals(tmp_path, everything)
    assert (gap.first_lsn, gap.last_lsn, gap.broken) == (2, 3, None)


def test_a_bad_payload_right_behind_a_bad_header_costs_its_own_frame_and_no_more(tmp_path: Path) -> None:
    everything = build(tmp_path)
    places = Places.in_journal(tmp_path)
    number, start, end = places.of[2]
    assert places.of[3][:2] == (number, end)
    overwrite(segment(tmp_path, number), start, bytes(end - start))
    flip(segment(tmp_path, number), places.of[3][2] - 8)
    del everything[2], everything[3]
    gaps = salvage_equals(tmp_path, everything)
    assert [(gap.first_lsn, gap.last_lsn) for gap in gaps] == [(2, 2), (3, 3)]
    assert gaps[1].broken is not None and gaps[1].broken.lsn == 3


@pytest.mark.parametrize("number", [1, 2])
def test_no_frame_is_lost_with_a_segment_header(tmp_path: Path, number: int) -> None:
    everything = build(tmp_path)
    overwrite(segment(tmp_path, number), 0, bytes(128))
    (gap,) = salvage_equals(tmp_path, everything)
    assert (gap.segment, gap.offset, gap.size) == (number, 0, 128)
    assert gap.last_lsn == gap.first_lsn - 1, "nothing is lost"


def test_a_journal_of_one_segment_with_any_bit_of_its_header_flipped_is_salvaged(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        put(writer, sync=True)
    sound, before = segment(tmp_path).read_bytes(), len(content(tmp_path))
    for byte in range(128):
        damaged = bytearray(sound)
        damaged[byte] ^= 1 << byte % 8
        segment(tmp_path).write_bytes(damaged)
        saved, gaps = salvage(tmp_path)
        assert (len(saved), [(gap.segment, gap.offset) for gap in gaps]) == (before, [(1, 0)]), byte


def test_a_missing_segment_is_a_gap_that_counts_its_frames(tmp_path: Path) -> None:
    everything = build(tmp_path)
    lost = [lsn for lsn, (number, _, _) in Places.in_journal(tmp_path).of.items() if number == 2]
    segment(tmp_path, 2).unlink()
    (gap,) = salvage_equals(tmp_path, {lsn: facts for lsn, facts in everything.items() if lsn not in lost})
    assert (gap.segment, gap.first_lsn, gap.last_lsn) == (2, lost[0], lost[-1])
    assert gap.cause == "the file is missing"


def test_a_truncated_segment_is_a_gap_up_to_the_next(tmp_path: Path) -> None:
    everything = build(tmp_path)
    places = Places.in_journal(tmp_path)
    inside = [lsn for lsn, (number, _, _) in places.of.items() if number == 2]
    with segment(tmp_path, 2).open("r+b") as file:
        file.truncate(places.of[inside[1]][1])
    (gap,) = salvage_equals(tmp_path, {n: facts for n, facts in everything.items() if n not in inside[1:]})
    assert (gap.first_lsn, gap.last_lsn, gap.cause) == (inside[1], inside[-1], "the file ends early")


def test_an_old_torn_tail_is_not_salvaged_in_place_of_what_was_written_after_it(tmp_path: Path) -> None:
    """The stale frames have the LSNs of the real ones, and the header that says they are stale is gone."""
    with begin(tmp_path) as writer:
        put(writer, b"kept", sync=True)
        victim = put(writer, b"torn")
        put(writer, b"stale")
    _, start, end = Places.in_journal(tmp_path).of[victim]
    overwrite(segment(tmp_path), start, bytes(end - start))
    with resume(tmp_path) as writer:
        put(writer, b"real", sync=True)
    overwrite(segment(tmp_path, 2), 0, bytes(128))
    saved, _ = salvage(tmp_path)
    payloads = [payload for kind, _, payload in saved.values() if kind == Kind.OPERATION]
    assert payloads == [b"kept", b"real"]


def test_frames_behind_a_torn_tail_are_offered_after_a_gap(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        put(writer, sync=True)
        victim = put(writer, b"torn")
        put(writer, b"behind")
    _, start, end = Places.in_journal(tmp_path).of[victim]
    overwrite(segment(tmp_path), start, bytes(end - start))
    saved, (gap,) = salvage(tmp_path)
    assert (gap.first_lsn, gap.last_lsn) == (victim, victim)
    assert gap.first_lsn > scan_of(tmp_path).durable_lsn, "so nobody was promised it"
    assert victim + 1 in saved


def test_a_torn_end_without_frames_behind_it_is_a_gap_of_unknown_size(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        put(writer, sync=True)
    with segment(tmp_path).open("ab") as file:
        file.write(b"?" * 100)
    _, (gap,) = salvage(tmp_path)
    assert (gap.size, gap.last_lsn) == (100, None)


def test_a_segment_that_the_disk_cannot_read_is_damage_and_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = build(tmp_path)
    lost = [lsn for lsn, (number, _, _) in Places.in_journal(tmp_path).of.items() if number == 2]

    def probe(self: MappedFile) -> None:
        if self.path == str(segment(tmp_path, 2)):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(MappedFile, "probe", probe)
    damage = scan_of(tmp_path).damage
    assert [(d.segment, d.cause) for d in damage] == [(2, "the file cannot be read: Input/output error")]
    (gap,) = salvage_equals(tmp_path, {n: facts for n, facts in everything.items() if n not in lost})
    assert (gap.first_lsn, gap.last_lsn) == (lost[0], lost[-1])


def test_a_payload_that_is_itself_a_journal_is_never_taken_for_frames_of_this_one(tmp_path: Path) -> None:
    with begin(tmp_path / "inner") as writer:
        for _ in range(5):
            put(writer, sync=True)
    inner = segment(tmp_path / "inner").read_bytes()
    with begin(tmp_path / "outer") as writer:
        victim = put(writer, inner)
        put(writer, sync=True)
    before = content(tmp_path / "outer")
    _, start, _ = Places.in_journal(tmp_path / "outer").of[victim]
    flip(segment(tmp_path / "outer"), start + 10)
    saved, gaps = salvage(tmp_path / "outer")
    assert sorted(saved) == [lsn for lsn, *_ in before if lsn != victim]
    assert len(gaps) == 1


@given(st.data())
@settings(max_examples=120)
def test_whatever_the_damage_each_frame_is_either_salvaged_as_it_was_or_in_a_gap(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("j")
    everything = build(directory)
    for _ in range(data.draw(st.integers(1, 4))):
        info = data.draw(st.sampled_from(scan_of(directory).segments))
        offset = data.draw(st.integers(0, max(0, info.size - 1)))
        if data.draw(st.booleans()):
            overwrite(Path(info.path), offset, bytes(data.draw(st.integers(1, 400))))
        else:
            with Path(info.path).open("r+b") as file:
                file.truncate(offset)
    try:
        saved, gaps = salvage(directory)
    except SafeH5Error as error:  # every segment is gone
        raise AssertionError("salvage must not fail") from error
    assert saved.items() <= everything.items()
    in_gaps = {lsn for gap in gaps for lsn in range(gap.first_lsn, (gap.last_lsn or max(everything)) + 1)}
    silently_lost = set(everything) - set(saved) - in_gaps
    # Nothing can be known about what a truncation of the last segment took with it.
    assert not {lsn for lsn in silently_lost if lsn < max(saved, default=0)}


def test_salvage_gives_frames_and_gaps_in_the_order_of_the_journal(tmp_path: Path) -> None:
    build(tmp_path)
    for lsn in (2, 6):
        number, offset, _ = Places.in_journal(tmp_path).of[lsn] if lsn == 2 else (2, 160, 0)
        flip(segment(tmp_path, number), offset + 20)
    items = list(salvage_frames(STORAGE, scan_of(tmp_path)))
    positions = [(item.segment, item.offset) for item in items]
    assert positions == sorted(positions)
    assert {type(item) for item in items} == {Frame, Gap}
