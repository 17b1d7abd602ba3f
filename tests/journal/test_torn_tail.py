"""A torn tail is what was never acknowledged: dropped, reported, and never called damage."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeh5.journal import Kind
from safeh5.journal.format import encode_meta
from tests.journal.building import (
    Places,
    begin,
    content,
    overwrite,
    put,
    put_batch,
    record_content,
    resume,
    scan_of,
    segment,
)


def test_every_truncation_of_the_last_segment_leaves_a_prefix_of_whole_frames(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        for n in range(4):
            put(writer, b"x" * n, sync=n % 2 == 0)
        put_batch(writer, b"one", b"two")
    before, path = content(tmp_path), segment(tmp_path)
    whole = path.read_bytes()
    places = Places.in_journal(tmp_path)
    for length in range(len(whole) - 1, 127, -1):
        path.write_bytes(whole[:length])
        found = scan_of(tmp_path)
        kept = [lsn for lsn, (_, _, end) in places.of.items() if end <= length]
        assert found.damage == ()
        assert content(tmp_path) == before[: len(kept)]
        torn = length - max((places.of[lsn][2] for lsn in kept), default=128)
        assert (found.torn.size if found.torn else 0) == torn
        if found.torn:
            assert (found.torn.segment, found.torn.first_lsn) == (1, len(kept) + 1)


def test_frames_behind_a_hole_in_the_unsynced_part_are_dropped_and_counted(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        acknowledged = put(writer, sync=True)
        lost = put(writer, b"y" * 500)
        for _ in range(3):
            put(writer)
    _, start, end = Places.in_journal(tmp_path).of[lost]
    overwrite(segment(tmp_path), start, bytes(end - start))
    found = scan_of(tmp_path)
    assert found.damage == ()
    assert found.torn is not None
    assert (found.torn.offset, found.torn.first_lsn, found.torn.whole_frames) == (start, lost, 3)
    assert found.last_lsn == acknowledged + 1  # the SYNC mark
    assert found.durable_lsn == acknowledged


def test_a_tail_of_zeros_is_a_torn_tail(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        put(writer, sync=True)
    before = content(tmp_path)
    with segment(tmp_path).open("ab") as file:
        file.write(bytes(8192))
    found = scan_of(tmp_path)
    assert found.damage == ()
    assert found.torn is not None
    assert (found.torn.size, found.torn.whole_frames) == (8192, 0)
    assert content(tmp_path) == before


def test_a_torn_tail_of_an_earlier_segment_is_ignored_after_a_resume(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        put(writer, b"kept", sync=True)
    before = record_content(tmp_path)
    with segment(tmp_path).open("ab") as file:
        file.write(b"half a frame, and more of it")
    size = segment(tmp_path).stat().st_size
    with resume(tmp_path) as writer:
        put(writer, b"new", sync=True)
    found = scan_of(tmp_path)
    assert (found.damage, found.torn) == ((), None)
    assert record_content(tmp_path)[:-1] == before
    assert segment(tmp_path).stat().st_size == size, "a resume must not shorten what it found"


@st.composite
def workloads(draw: st.DrawFn) -> list[tuple[str, int]]:
    """Steps of a session: a batch of so many records, a sync, a seal."""
    step = st.tuples(st.sampled_from(["put", "put", "batch", "sync", "seal"]), st.integers(0, 3000))
    return draw(st.lists(step, min_size=1, max_size=10))


@given(workloads(), st.sampled_from([512, 4096]), st.data())
@settings(max_examples=120)
def test_what_was_acknowledged_survives_any_loss_of_unsynced_blocks(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], block: int, data: st.DataObject
) -> None:
    """A power cut: any blocks of the part not yet synced are lost, and the file has any length."""
    directory = tmp_path_factory.mktemp("j")
    path = segment(directory)
    with begin(directory) as writer:
        acknowledged = writer.durable_lsn
        synced = path.stat().st_size - 64  # the SYNC mark at the end is not synced itself
        for what, size in steps:
            if what == "put":
                put(writer, b"p" * size)
            elif what == "batch":
                put_batch(writer, b"a" * size, b"b")
            else:
                if what == "seal":
                    writer.append(Kind.SEAL, encode_meta(time=0))
                before = path.stat().st_size
                if writer.sync() > acknowledged:
                    synced, acknowledged = before, writer.durable_lsn
    written, all_frames = path.read_bytes(), content(directory)
    survivor = bytearray(written[: data.draw(st.integers(synced, len(written)), label="length")])
    for start in range(synced // block * block, len(survivor), block):
        if data.draw(st.booleans(), label=f"block {start} is lost"):
            low, high = max(start, synced), min(start + block, len(survivor))
            survivor[low:high] = bytes(high - low)
    path.write_bytes(survivor)
    found = scan_of(directory)
    assert found.damage == ()
    assert found.last_lsn >= acknowledged
    assert content(directory) == all_frames[: found.last_lsn]
