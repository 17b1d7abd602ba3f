"""The staging file on disk is its last checkpoint: after a power cut anywhere, and to anyone who opens it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeh5.applier.superblock import clear_open_mark, lookup3
from safeh5.storage import Storage
from safeh5.storage.pager import Pager, forget_checkpoint, read_redo, slot_path
from safeh5.storage.redo import PAGE, SLOTS, Redo, latest
from safeh5.storage.snapshot import SnapshotFile
from tests.storage.powercut import Disk, Event, RecordingStorage, disk_of, states

SESSION = bytes(range(16))
OTHER = bytes(16)


class Calm(Storage):
    """The real disk, without waiting for it."""

    def sync_directory(self, path: object) -> None:
        pass

    def sync_path(self, path: object) -> None:
        pass


def seen(pager: Pager) -> bytes:
    """The file as libhdf5 sees it."""
    return pager.peek(0, pager.size)


def put(pager: Pager, offset: int, data: bytes) -> None:
    """Write as libhdf5 does."""
    pager.seek(offset, 0)
    pager.write(data)


def got(pager: Pager, offset: int, size: int) -> bytes:
    """Read as libhdf5 does."""
    data = bytearray(size)
    pager.seek(offset, 0)
    pager.readinto(data)
    return bytes(data)


def restored(path: Path, storage: Storage | None = None) -> bytes | None:
    """The bytes of the last checkpoint, as recovery finds it; None for none."""
    storage = storage or Calm()
    redo = read_redo(storage, path, SESSION)
    if redo is None:
        return None
    with Pager.restore(storage, path, redo):
        pass
    return path.read_bytes()


# --- a power cut ----------------------------------------------------------------------------------


class Run:
    """A pager whose disk is recorded from one checkpoint to the end of the next."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "staging.h5"
        self.storage = RecordingStorage()
        self.pager = Pager.create(self.storage, self.path)
        self.applied = 0
        self.old: bytes | None = None
        self.new = b""
        self.base: Disk = {}

    def checkpoint(self) -> None:
        self.applied += 1
        self.new = seen(self.pager)
        self.pager.checkpoint(self.storage, SESSION, self.applied)
        assert self.path.read_bytes() == self.new

    def settle(self) -> None:
        """What follows is recorded."""
        self.checkpoint()
        self.old, self.base = self.new, disk_of(self.path.parent)
        self.storage.events.clear()

    def cut_everywhere(self, ground: Path) -> set[str]:
        """Cut the power after each effect; the file is the old checkpoint or the new, as it must be.

        Returns which were found.
        """
        found, events = set(), self.storage.events
        slot = slot_path(self.path, self.applied % SLOTS)
        for cut in range(len(events) + 1):
            sure = _is_decided(events[:cut], slot)
            for which, disk in states(self.base, events[:cut]):
                content = restored(_written(disk, ground, self.path.name))
                where = f"cut after {cut} of {len(events)} effects, with {which}"
                assert content in ((self.new,) if sure else (self.new, self.old)), where
                found.add("new" if content == self.new else "old")
        return found


def _is_decided(events: list[Event], slot: str) -> bool:
    """Whether the redo slot is whole, and durable under its name."""
    if Event("sync", slot) not in events:
        return False
    after = events[events.index(Event("sync", slot)) :]
    return Event("create", slot) not in events or any(event.effect == "sync_directory" for event in after)


def _written(disk: Disk, ground: Path, name: str) -> Path:
    for path in ground.iterdir():
        path.unlink()
    for path, content in disk.items():
        (ground / os.path.basename(path)).write_bytes(content)
    return ground / name


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "data").mkdir()
    return Run(tmp_path / "data")


@pytest.fixture
def ground(tmp_path: Path) -> Path:
    (tmp_path / "after").mkdir()
    return tmp_path / "after"


def grow(run: Run) -> None:
    """Pages changed, some of them in part, and the file longer."""
    for page in (0, 2, 5):
        put(run.pager, page * PAGE + 100, b"n" * 3000)
    put(run.pager, run.pager.size, b"behind" * 3000)
    put(run.pager, 3 * PAGE - 10, b"over the edge of a page")


def grow_a_little(run: Run) -> None:
    """The end moves within its page, which is below the floor."""
    put(run.pager, run.pager.size, b"x" * 50)
    put(run.pager, 10, b"y")


def shrink(run: Run) -> None:
    """The file becomes shorter, and a page that stays changes."""
    put(run.pager, PAGE, b"s" * 600)
    run.pager.truncate(3 * PAGE + 17)


def shrink_and_grow(run: Run) -> None:
    """Cut below the floor, then longer than before."""
    put(run.pager, 7 * PAGE, b"t" * PAGE)
    run.pager.truncate(2 * PAGE + 1)
    put(run.pager, 2 * PAGE + 1, b"u" * (8 * PAGE))


def change_nothing(run: Run) -> None:
    """A checkpoint without a dirty page."""


def only_behind(run: Run) -> None:
    """Raw data only."""
    put(run.pager, run.pager.size + 3 * PAGE, b"far behind")


@pytest.mark.parametrize("checkpoints", [1, 2, 3])
@pytest.mark.parametrize(
    "change", [grow, grow_a_little, shrink, shrink_and_grow, change_nothing, only_behind],
    ids=lambda function: function.__name__,
)  # fmt: skip
def test_the_power_cut_at_any_effect_leaves_the_old_checkpoint_or_the_new_one(
    run: Run, ground: Path, change: Callable[[Run], None], checkpoints: int
) -> None:
    put(run.pager, 0, os.urandom(8 * PAGE + 1234))
    for _ in range(checkpoints):  # the third is the first that writes over a slot
        put(run.pager, 4 * PAGE + 7, os.urandom(900))
        run.settle()
    change(run)
    run.checkpoint()
    assert run.cut_everywhere(ground) == ({"new"} if run.old == run.new else {"old", "new"})


def test_the_power_cut_in_the_first_checkpoint_leaves_it_or_none(run: Run, ground: Path) -> None:
    run.old, run.base = None, {}
    run.storage.events.insert(0, Event("create", str(run.path)))
    put(run.pager, 0, os.urandom(3 * PAGE + 5))
    run.checkpoint()
    assert run.cut_everywhere(ground) == {"old", "new"}


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_the_power_cut_while_hdf5_works_leaves_a_file_that_hdf5_wrote(
    run: Run, ground: Path, libver: str
) -> None:
    with h5py.File("shown", "w", driver="fileobj", fileobj=run.pager, libver=libver) as file:
        config = file.id.get_mdc_config()
        config.evictions_enabled = False
        config.incr_mode = config.flash_incr_mode = config.decr_mode = 0
        file.id.set_mdc_config(config)
        data = file.create_dataset("d", (4, 3000), "u1", chunks=(1, 3000), maxshape=(None, 3000))
        for _ in range(2):
            file.flush()
            run.settle()
        data.resize((6, 3000))
        data[...] = 7
        file.create_group("g").attrs["x"] = "text" * 30
        file.flush()
        run.checkpoint()
        assert run.pager.error is None
        assert run.cut_everywhere(ground) == {"old", "new"}


@pytest.mark.parametrize("change", [grow, shrink], ids=lambda function: function.__name__)
def test_a_checkpoint_that_has_returned_is_in_the_file_without_its_slots(
    run: Run, change: Callable[[Run], None]
) -> None:
    """A commit renames the file and leaves the slots."""
    put(run.pager, 0, os.urandom(8 * PAGE))
    run.settle()
    change(run)
    run.checkpoint()
    for which, disk in states(run.base, run.storage.events):
        assert disk[str(run.path)] == run.new, which


def test_a_restored_checkpoint_can_itself_be_cut_anywhere(run: Run, ground: Path) -> None:
    put(run.pager, 0, os.urandom(6 * PAGE))
    run.settle()
    before = run.path.read_bytes()
    grow(run)
    run.checkpoint()
    run.path.write_bytes(before + run.new[len(before) :])  # the slot is on disk, nothing was placed
    base, storage = disk_of(run.path.parent), RecordingStorage()
    assert restored(run.path, storage) == run.new
    for cut in range(len(storage.events) + 1):
        for which, disk in states(base, storage.events[:cut]):
            assert restored(_written(disk, ground, run.path.name)) == run.new, (cut, which)


# --- what libhdf5 sees, and what the disk has -----------------------------------------------------

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


# --- slots ----------------------------------------------------------------------------------------


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


# --- the mark "open for writing" ------------------------------------------------------------------


class InMemory:
    """Bytes that can be patched."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)

    def peek(self, offset: int, size: int) -> bytes:
        return bytes(self.data[offset : offset + size])

    def patch(self, offset: int, data: bytes) -> None:
        self.data[offset : offset + len(data)] = data


@pytest.mark.parametrize("userblock", [0, 512, 4096])
@pytest.mark.parametrize("libver", ["v108", "v110", "v112", "latest"])
def test_our_checksum_is_the_one_that_hdf5_wrote(tmp_path: Path, libver: str, userblock: int) -> None:
    with h5py.File(tmp_path / "f", "w", libver=libver, userblock_size=userblock) as file:
        file["x"] = 1
    block = (tmp_path / "f").read_bytes()[userblock : userblock + 48]
    assert block[8] in (2, 3)
    assert int.from_bytes(block[44:], "little") == lookup3(block[:44])


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"", 0xDEADBEEF), (b"Four score and seven years ago", 0x17770551)],
)
def test_the_checksum_gives_the_values_that_its_author_published(data: bytes, value: int) -> None:
    assert lookup3(data) == value


@pytest.mark.parametrize("userblock", [0, 1024])
def test_a_marked_file_without_its_mark_is_the_file_that_was_closed(tmp_path: Path, userblock: int) -> None:
    with h5py.File(tmp_path / "f", "w", libver="latest", userblock_size=userblock) as file:
        file["x"] = 1
        file.flush()
        marked = (tmp_path / "f").read_bytes()
    assert marked[userblock + 11] != 0
    patched = InMemory(marked)
    clear_open_mark(patched, userblock)
    superblock = slice(userblock, userblock + 48)
    assert patched.data[superblock] == (tmp_path / "f").read_bytes()[superblock]


@pytest.mark.parametrize("content", [b"", b"\x89HDF", b"no HDF5 at all" * 10])
def test_what_is_no_superblock_is_left_alone(content: bytes) -> None:
    file = InMemory(content)
    clear_open_mark(file, 0)
    assert file.data == content


def test_an_old_superblock_is_left_alone(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f", "w", libver="earliest") as file:
        file["x"] = np.arange(3)
    content = (tmp_path / "f").read_bytes()
    patched = InMemory(content)
    clear_open_mark(patched, 0)
    assert patched.data == content


# --- a staging file begun anew --------------------------------------------------------------------


@pytest.mark.parametrize("checkpoints", [1, 2, 3])
def test_the_power_cut_while_a_checkpoint_is_forgotten_leaves_it_whole_or_none(
    run: Run, ground: Path, checkpoints: int
) -> None:
    for _ in range(checkpoints):
        put(run.pager, 0, os.urandom(3 * PAGE))
        run.checkpoint()
    run.settle()
    forget_checkpoint(run.storage, run.path)
    put(Pager.create(run.storage, run.path), 0, b"the next file" * PAGE)
    found, events = set(), run.storage.events
    for cut in range(len(events) + 1):
        for which, disk in states(run.base, events[:cut]):
            content = restored(_written(disk, ground, run.path.name))
            assert content in (run.new, None), f"cut after {cut} effects, with {which}"
            found.add(content)
    assert found == {run.new, None}
