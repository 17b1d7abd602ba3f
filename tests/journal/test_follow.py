"""A follower hands out every record that is sure: once, in order, soon, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from safeh5.errors import CorruptJournalError, JournalError, JournalGoneError, JournalPrunedError
from safeh5.journal import Frame, Kind
from safeh5.journal.follow import Follower
from safeh5.journal.format import encode_meta
from safeh5.testing.faults import FaultyStorage, disk_full
from tests.journal.building import (
    SESSION_ID,
    STORAGE,
    anchor,
    begin,
    flip,
    put,
    put_batch,
    resume,
    scan_of,
    segment,
)


def follow(directory: Path, after: int = 0, **options: object) -> Follower:
    return Follower(STORAGE, directory, SESSION_ID, after, **options)  # type: ignore[arg-type]


def taken(frames: Iterable[Frame]) -> list[tuple[int, bytes]]:
    return [(frame.lsn, bytes(frame.payload)) for frame in frames]


# --- what is handed out, and when ---------------------------------------------------------


def test_a_record_is_handed_out_once_its_mark_is_there(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        follower = follow(tmp_path)
        assert taken(follower.advance()) == []
        lsn = put(writer, b"one")
        assert taken(follower.advance()) == []
        writer.sync()
        assert taken(follower.advance()) == [(lsn, b"one")]
        assert taken(follower.advance()) == []


def test_nothing_beyond_the_lsn_that_the_caller_knows_durable_is_handed_out(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        lsns = [put(writer, b"%d" % n) for n in range(5)]
        follower = follow(tmp_path)
        assert [lsn for lsn, _ in taken(follower.advance(lsns[1]))] == lsns[:2]
        assert follower.settled == lsns[1]
        assert taken(follower.advance(lsns[0])) == []
        assert [lsn for lsn, _ in taken(follower.advance(lsns[4]))] == lsns[2:]


def test_a_batch_is_handed_out_whole_and_only_when_its_end_is_durable(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        first = put(writer, sync=True)
        follower = follow(tmp_path)
        assert len(taken(follower.advance())) == 1
        batch = put_batch(writer, b"a", b"b", end=False)
        writer.sync()
        assert taken(follower.advance()) == []
        assert first <= follower.settled < writer.next_lsn - 2
        end = writer.end_batch(batch)
        assert taken(follower.advance()) == []
        assert taken(follower.advance(end - 1)) == []
        writer.sync()
        assert [payload for _, payload in taken(follower.advance())] == [b"a", b"b"]
        assert follower.settled == writer.next_lsn - 2


@pytest.mark.parametrize("ended", [False, True])
def test_a_cancelled_batch_is_passed_over(tmp_path: Path, ended: bool) -> None:
    with begin(tmp_path) as writer:
        batch = put_batch(writer, b"a", b"b", end=ended)
        writer.abort_batch(batch)
        put(writer, b"kept", sync=True)
        assert [payload for _, payload in taken(follow(tmp_path).advance())] == [b"kept"]


def test_a_batch_that_is_cancelled_after_it_was_handed_out_is_an_error(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        batch = put_batch(writer, b"a")
        writer.sync()
        follower = follow(tmp_path)
        assert len(taken(follower.advance())) == 1
        writer.abort_batch(batch)
        writer.sync()
        with pytest.raises(JournalError, match="cancelled"):
            taken(follower.advance())


def test_an_iterator_that_is_given_up_loses_nothing(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        put_batch(writer, b"a", b"b", b"c")
        put(writer, b"d", sync=True)
        follower = follow(tmp_path)
        got = []
        for _ in range(4):
            for frame in follower.advance():
                got.append(bytes(frame.payload))
                break
            assert (follower.settled >= writer.next_lsn - 2) <= (len(got) == 4)
        assert got == [b"a", b"b", b"c", b"d"]
        assert taken(follower.advance()) == []
        assert follower.settled == writer.next_lsn - 2


def test_it_begins_behind_the_lsn_that_it_is_given(tmp_path: Path) -> None:
    with begin(tmp_path, segment_bytes=600) as writer:
        lsns = []
        for n in range(12):
            lsns += [put(writer, b"%d" % n)]
            put_batch(writer, b"x" * 200, b"y")
            lsns += [writer.next_lsn - 3, writer.next_lsn - 2]
        writer.sync()
        for after in range(writer.next_lsn):
            found = [lsn for lsn, _ in taken(follow(tmp_path, after).advance())]
            assert found == [lsn for lsn in lsns if lsn > after], after


def test_a_batch_over_several_segments_is_handed_out(tmp_path: Path) -> None:
    with begin(tmp_path, segment_bytes=300) as writer:
        payloads = [b"%d" % n * 100 for n in range(9)]
        put_batch(writer, *payloads)
        follower = follow(tmp_path)
        # That later segments exist proves durable what is in the earlier ones, but not the END.
        assert taken(follower.advance()) == []
        writer.sync()
        assert [payload for _, payload in taken(follower.advance())] == payloads


def test_payloads_stay_readable_while_somebody_holds_them(tmp_path: Path) -> None:
    with begin(tmp_path, segment_bytes=300) as writer:
        for n in range(20):
            put(writer, b"%d" % n * 50)
        writer.sync()
        frames = list(follow(tmp_path).advance())
        assert [bytes(f.payload) for f in frames] == [b"%d" % n * 50 for n in range(20)]


# --- cost -----------------------------------------------------------------------------------


def test_nothing_new_costs_no_reading_at_all(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        put(writer, b"x" * 10_000, sync=True)
        storage = FaultyStorage()
        follower = Follower(storage, tmp_path, SESSION_ID)
        assert len(taken(follower.advance())) == 1
        before = len(storage.calls)
        assert taken(follower.advance(writer.durable_lsn)) == []
        assert len(storage.calls) == before
        assert taken(follower.advance()) == []
        # The look for the next segment, which is not there.
        reading = [call.effect for call in storage.calls[before:] if call.effect != "stat"]
        assert reading == ["read_bytes"]


def test_the_cost_follows_what_is_new_and_not_the_segment(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        for _ in range(3000):
            put(writer, b"x" * 100)
        writer.sync()
        storage = FaultyStorage()
        follower = Follower(storage, tmp_path, SESSION_ID)
        assert len(taken(follower.advance())) == 3000
        for _ in range(20):
            put(writer, b"new", sync=True)
            before = len(storage.calls)
            assert len(taken(follower.advance())) == 1
            assert len(storage.calls) - before <= 4


def test_a_batch_that_stays_open_is_not_read_again_and_again(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        follower = follow(tmp_path)
        batch = writer.last_batch + 1
        for _ in range(20):
            for _ in range(50):
                writer.append(Kind.OPERATION, encode_meta(op="write"), b"x" * 500, batch=batch)
            writer.sync()
            scouted = follower._scout.lsn if follower._located else 0
            assert taken(follower.advance()) == []
            assert follower._scout.lsn >= scouted + 50
        writer.end_batch(batch)
        writer.sync()
        assert len(taken(follower.advance())) == 1000


# --- the writer has trouble -------------------------------------------------------------------


def test_a_write_that_is_cut_off_again_harms_nobody(tmp_path: Path) -> None:
    storage = FaultyStorage(*(disk_full("append", nth=n, times=1, short=900) for n in range(6, 60, 4)))
    rng = random.Random(7)
    with begin(tmp_path, storage=storage) as writer:
        follower, expected, got = follow(tmp_path), [], []
        for _ in range(60):
            payload = rng.randbytes(rng.randrange(2000))
            try:
                expected.append((put(writer, payload), payload))
            except OSError:
                got += taken(follower.advance())
            if rng.random() < 0.5:
                writer.sync()
            got += taken(follower.advance())
        writer.sync()
        got += taken(follower.advance())
    assert got == expected


def test_a_whole_frame_that_is_replaced_by_another_is_not_missed(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        follower = follow(tmp_path)
        taken(follower.advance())
        end = writer._tip
        put(writer, b"interrupted before the writer knew")
        taken(follower.advance())
        # As when a signal's exception comes between the write and the writer's noticing it.
        writer._tip, writer._unsettled = end, True
        lsns = [put(writer, b"x" * 100, sync=True) for _ in range(3)]
        got = []
        for _ in range(3):
            put(writer, sync=True)
            got += [lsn for lsn, _ in taken(follower.advance())]
        assert got[:3] == lsns
        assert len(got) == 6


def test_a_resumed_journal_is_followed_on_behind_its_torn_tail(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        first = put(writer, b"first", sync=True)
        follower = follow(tmp_path)
        assert [lsn for lsn, _ in taken(follower.advance())] == [first]
        put_batch(writer, b"never ended", end=False)
    with segment(tmp_path).open("ab") as file:
        file.write(b"torn" * 50)
    assert taken(follower.advance()) == []
    with resume(tmp_path) as writer:
        second = put(writer, b"second", sync=True)
        assert taken(follower.advance()) == [(second, b"second")]


def test_damage_in_what_is_durable_is_named(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        follower = follow(tmp_path)
        put(writer, sync=True)
        at = writer._tip.offset
        lsn = put(writer, b"x" * 100, sync=True)
        flip(segment(tmp_path), at + 120)
        with pytest.raises(CorruptJournalError) as caught:
            taken(follower.advance())
        assert (caught.value.lsn, caught.value.segment, caught.value.offset) == (lsn, 1, at)


# --- the journal is pruned, or goes ----------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
def test_pruning_does_not_disturb_who_has_passed(tmp_path: Path, late: bool) -> None:
    with begin(tmp_path, segment_bytes=400) as writer:
        follower, got, expected = follow(tmp_path), [], []
        for n in range(50):
            expected.append(put(writer, b"x" * 100, sync=True))
            if n % 7 == 6:
                # Late: the notes behind the last record are pruned unseen.
                got += taken(follower.advance(writer.durable_lsn if late else None))
                anchor(writer)
            if not late or n % 3 == 0:
                got += taken(follower.advance())
        got += taken(follower.advance())
    assert [lsn for lsn, _ in got] == expected


def test_who_has_not_passed_what_was_pruned_is_told(tmp_path: Path) -> None:
    with begin(tmp_path, segment_bytes=400) as writer:
        follower = follow(tmp_path)
        seen = put(writer, sync=True)
        assert len(taken(follower.advance())) == 1
        for _ in range(9):
            put(writer, b"x" * 100, sync=True)
        anchor(writer)
        for durable in (None, writer.durable_lsn):
            with pytest.raises(JournalPrunedError, match=f"behind LSN {seen} ") as caught:
                taken(follower.advance(durable))
            assert "checkpoint" in str(caught.value)
        with pytest.raises(JournalPrunedError):
            follow(tmp_path).locate()


def test_a_batch_that_is_pruned_while_it_is_handed_out_is_an_error(tmp_path: Path) -> None:
    with begin(tmp_path, segment_bytes=300) as writer:
        follower = follow(tmp_path)
        put_batch(writer, *[b"x" * 100] * 20)
        writer.sync()
        frames = follower.advance()
        next(frames)
        anchor(writer)
        with pytest.raises(JournalPrunedError):
            list(frames)


def test_a_new_follower_begins_at_the_anchor_when_the_checkpoint_has_the_rest(tmp_path: Path) -> None:
    with begin(tmp_path, segment_bytes=400) as writer:
        for _ in range(9):
            put(writer, b"x" * 100, sync=True)
        applied = writer.durable_lsn
        anchor(writer)
        lsn = put(writer, b"new", sync=True)
        assert taken(follow(tmp_path, applied).advance()) == [(lsn, b"new")]


def test_leftovers_before_an_anchor_are_no_way_to_begin(tmp_path: Path) -> None:
    with begin(tmp_path, segment_bytes=400) as writer:
        for _ in range(9):
            put(writer, b"x" * 100, sync=True)
        kept = segment(tmp_path, 2).read_bytes()
        first = scan_of(tmp_path).segments[1].header
        assert first is not None
        anchor(writer)
    segment(tmp_path, 2).write_bytes(kept)
    with pytest.raises(JournalPrunedError):
        taken(follow(tmp_path, first.first_lsn).advance())


def test_the_end_of_the_session_is_told(tmp_path: Path) -> None:
    sidecar = tmp_path / "sidecar"
    with begin(sidecar) as writer:
        put(writer, sync=True)
        follower = follow(sidecar)
        assert len(taken(follower.advance())) == 1
    sidecar.rename(tmp_path / "trash")
    with pytest.raises(JournalGoneError):
        taken(follower.advance())
    with begin(sidecar, session=bytes(16)) as writer:
        put(writer, sync=True)
        with pytest.raises(JournalGoneError):
            taken(follower.advance())
