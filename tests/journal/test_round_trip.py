"""What is written is what is read."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeh5.journal import WHOLE, Frame, JournalWriter, Kind, frames, records, scan
from safeh5.journal.format import encode_meta
from safeh5.options import JournalOptions
from tests.journal.building import (
    SESSION_ID,
    STORAGE,
    begin,
    content,
    put,
    put_batch,
    record_content,
    scan_of,
)

PAYLOADS = st.binary(max_size=40)


@st.composite
def batches(draw: st.DrawFn) -> list[tuple[str, list[bytes], bool]]:
    """How each batch ends, its payloads, and whether a sync follows."""
    how = st.sampled_from(["end", "abort", "whole", "end, abort"])
    one = st.tuples(how, st.lists(PAYLOADS, min_size=1, max_size=4), st.booleans())
    return draw(st.lists(one, max_size=12))


@given(batches(), st.integers(min_value=129, max_value=4000))
@settings(max_examples=60)
def test_exactly_the_records_of_ended_unaborted_batches_come_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[str, list[bytes], bool]], segment_bytes: int
) -> None:
    directory = tmp_path_factory.mktemp("j")
    expected = []
    with begin(directory, segment_bytes=segment_bytes) as writer:
        for number, (how, payloads, sync) in enumerate(plan, start=1):
            for payload in payloads[: 1 if how == "whole" else None]:
                meta = encode_meta(n=writer.next_lsn)
                lsn = writer.append(Kind.OPERATION, meta, payload, batch=number, whole=how == "whole")
                if "abort" not in how:
                    expected.append((lsn, int(Kind.OPERATION), number, meta, payload))
            if how.startswith("end"):
                writer.end_batch(number)
            if how.endswith("abort"):
                writer.abort_batch(number)
            if sync:
                assert writer.sync() >= writer.next_lsn - 2
        last, durable, size = writer.next_lsn - 1, writer.durable_lsn, writer.size
    found = scan_of(directory)
    assert (found.damage, found.torn, found.open_batch) == ((), None, None)
    assert (found.last_lsn, found.frames, found.durable_lsn, found.size) == (last, last, durable, size)
    assert found.aborted == {n for n, (how, _, _) in enumerate(plan, start=1) if "abort" in how}
    assert [lsn for lsn, *_ in content(directory)] == list(range(1, last + 1))
    assert record_content(directory) == expected
    assert found.records == len(expected)
    assert found.record_bytes == sum(len(payload) for *_, payload in expected)
    assert found.batch.last == len(plan)


@pytest.mark.parametrize(
    "payload",
    [
        np.arange(12, dtype="<u2").reshape(3, 4),
        np.arange(6, dtype=">f8"),
        np.zeros(3, dtype=[("a", "i4"), ("b", "S3")]),
        np.array("2024-01-01", dtype="M8[s]"),
        np.zeros((0, 5)),
        np.float32(1.5),
        bytearray(b"writable"),
        memoryview(b"read-only view")[3:],
        np.asfortranarray(np.ones((1, 4))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_contiguous_buffer_is_journaled_as_its_bytes(tmp_path: Path, payload: object) -> None:
    with begin(tmp_path) as writer:
        writer.append(Kind.OPERATION, encode_meta(), payload, batch=1, whole=True)  # type: ignore[arg-type]
    expected = payload.tobytes() if isinstance(payload, np.ndarray | np.generic) else bytes(payload)  # type: ignore[call-overload]
    assert record_content(tmp_path)[0][-1] == expected


def test_an_array_that_is_not_contiguous_is_refused_and_not_journaled(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        before = writer.next_lsn
        with pytest.raises(ValueError, match="contiguous"):
            writer.append(Kind.OPERATION, encode_meta(), np.arange(10)[::2], batch=1, whole=True)
        assert writer.next_lsn == before


def test_a_frame_says_when_and_where_it_was_written(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        lsn = put(writer, b"abc")
    found = scan_of(tmp_path)
    frame = next(frame for frame in frames(STORAGE, found) if frame.lsn == lsn)
    assert (frame.kind, frame.flags, frame.segment) == (Kind.OPERATION, WHOLE, 1)
    assert frame.payload.tobytes() == b"abc"
    assert frame.offset % 8 == 0
    assert found.created <= frame.time <= found.modified


def test_records_after_an_lsn_leave_out_what_a_checkpoint_has(tmp_path: Path) -> None:
    with begin(tmp_path, segment_bytes=400) as writer:
        lsns = [put(writer, sync=True) for _ in range(12)]
    found = scan_of(tmp_path)
    assert len(found.segments) > 2
    for after in range(found.last_lsn + 1):
        assert [frame.lsn for frame in records(STORAGE, found, after)] == [lsn for lsn in lsns if lsn > after]


def test_control_records_come_back_with_the_last_checkpoint_only(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        put(writer)
        writer.append(Kind.CHECKPOINT, encode_meta(applied=3))
        put(writer)
        writer.append(Kind.CHECKPOINT, encode_meta(applied=5))
        writer.append(Kind.SEAL, encode_meta(time=1))
    found = scan_of(tmp_path)
    assert [control.kind for control in found.control] == [Kind.SESSION, Kind.CHECKPOINT, Kind.SEAL]
    assert found.last(Kind.CHECKPOINT).fields == {"applied": 5}  # type: ignore[union-attr]
    assert found.last(Kind.SESSION, Kind.SEAL).kind is Kind.SEAL  # type: ignore[union-attr]
    assert found.last(Kind.COMMIT) is None


def test_a_batch_may_go_on_over_several_segments(tmp_path: Path) -> None:
    with begin(tmp_path, segment_bytes=300) as writer:
        put_batch(writer, *[b"x" * 50] * 10)
    assert len(scan_of(tmp_path).segments) > 2
    assert len(record_content(tmp_path)) == 10


def test_a_batch_without_its_end_does_not_exist(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        lsn = put(writer)
        put_batch(writer, b"a", b"b", end=False)
        writer.sync()
    found = scan_of(tmp_path)
    assert found.open_batch is not None
    assert (found.open_batch.number, found.open_batch.first_lsn, found.open_batch.records) == (2, lsn + 1, 2)
    assert found.records == 1
    assert [frame.lsn for frame in records(STORAGE, found)] == [lsn]


def test_an_empty_journal_has_nothing_and_nothing_wrong(tmp_path: Path) -> None:
    JournalWriter.create(STORAGE, tmp_path, SESSION_ID, JournalOptions()).close()
    found = scan_of(tmp_path)
    assert (found.last_lsn, found.frames, found.damage, found.torn) == (0, 0, (), None)
    assert list(frames(STORAGE, found)) == []


def test_a_payload_stays_readable_while_it_is_held(tmp_path: Path) -> None:
    with begin(tmp_path, segment_bytes=200) as writer:
        for n in range(5):
            put(writer, bytes([n]) * 10)
    held: list[Frame] = list(records(STORAGE, scan_of(tmp_path)))
    assert [bytes(frame.payload) for frame in held] == [bytes([n]) * 10 for n in range(5)]


def test_the_memory_of_a_scan_does_not_grow_with_the_number_of_frames(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        for _ in range(20_000):
            put(writer)
    scan(STORAGE, tmp_path)
    tracemalloc.start()
    scan(STORAGE, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 << 20
