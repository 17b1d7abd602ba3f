"""What libhdf5 sees of the staging file, what the disk has of it, and which of its slots counts."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeh5.storage.pager import Pager, read_redo
from safeh5.storage.redo import PAGE, Redo, latest
from safeh5.storage.snapshot import SnapshotFile
from tests.storage.pagers import OTHER, SESSION, Calm, Run, got, put

# --- what libhdf5 sees, and what the disk has ------------------------------------------------------


OFFSET = st.integers(0, 5 * PAGE + 7) | st.sampled_from([0, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE])


STEP = st.one_of(
    st.tuples(st.just("write"), OFFSET, st.integers(1, 2 * PAGE + 3)),
    st.tuples(st.just("truncate"), OFFSET, st.just(0)),
    st.tuples(st.just("read"), OFFSET, st.integers(0, 2 * PAGE + 3)),
    st.tuples(st.just("checkpoint"), st.just(0), st.just(0)),
    st.tuples(st.just("killed"), st.just(0), st.just(0)),
)


class Model:
    """What the pager must show: bytes, an end, and what was there at the last checkpoint."""

    def __init__(self) -> None:
        self.data = bytearray(20 * PAGE)
        self.end = self.floor = 0
        self.saved: bytes | None = None

    def write(self, offset: int, data: bytes) -> None:
        self.data[offset : offset + len(data)] = data
        self.end = max(self.end, offset + len(data))

    def truncate(self, size: int) -> None:
        # Below the floor the bytes stay where they are, behind the end: HDF5 asks for none of them.
        cut = max(size, self.floor)
        self.data[cut:] = bytes(len(self.data) - cut)
        self.end = size

    def checkpoint(self) -> None:
        self.go_back(bytes(self.data[: self.end]))

    def go_back(self, saved: bytes) -> None:
        self.saved, self.end = saved, len(saved)
        self.floor = -(-len(saved) // PAGE) * PAGE
        self.data[:] = saved.ljust(len(self.data), b"\0")


@settings(max_examples=150)
@given(steps=st.lists(STEP, max_size=25))
def test_reads_see_every_write_and_the_disk_only_checkpoints(
    steps: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, storage, model = tmp_path_factory.mktemp("pager") / "staging.h5", Calm(), Model()
    pager = Pager.create(storage, path)
    for number, (step, offset, size) in enumerate(steps):
        if step == "write":
            data = bytes([number + 1]) * size
            put(pager, offset, data)
            model.write(offset, data)
        elif step == "truncate":
            pager.truncate(offset)
            model.truncate(offset)
        elif step == "checkpoint":
            pager.checkpoint(storage, SESSION, number)
            model.checkpoint()
            assert path.read_bytes() == model.saved and pager.dirty_bytes == 0
        elif step == "killed" and model.saved is not None:
            pager.close()
            redo = read_redo(storage, path, SESSION)
            assert redo is not None
            pager = Pager.restore(storage, path, redo)
            model.go_back(model.saved)
            assert path.read_bytes() == model.saved
        assert pager.error is None
        assert pager.size == model.end and pager.peek(0, pager.size) == model.data[: model.end]
        # Behind the end, but below the floor, is nothing that HDF5 reads.
        size = max(0, min(size, model.end - offset))
        assert got(pager, offset, size) == model.data[offset : offset + size]
        if model.saved is not None:
            assert path.read_bytes()[: len(model.saved)] == model.saved
    pager.close()


def test_a_file_that_ends_within_a_page_keeps_that_page_whole(run: Run) -> None:
    put(run.pager, 0, b"a" * (PAGE + 100))
    run.checkpoint()
    put(run.pager, PAGE + 100, b"b" * PAGE)  # half of it below the floor, half behind
    assert run.path.read_bytes()[: PAGE + 100] == b"a" * (PAGE + 100)
    assert got(run.pager, PAGE, 300) == b"a" * 100 + b"b" * 200
    run.checkpoint()
    assert run.path.read_bytes() == b"a" * (PAGE + 100) + b"b" * PAGE


def test_a_reader_sees_the_checkpoint_while_its_pages_are_being_placed(run: Run) -> None:
    put(run.pager, 0, b"a" * (6 * PAGE))
    run.checkpoint()
    put(run.pager, PAGE, b"b" * (2 * PAGE))
    run.checkpoint()
    half = bytearray(run.path.read_bytes())
    half[2 * PAGE : 3 * PAGE] = b"a" * PAGE
    run.path.write_bytes(half)
    snapshot = SnapshotFile.of(Calm(), run.path, SESSION)
    assert snapshot is not None and not snapshot.stale
    with snapshot:
        data = bytearray(6 * PAGE)
        snapshot.seek(0, 0)
        snapshot.readinto(data)
        assert data == b"a" * PAGE + b"b" * (2 * PAGE) + b"a" * (3 * PAGE)
        put(run.pager, 0, b"c")
        assert not snapshot.stale
        run.checkpoint()
        assert snapshot.stale


# --- slots -----------------------------------------------------------------------------------------


@given(
    sequence=st.integers(0, 2**64 - 1),
    applied=st.integers(0, 2**64 - 1),
    end=st.integers(0, 2**64 - 1),
    pages=st.dictionaries(st.integers(0, 2**64 - 1), st.binary(min_size=PAGE, max_size=PAGE), max_size=3),
)
def test_a_slot_gives_back_what_was_packed(
    sequence: int, applied: int, end: int, pages: dict[int, bytes]
) -> None:
    redo = Redo(SESSION, sequence, applied, end, pages)
    assert Redo.unpack(b"".join(redo.pack())) == redo
    assert Redo.unpack(b"".join(redo.pack()) + b"what a longer one left behind") == redo


def test_any_bit_flipped_in_a_slot_makes_the_other_one_count() -> None:
    older = Redo(SESSION, 1, 10, PAGE, {})
    newer = Redo(SESSION, 2, 20, 2 * PAGE, {1: bytes(range(256)) * 16})
    intact, slot = b"".join(older.pack()), bytearray(b"".join(newer.pack()))
    assert latest([intact, bytes(slot)], SESSION) == newer
    for bit in range(8 * len(slot)):
        slot[bit // 8] ^= 1 << bit % 8
        if bit < 8 * 200 or bit % 97 == 0:
            assert latest([bytes(slot), intact], SESSION) == older, bit
        slot[bit // 8] ^= 1 << bit % 8


def test_a_slot_cut_anywhere_makes_the_other_one_count() -> None:
    older = b"".join(Redo(SESSION, 1, 10, PAGE, {}).pack())
    newer = b"".join(Redo(SESSION, 2, 20, PAGE, {1: bytes(PAGE), 0: bytes(PAGE)}).pack())
    for size in range(len(newer)):
        redo = latest([newer[:size], older], SESSION)
        assert redo is not None and redo.sequence == 1, size


def test_the_slot_of_another_session_does_not_count(run: Run) -> None:
    put(run.pager, 0, b"a" * PAGE)
    run.checkpoint()
    assert read_redo(run.storage, run.path, OTHER) is None


def test_a_file_that_lost_its_end_is_no_checkpoint(run: Run) -> None:
    put(run.pager, 0, b"a" * (4 * PAGE))
    run.checkpoint()
    os.truncate(run.path, 3 * PAGE)
    assert read_redo(run.storage, run.path, SESSION) is None
