"""Damage of acknowledged bytes is named: segment, offset, LSN and cause. Never a wrong value."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeh5.errors import CorruptJournalError, ForeignSidecarError, UnsupportedVersion
from safeh5.journal import JournalScan, Kind, frames, records, scan
from safeh5.journal.checksum import extend
from safeh5.journal.format import WHOLE, SegmentHeader, encode_meta, pack_frame
from safeh5.journal.scan import MAX_LISTED_DAMAGE
from tests.journal.building import (
    STORAGE,
    Places,
    begin,
    content,
    flip,
    is_header,
    overwrite,
    put,
    put_batch,
    resume,
    scan_of,
    segment,
)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A small journal of three segments: batches, an abort, a torn tail that was resumed from."""
    directory = tmp_path / "journal"
    with begin(directory, segment_bytes=500) as writer:
        put(writer, b"first")
        put_batch(writer, b"abc", b"12345678")
        writer.abort_batch(put_batch(writer, b"never", end=False))
        writer.sync()
        put(writer, b"in segment 2", sync=True)
    with segment(directory, 2).open("ab") as file:
        file.write(b"a torn tail")
    with resume(directory) as writer:
        put(writer, b"last", sync=True)
    assert len(scan_of(directory).segments) == 3
    return directory


def flips(directory: Path) -> Iterator[tuple[int, int, int]]:
    """Every bit of every segment."""
    for info in scan_of(directory).segments:
        for offset in range(info.size):
            for bit in range(8):
                yield info.number, offset, bit


def check_flip(directory: Path, places: Places, before: JournalScan, number: int, offset: int) -> None:
    """What a scan must say about one flipped bit."""
    found = scan_of(directory)
    lsn = places.lsn_at(number, offset)
    if is_header(offset):
        assert [(d.segment, d.offset) for d in found.damage] == [(number, 0)]
    elif lsn is None:  # a torn tail that was given up long ago
        assert found == before
    elif lsn <= before.durable_lsn:
        first = found.damage[0]
        assert (first.segment, first.offset, first.lsn) == (number, places.of[lsn][1], lsn)
        assert len(found.damage) == 1
    else:  # the SYNC mark at the very end, which nobody was promised
        assert found.damage == ()
        assert found.torn is not None
        assert found.torn.first_lsn == lsn


def test_any_flipped_bit_is_named_or_in_what_was_never_acknowledged(journal: Path) -> None:
    before, everything, places = scan_of(journal), content(journal), Places.in_journal(journal)
    for number, offset, bit in flips(journal):
        flip(segment(journal, number), offset, bit)
        check_flip(journal, places, before, number, offset)
        kept = content(journal)
        assert kept == everything[: len(kept)]
        flip(segment(journal, number), offset, bit)
    assert scan_of(journal) == before


def test_any_truncation_of_an_earlier_segment_is_named(journal: Path) -> None:
    places = Places.in_journal(journal)
    for number in (1, 2):
        path = segment(journal, number)
        whole = path.read_bytes()
        valid = scan_of(journal).segments[number - 1].valid_length
        for length in range(valid - 1, -1, -1):
            path.write_bytes(whole[:length])
            first = scan_of(journal).damage[0]
            lsn = places.lsn_at(number, length)
            expected = 0 if length < 128 else places.of[lsn][1] if lsn else length
            assert (first.segment, first.offset) == (number, expected)
        path.write_bytes(whole)


def test_records_of_a_damaged_journal_are_refused_with_the_place_and_the_command(journal: Path) -> None:
    _, offset, _ = Places.in_journal(journal).of[3]
    flip(segment(journal), offset + 50)
    with pytest.raises(CorruptJournalError) as caught:
        records(STORAGE, scan_of(journal))
    error = caught.value
    assert (error.segment, error.offset, error.lsn) == (1, offset, 3)
    assert error.cause == "wrong checksum of a frame header"
    assert error.path == str(segment(journal))
    assert "segment 1 at byte" in str(error)
    assert "--salvage" in str(error)


def test_a_frame_that_goes_bad_after_the_scan_is_found_when_it_is_read(journal: Path) -> None:
    found = scan_of(journal)
    _, offset, end = Places.in_journal(journal).of[3]
    flip(segment(journal), end - 1)
    with pytest.raises(CorruptJournalError, match=f"byte {offset}.*wrong checksum of a payload"):
        list(frames(STORAGE, found))


def test_a_file_cut_short_after_the_scan_is_an_error_and_not_a_crash(journal: Path) -> None:
    found = scan_of(journal)
    _, offset, _ = Places.in_journal(journal).of[4]
    with segment(journal).open("r+b") as file:
        file.truncate(offset)
    with pytest.raises(CorruptJournalError, match="became shorter"):
        list(frames(STORAGE, found))


def test_a_zeroed_acknowledged_frame_with_whole_frames_behind_it_is_damage(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        victim = put(writer)
        put(writer, sync=True)
    _, start, end = Places.in_journal(tmp_path).of[victim]
    overwrite(segment(tmp_path), start, bytes(end - start))
    damage = scan_of(tmp_path).damage
    assert [(d.lsn, d.offset, d.cause) for d in damage] == [(victim, start, "no frame begins here")]


@pytest.mark.parametrize("kind", [Kind.SEAL, Kind.COMMIT, Kind.ROLLBACK])
def test_a_record_that_ends_a_session_proves_all_before_it_durable(tmp_path: Path, kind: Kind) -> None:
    with begin(tmp_path) as writer:
        victim = put(writer)
        end = writer.append(kind, encode_meta(time=0))
    places = Places.in_journal(tmp_path)
    mark = places.of[end - 1]  # goes too, so that it is not the mark that proves it
    overwrite(segment(tmp_path), mark[1], bytes(mark[2] - mark[1]))
    flip(segment(tmp_path), places.of[victim][1] + 20)
    assert scan_of(tmp_path).damage[0].lsn == victim


def test_every_damaged_place_is_listed(journal: Path) -> None:
    places = Places.in_journal(journal)
    for lsn in (3, 5, 9):
        number, offset, _ = places.of[lsn]
        flip(segment(journal, number), offset + 20)
    assert [d.lsn for d in scan_of(journal).damage] == [3, 5, 9]


def test_the_list_of_damage_is_bounded(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        lsns = [put(writer) for _ in range(2 * MAX_LISTED_DAMAGE + 10)]
        writer.sync()
    places = Places.in_journal(tmp_path)
    data = bytearray(segment(tmp_path).read_bytes())
    for lsn in lsns[::2]:
        data[places.of[lsn][1] + 20] ^= 1
    segment(tmp_path).write_bytes(data)
    found = scan_of(tmp_path)
    assert len(found.damage) == MAX_LISTED_DAMAGE
    assert len(found.damage) + found.more_damage == len(lsns[::2])


# --- whole blocks and files in the wrong place -----------------------------------------


def test_two_frames_of_the_same_size_that_changed_places_are_damage(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        first, second = put(writer, b"A" * 8), put(writer, b"B" * 8)
        writer.sync()
    data, places = segment(tmp_path).read_bytes(), Places.in_journal(tmp_path)
    (_, a, b), (_, c, d) = places.of[first], places.of[second]
    overwrite(segment(tmp_path), a, data[c:d] + data[a:b])
    assert scan_of(tmp_path).damage[0].lsn == first


def test_a_frame_that_stands_there_twice_is_damage(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        first, second = put(writer, b"A" * 8), put(writer, b"B" * 8)
        writer.sync()
    data, places = segment(tmp_path).read_bytes(), Places.in_journal(tmp_path)
    _, a, b = places.of[first]
    overwrite(segment(tmp_path), places.of[second][1], data[a:b])
    assert scan_of(tmp_path).damage[0].lsn == second


def test_a_frame_of_another_session_at_the_same_place_is_damage(tmp_path: Path) -> None:
    for name, session in (("ours", b"o" * 16), ("theirs", b"t" * 16)):
        with begin(tmp_path / name, session=session) as writer:
            put(writer, b"A" * 8)
            put(writer, b"B" * 8, sync=True)
    _, start, end = Places.in_journal(tmp_path / "ours").of[3]
    overwrite(segment(tmp_path / "ours"), start, segment(tmp_path / "theirs").read_bytes()[start:end])
    assert [d.lsn for d in scan_of(tmp_path / "ours").damage] == [3]


def test_a_segment_of_another_session_is_damage(tmp_path: Path) -> None:
    for name, session in (("ours", b"o" * 16), ("theirs", b"t" * 16)):
        with begin(tmp_path / name, session=session, segment_bytes=300) as writer:
            for _ in range(6):
                put(writer, sync=True)
    shutil.copy(segment(tmp_path / "theirs", 2), segment(tmp_path / "ours", 2))
    damage = scan_of(tmp_path / "ours").damage
    assert damage[0].segment == 2
    assert damage[0].cause == "this segment is of another session"


def test_a_missing_segment_is_damage_and_has_a_name(journal: Path) -> None:
    everything = content(journal)
    segment(journal, 2).unlink()
    found = scan_of(journal)
    assert [(d.segment, d.offset, d.cause) for d in found.damage] == [(2, 0, "segment 2 is missing")]
    assert found.damage[0].path == str(segment(journal, 2))
    assert content(journal) == everything[: found.last_lsn]


def test_a_missing_first_segment_is_damage(journal: Path) -> None:
    segment(journal, 1).unlink()
    found = scan_of(journal)
    assert found.damage[0].cause == "segment 1 is missing"
    assert (found.last_lsn, found.control, content(journal)) == (0, (), [])


def test_two_segments_that_changed_names_are_damage(journal: Path) -> None:
    one, two = segment(journal, 1).read_bytes(), segment(journal, 2).read_bytes()
    segment(journal, 1).write_bytes(two)
    segment(journal, 2).write_bytes(one)
    assert scan_of(journal).damage[0].cause == "this is segment 2 under the name of segment 1"


def test_a_segment_replaced_by_an_older_copy_breaks_the_chain(tmp_path: Path) -> None:
    """Whole, of the same session and the same length, and yet not the one that was continued."""
    directory = tmp_path / "j"
    begin(directory).close()
    shutil.copytree(directory, tmp_path / "fork")
    for where, payload in ((directory, b"this"), (tmp_path / "fork", b"that")):
        with resume(where) as writer:
            put(writer, payload, sync=True)
        with resume(where) as writer:
            put(writer, sync=True)
    shutil.copy(segment(tmp_path / "fork", 2), segment(directory, 2))
    damage = scan_of(directory).damage
    assert [(d.segment, d.cause) for d in damage] == [
        (3, "the segment before is not the one that this one followed")
    ]


def test_an_empty_or_short_segment_is_damage(journal: Path) -> None:
    for length in (0, 1, 127):
        segment(journal, 3).write_bytes(bytes(length))
        cause = scan_of(journal).damage[0].cause
        assert cause == f"the file ends after {length} bytes, inside the segment header"


@given(st.data())
@settings(max_examples=150)
def test_random_blocks_of_garbage_never_give_a_wrong_value(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("j")
    with begin(directory, segment_bytes=1500) as writer:
        for n in range(25):
            put(writer, bytes([n]) * (n * 7), sync=n % 5 == 0)
    everything = content(directory)
    durable = writer.durable_lsn
    for _ in range(data.draw(st.integers(1, 3))):
        info = data.draw(st.sampled_from(scan_of(directory).segments))
        start = data.draw(st.integers(0, info.size))
        copied = segment(directory, 1).read_bytes()[:700]
        garbage = data.draw(st.one_of(st.binary(max_size=300), st.just(copied)))
        overwrite(Path(info.path), start, garbage)
    found = scan_of(directory)
    kept = content(directory)
    assert kept == everything[: len(kept)]
    evidence_is_gone = found.durable_lsn < durable
    assert found.damage or evidence_is_gone or found.last_lsn >= durable


# --- frames that are whole and make no sense ---------------------------------------------


def forge(directory: Path, *steps: tuple[int, int, int, bytes]) -> None:
    """A journal of one segment with frames as given: kind, flags, batch, meta."""
    header = SegmentHeader(b"f" * 16, 1, 1, 0, 0)
    data = header.pack()
    first = (int(Kind.SESSION), 0, 0, encode_meta())
    for lsn, (kind, flags, batch, meta) in enumerate((first, *steps), start=1):
        data += pack_frame(header.salt, len(data), lsn, batch, kind, flags, 0, meta, 0, 0)[0]
    segment(directory).write_bytes(data)


OP, END, ABORT, SYNC = int(Kind.OPERATION), int(Kind.END), int(Kind.ABORT), int(Kind.SYNC)
META = encode_meta()
TWO, ONE = encode_meta(records=2), encode_meta(records=1)
BAD_ABORT = "ABORT of batch 1, which is not the latest or was aborted before"


@pytest.mark.parametrize(
    ("steps", "cause"),
    [
        ([(OP, 0, 1, META), (OP, 0, 2, META)], "a record of batch 2 while batch 1 is open"),
        ([(OP, 0, 1, META), (OP, WHOLE, 2, META)], "a record of batch 2 while batch 1 is open"),
        ([(OP, WHOLE, 2, META), (OP, WHOLE, 1, META)], "a record of batch 1 after batch 2 was closed"),
        ([(OP, WHOLE, 2, META), (OP, 0, 2, META)], "a record of batch 2 after batch 2 was closed"),
        ([(OP, 0, 1, META), (END, 0, 1, TWO)], "END of batch 1 states 2 records, there are 1"),
        ([(OP, 0, 1, META), (END, 0, 2, ONE)], "END of batch 2, which is not open"),
        ([(OP, 0, 1, META), (END, 0, 1, META)], "the meta part has no number 'records'"),
        ([(END, 0, 1, encode_meta(records=0))], "END of batch 1, which is not open"),
        ([(ABORT, 0, 1, META)], BAD_ABORT),
        (
            [(OP, WHOLE, 1, META), (ABORT, 0, 1, META), (ABORT, 0, 1, META)],
            BAD_ABORT,
        ),
        ([(OP, WHOLE, 0, META)], "a record of batch 0 after batch 0 was closed"),
        ([(OP, 0, 1, META), (int(Kind.COMMIT), 0, 0, META)], "COMMIT while batch 1 is open"),
        ([(int(Kind.SEAL), 0, 1, META)], "a control record inside a batch"),
        ([(int(Kind.SESSION), 0, 0, META)], "the SESSION record is not the first, or not the only one"),
        ([(11, 0, 0, META)], "unknown kind 11"),
        ([(0, 0, 0, META)], "unknown kind 0"),
        ([(OP, 2, 1, META)], "unknown flags 0x02"),
        ([(int(Kind.SEAL), 1, 0, META)], "unknown flags 0x01"),
        ([(SYNC, 0, 0, encode_meta(durable=2))], "a SYNC mark that vouches for LSN 2"),
        ([(int(Kind.SEAL), 0, 0, b"\xc1")], "the meta part cannot be read: MessagePack data is malformed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whole_frames_that_break_a_rule_are_damage_though_nothing_was_acknowledged(
    tmp_path: Path, steps: list[tuple[int, int, int, bytes]], cause: str
) -> None:
    forge(tmp_path, *steps)
    found = scan_of(tmp_path)
    assert len(found.damage) == 1
    assert (found.damage[0].lsn, found.torn) == (len(steps) + 1, None)
    assert found.damage[0].cause.startswith(cause)
    assert found.last_lsn == len(steps)
    assert len(content(tmp_path)) == len(steps)


# --- things that are not damage ------------------------------------------------------------


def test_a_newer_version_is_named_as_such(journal: Path) -> None:
    body = bytearray(segment(journal, 2).read_bytes()[:124])
    struct.pack_into("<H", body, 8, 7)
    overwrite(segment(journal, 2), 0, bytes(body) + struct.pack("<I", extend(0, bytes(body))))
    with pytest.raises(UnsupportedVersion, match=r"newer safeh5 \(format version 7\)") as caught:
        scan_of(journal)
    assert caught.value.path == str(segment(journal, 2))


def test_a_directory_without_segments_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "journal-00000001.log.new").write_bytes(b"left over")
    with pytest.raises(ForeignSidecarError, match="no journal"):
        scan(STORAGE, tmp_path)


def test_other_files_in_the_directory_do_not_matter(journal: Path) -> None:
    before = scan_of(journal)
    (journal / "staging.h5").write_bytes(b"x")
    (journal / "journal-00000004.log.new").write_bytes(b"left over")
    assert scan_of(journal) == before


def test_behind_a_given_up_torn_tail_the_damaged_header_is_blamed_and_not_the_tail(tmp_path: Path) -> None:
    """Two segments: only the second one's header says where the first ends."""
    with begin(tmp_path) as writer:
        put(writer, b"first", sync=True)
    with segment(tmp_path).open("ab") as file:
        file.write(b"\x07" * 1000)
    with resume(tmp_path) as writer:
        put(writer, b"second", sync=True)
    with resume(tmp_path) as writer:
        put(writer, b"third", sync=True)
    flip(segment(tmp_path, 2), 40)
    damage = scan_of(tmp_path).damage
    assert [(each.segment, each.offset) for each in damage] == [(2, 0)]
