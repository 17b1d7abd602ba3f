"""The staging file on disk is its last checkpoint: after a power cut anywhere, and to anyone who opens it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from safeh5.storage.pager import Pager, forget_checkpoint
from safeh5.storage.redo import PAGE
from tests.storage.pagers import Run, put, restored, written
from tests.storage.powercut import Event, RecordingStorage, disk_of, states

# --- a power cut -----------------------------------------------------------------------------------


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
            assert restored(written(disk, ground, run.path.name)) == run.new, (cut, which)


# --- a staging file begun anew ---------------------------------------------------------------------


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
            content = restored(written(disk, ground, run.path.name))
            assert content in (run.new, None), f"cut after {cut} effects, with {which}"
            found.add(content)
    assert found == {run.new, None}
