"""A journal may lose its old segments: that is never taken for damage, nor damage for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeh5.errors import InternalError
from safeh5.journal import Kind, frames, records
from safeh5.journal.format import encode_meta
from safeh5.testing.faults import FaultyStorage
from tests.journal.anchored import grow, lsns, numbers
from tests.journal.building import (
    SESSION_META,
    STORAGE,
    anchor,
    anchor_meta,
    begin,
    put,
    put_batch,
    resume,
    scan_of,
    segment,
)

# --- what an anchor does ---------------------------------------------------------------------------


def test_an_anchor_removes_all_segments_before_it_and_says_what_they_were_needed_for(tmp_path: Path) -> None:
    with grow(tmp_path) as writer:
        applied, last = writer.sync(), writer.last_batch
        lsn = anchor(writer)
        later = [put(writer, sync=True), put(writer, sync=True)]
    found = scan_of(tmp_path)
    assert (found.damage, found.torn, found.leftovers, found.is_complete) == ((), None, (), False)
    assert found.anchor is not None
    assert found.anchor[:5] == (found.segments[0].number, lsn, applied, last, SESSION_META)
    assert (found.first_lsn, found.records) == (lsn, 2)
    assert sorted(tmp_path.iterdir()) == [Path(info.path) for info in found.segments]
    assert lsns(tmp_path) == later
    assert [f.lsn for f in frames(STORAGE, found)] == list(range(lsn, found.last_lsn + 1))
    assert [f.lsn for f in records(STORAGE, found, after=later[0])] == later[1:]


def test_an_anchor_is_durable_before_the_first_segment_goes(tmp_path: Path) -> None:
    storage = FaultyStorage()
    with grow(tmp_path, storage) as writer:
        writer.sync()
        before = len(numbers(tmp_path))
        del storage.calls[:]
        anchor(writer)
    new_segment = ["sync", "create", "append", "sync", "rename", "sync_directory", "open_append"]
    made = [*new_segment, "append", "sync", "append"]
    effects = [effect for effect in storage.effects() if effect != "list_directory"]
    assert effects == [*made, *["unlink"] * before, "sync_directory"]
    gone = [call.path for call in storage.calls if call.effect == "unlink"]
    assert gone == [str(segment(tmp_path, n + 1)) for n in range(before)]


def test_the_size_is_counted_from_the_anchor(tmp_path: Path) -> None:
    with grow(tmp_path) as writer:
        anchor(writer)
        put(writer, b"x" * 1000, sync=True)
        put(writer, b"x" * 1000, sync=True)
        assert writer.size == sum(path.stat().st_size for path in tmp_path.iterdir())
    with resume(tmp_path) as writer:
        assert writer.size == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_batches_and_lsns_go_on_behind_an_anchor_and_over_several(tmp_path: Path) -> None:
    with grow(tmp_path) as writer:
        for _ in range(3):
            batch, lsn = writer.last_batch, writer.next_lsn
            anchor(writer)
            assert put(writer) > lsn
            assert writer.last_batch == batch + 1
    with resume(tmp_path) as writer:
        put(writer)
        anchor(writer)
        put(writer, sync=True)
    assert scan_of(tmp_path).damage == ()
    assert len(lsns(tmp_path)) == 1


def test_a_batch_from_before_an_anchor_cannot_be_cancelled(tmp_path: Path) -> None:
    with grow(tmp_path) as writer:
        batch = put_batch(writer, b"x")
        anchor(writer)
        with pytest.raises(InternalError):
            writer.abort_batch(batch)
    with resume(tmp_path) as writer, pytest.raises(InternalError):
        writer.abort_batch(batch)


def test_a_plain_checkpoint_at_the_beginning_of_a_segment_is_no_anchor(tmp_path: Path) -> None:
    with begin(tmp_path, segment_bytes=300) as writer:
        put(writer, b"x" * 300, sync=True)
        writer.append(Kind.CHECKPOINT, encode_meta(applied=writer.durable_lsn, time=0))
        assert len(numbers(tmp_path)) == 2
    assert scan_of(tmp_path).is_complete
    segment(tmp_path, 1).unlink()
    assert scan_of(tmp_path).damage


# --- what is refused -------------------------------------------------------------------------------


def test_an_anchor_is_refused_while_a_batch_is_open(tmp_path: Path) -> None:
    with grow(tmp_path) as writer:
        put_batch(writer, b"open", end=False)
        with pytest.raises(InternalError):
            anchor(writer)
    assert scan_of(tmp_path).is_complete


@pytest.mark.parametrize("wrong", ["too low", "not durable", "other batch", "plain", "no map"])
def test_an_anchor_that_would_lose_a_record_is_refused(tmp_path: Path, wrong: str) -> None:
    with grow(tmp_path) as writer:
        last = put(writer)
        durable = writer.sync() if wrong != "not durable" else writer.durable_lsn
        meta = {
            "too low": anchor_meta(writer.last_batch, last - 1),
            "not durable": anchor_meta(writer.last_batch, last),
            "other batch": anchor_meta(writer.last_batch - 1, durable),
            "plain": encode_meta(applied=durable, time=0),
            "no map": b"\xc1",
        }[wrong]
        with pytest.raises(InternalError):
            writer.anchor(meta)
        put(writer, sync=True)
    assert scan_of(tmp_path).is_complete
    assert scan_of(tmp_path).damage == ()
