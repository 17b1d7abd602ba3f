"""The workloads of the states mode: small, so that every state of each can be built.

Batches and the old file are those of `safeh5.testing.world`; item i of a
stream is filled with i. So that a state is whole is told from its names, by
plain h5py, and not by what safeh5 would make of it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

import safeh5
from safeh5 import MicroDataGroup, MicroDataset
from safeh5.operations.model import CreateGroup
from safeh5.testing.crash import DeadlyStorage, die
from safeh5.testing.faults import FaultyStorage, disk_full
from safeh5.testing.states.workload import Life, Workload
from safeh5.testing.world import make_old, make_spread, values, write_batch

TARGET: Final = "run.h5"
_ITEM: Final = (3,)

Prepare = Callable[[Path], None]

LIVES: dict[str, tuple[Life, ...]] = {}
WORKLOADS: dict[str, Workload] = {}


def _add(name: str, *lives: Life, old: bool | Prepare = False, from_checkpoint: bool = False) -> None:
    LIVES[name] = lives
    WORKLOADS[name] = Workload(
        name,
        ("workload", name),
        len(lives),
        prepare=_old if old is True else old or None,
        look=whole,
        from_checkpoint=from_checkpoint,
    )


def _old(directory: Path) -> None:
    make_old(directory / TARGET)
    os.chmod(directory / TARGET, 0o640)


def whole(file: h5py.File) -> None:
    """Look whether everything in a file is whole, with plain h5py."""
    for name in file:
        if name == "frames":
            found = file[name][()]
            expected = np.repeat(np.arange(len(found)), _ITEM[0]).reshape(found.shape)
            np.testing.assert_array_equal(found, expected)
        elif name == "tree":
            assert set(file[name]) == {"energy", "labels"}, "half of a tree"
            np.testing.assert_array_equal(file[name]["energy"][()], np.arange(8.0))
            assert file[name]["energy"].attrs["units"] == "eV"
        elif name == "old":
            assert file["old"].attrs["kept"] == "yes"
            np.testing.assert_array_equal(file["old/data"][()], np.arange(10))
        elif name[0] in "gp":
            assert name[0] == "g" or (file[name][()] == int(name[1:])).all()
            assert name[0] == "p" or all(isinstance(file[name][below], h5py.Group) for below in file[name])
        elif name.startswith("h") and not (len(file[name]) and np.any(file[name]["data"][()])):
            continue  # made by h5py's calls, each a batch of its own
        else:
            np.testing.assert_array_equal(file[name]["data"][()], values(int(name[1:])), name)


# --- what sessions do -----------------------------------------------------------------


def _batches(numbers: range, checkpoints: tuple[int, ...] = (), **options: Any) -> Life:
    """Batches, checkpoints behind some, commit."""

    def life() -> None:
        with safeh5.open(TARGET, **options) as session:
            for number in numbers:
                write_batch(session, number)
                if number in checkpoints:
                    session.checkpoint()

    return life


def _tree(**options: Any) -> Life:
    """Two trees, the second merged into the first."""

    def life() -> None:
        with safeh5.open(TARGET, **options) as session:
            tree = MicroDataGroup("tree", attrs={"machine_id": "x", "timestamp": "then"})
            tree.add_children(MicroDataset("energy", np.arange(8.0), attrs={"units": "eV"}))
            tree.add_children(MicroDataset("labels", np.array([b"a", b"bc"])))
            root = MicroDataGroup("/")
            root.add_children(tree)
            session.write(root)
            write_batch(session, 1)

    return life


def _stream(items: int, every: int, pause: float = 0.0, **options: Any) -> Life:
    """Items one by one, a sync behind every few, commit."""

    def life() -> None:
        with safeh5.open(TARGET, **options) as session:
            frames = session.stream("/frames", shape=_ITEM, dtype="<i4")
            for number in range(items):
                frames.append(np.full(_ITEM, number, "<i4"))
                if every and number % every == every - 1:
                    session.sync()
                time.sleep(pause)

    return life


def _rewriting() -> None:
    """Checkpoints that place pages: old groups and values change below the floor."""
    with safeh5.open(TARGET) as session:
        for number in range(3):
            write_batch(session, number)
            session.checkpoint()
        frames = session.stream("/frames", shape=_ITEM, dtype="<i4", chunks=(2, *_ITEM))
        for number in range(4):
            frames.append(np.full(_ITEM, number, "<i4"))
            session.checkpoint()


def _far_apart() -> None:
    """Checkpoints that each rewrite other pages, so that none covers for the one before."""
    with safeh5.open(TARGET) as session:
        for number in range(6):
            session.record(CreateGroup(path=f"/g{number % 3}/s{number}"))
            session.checkpoint()


def _spread(directory: Path) -> None:
    make_spread(directory / TARGET)


def _overwriting() -> None:
    """Mode "w" over a file that exists."""
    with safeh5.open(TARGET, "w") as session:
        write_batch(session, 0)
        write_batch(session, 1)


def _coming_and_going() -> None:
    """Three sessions in a row."""
    for number in range(3):
        with safeh5.open(TARGET) as session:
            write_batch(session, number)


def _cancelling() -> None:
    """Batches that are cancelled, between others."""
    with safeh5.open(TARGET, durability="flush") as session:
        for number in range(4):
            try:
                with session.batch():
                    write_batch(session, number)
                    if number % 2:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                continue
        session.sync()
        write_batch(session, 4)


def _rolling_back(keep: bool) -> Life:
    def life() -> None:
        session = safeh5.open(TARGET)
        write_batch(session, 0)
        session.checkpoint()
        write_batch(session, 1)
        session.rollback(keep=keep)
        with safeh5.open(TARGET) as second:
            write_batch(second, 2)

    return life


def _suspending() -> None:
    session = safeh5.open(TARGET)
    write_batch(session, 0)
    session.suspend()


def _failing() -> None:
    """An exception in the middle of an acquisition: it suspends, and is gone on with."""
    try:
        with safeh5.open(TARGET, durability="flush") as session:
            write_batch(session, 0)
            write_batch(session, 1)
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    _resuming(range(2, 3))()


def _resuming(numbers: range, **options: Any) -> Life:
    return _batches(numbers, resume=True, **options)


def _dying(checkpoint: bool = True, **options: Any) -> Life:
    """Batches, and a death in the middle of the next."""

    def life() -> None:
        session = safeh5.open(TARGET, **options)
        for number in range(3):
            write_batch(session, number)
            if checkpoint and number == 1:
                session.checkpoint()
        with session.batch():
            write_batch(session, 3)
            die()

    return life


def _recovering(action: str = "replay", nth: int | None = None, **options: Any) -> Life:
    """Recovery; with `nth`, one that dies at its nth effect."""

    def life() -> None:
        storage = None if nth is None else DeadlyStorage(nth, "after")
        safeh5.recover(TARGET, action, storage=storage, **options)

    return life


def _full_disk() -> None:
    """No room, twice: in the middle of a frame, and in the file under construction."""
    storage = FaultyStorage(
        disk_full("append", nth=12, times=1, short=40),
        disk_full("write_at", nth=14, times=2, short=10),
        disk_full("create", nth=4, times=1),
    )
    with safeh5.open(TARGET, segment_bytes=1500, storage=storage) as session:
        for number in range(4):
            for _ in range(3):
                try:
                    write_batch(session, number)
                except safeh5.errors.FreeSpaceError:
                    continue
                break
            if number == 1:
                with contextlib.suppress(safeh5.errors.FreeSpaceError):
                    session.checkpoint()


def _through_h5py() -> None:
    """A program written for h5py."""
    from safeh5.pycroscopy import ioHDF5

    writer = ioHDF5(TARGET)
    tree = MicroDataGroup("tree", attrs={"machine_id": "x", "timestamp": "then"})
    tree.add_children(MicroDataset("energy", np.arange(8.0), attrs={"units": "eV"}))
    tree.add_children(MicroDataset("labels", np.array([b"a", b"bc"])))
    root = MicroDataGroup("/")
    root.add_children(tree)
    writer.writeData(root)
    file = writer.file
    for number in range(3):
        group = file.create_group(f"h{number}")
        group.create_dataset("data", data=values(number))
        writer.flush()
    writer.close()


def _file() -> None:
    """`safeh5.File`: changed, flushed and closed as an `h5py.File`."""
    with safeh5.File(TARGET, "a") as file:
        for number in range(2):
            group = file.create_group(f"h{number}")
            group["data"] = values(number)
            file.flush()
        file["h0"].attrs["late"] = 1


def _live_reader() -> None:
    """A live view that is read, between checkpoints and while they place pages."""
    with safeh5.open(TARGET) as session:
        write_batch(session, 0)
        session.checkpoint()
        with safeh5.live(TARGET) as view:
            for number in range(1, 4):
                assert set(view) >= {"b0"}
                write_batch(session, number)
                session.checkpoint()
                if number == 2:
                    view.refresh()
    assert number == 3


_add("tree", _tree())
_add("tree over old", _tree(), old=True)
_add("tree, flush", _tree(durability="flush"), old=True)
_add("stream, record", _stream(5, 0))
_add("stream, group commit", _stream(9, 3, durability="flush"))
_add("stream, interval", _stream(8, 4, pause=0.004, durability="interval", interval_ms=6), old=True)
_add("segments", _batches(range(5), segment_bytes=900))
_add("segments, flush", _batches(range(4), segment_bytes=900, durability="flush"), old=True)
_add("checkpoints", _rewriting, old=True, from_checkpoint=True)
_add("checkpoints far apart", _far_apart, old=_spread, from_checkpoint=True)
_add("checkpoints, replayed", _batches(range(4), (0, 2), segment_bytes=1200), old=True)
_add("pruning", _batches(range(7), journal_limit=1600), old=True)
_add("overwrite", _overwriting, old=True)
_add("sessions in a row", _coming_and_going)
_add("cancelled batches", _cancelling)
_add("roll back", _rolling_back(keep=False), old=True)
_add("roll back, kept", _rolling_back(keep=True), old=True)
_add("suspend and resume", _suspending, _resuming(range(1, 3)), old=True)
_add("exception and resume", _failing)
_add("death and resume", _dying(), _resuming(range(3, 5)), old=True, from_checkpoint=True)
_add("death and recovery", _dying(), _recovering(), old=True)
_add(
    "unsynced death and recovery",
    _dying(durability="flush", segment_bytes=900),
    _recovering(),
    old=True,
    from_checkpoint=True,
)
_add("death and roll back", _dying(False), _recovering("rollback"), old=True)
_add("death in recovery", _dying(durability="flush"), _recovering(nth=12), _recovering(), old=True)
_add("applier beside", _batches(range(4), (1,), applier="process"), old=True)
_add("applier beside, stream", _stream(6, 3, applier="process", durability="flush"))
_add("full disk", _full_disk)
_add("h5py objects", _through_h5py)
_add("safeh5.File", _file, old=True)
_add("live reader beside", _live_reader, old=True, from_checkpoint=True)
