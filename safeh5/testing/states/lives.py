"""What the processes of the workloads do: sessions of all kinds, each small.

Batches are those of `safeh5.testing.world`; item i of a stream is filled with i.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, Final

import numpy as np

import safeh5
from safeh5 import MicroDataGroup, MicroDataset
from safeh5.operations.model import CreateGroup
from safeh5.testing.crash import DeadlyStorage, die
from safeh5.testing.faults import FaultyStorage, disk_full
from safeh5.testing.small_disk import SmallDisk
from safeh5.testing.states.workload import Life
from safeh5.testing.world import values, write_batch

TARGET: Final = "run.h5"
ITEM: Final = (3,)
LARGE_ITEM: Final = (80 * 1024,)
"""So large that its payload is not copied on its way into the journal."""
LARGE: Final = 300_000
"""Bytes of a record that is large enough to be journaled by a thread."""


def batches(numbers: range, checkpoints: tuple[int, ...] = (), **options: Any) -> Life:
    """Batches, checkpoints behind some, commit."""

    def life() -> None:
        with safeh5.open(TARGET, **options) as session:
            for number in numbers:
                write_batch(session, number)
                if number in checkpoints:
                    session.checkpoint()

    return life


def tree(**options: Any) -> Life:
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


def stream(items: int, every: int, pause: float = 0.0, shape: tuple[int, ...] = ITEM, **options: Any) -> Life:
    """Items one by one, a sync behind every few, commit."""

    def life() -> None:
        with safeh5.open(TARGET, **options) as session:
            frames = session.stream("/frames", shape=shape, dtype="<i4")
            for number in range(items):
                frames.append(np.full(shape, number, "<i4"))
                if every and number % every == every - 1:
                    session.sync()
                time.sleep(pause)

    return life


def rows(rounds: int, every: int, count: int = 2, first: int = 0, **options: Any) -> Life:
    """Rows of several streams in turn, which are gathered, a sync behind every few; checkpoints are due."""

    def life() -> None:
        with safeh5.open(TARGET, applier="inline", **options) as session:
            streams = [session.stream(f"/frames{n}", shape=ITEM, dtype="<i4") for n in range(count)]
            for number in range(first, first + rounds):
                for stream in streams:
                    stream.append(np.full(ITEM, number, "<i4"))
                    assert stream.length == number + 1, "it was taken, and is not there"
                if number % every == every - 1:
                    session.sync()

    return life


def rows_and_death(count: int = 2, **options: Any) -> Life:
    """The same, up to a death; what was synced is gone on with by `rows_resumed`."""

    def life() -> None:
        session = safeh5.open(TARGET, applier="inline", **options)
        streams = [session.stream(f"/frames{n}", shape=ITEM, dtype="<i4") for n in range(count)]
        for number in range(8):
            for stream in streams:
                stream.append(np.full(ITEM, number, "<i4"))
        session.sync()
        die()

    return life


def rows_resumed() -> None:
    """Gone on with after the last row; the report after a crash knows of the rows that were pruned."""
    with safeh5.open(TARGET, resume=True) as session:
        report = session.resume_report
        assert report is not None and {s.path: s.kept for s in report.streams} == {
            "/frames0": 8,
            "/frames1": 8,
        }
        for path in ("/frames0", "/frames1"):
            session.stream(path).append(np.full(ITEM, 8, "<i4"))


def rewriting() -> None:
    """Checkpoints that place pages: old groups and values change below the floor."""
    with safeh5.open(TARGET) as session:
        for number in range(3):
            write_batch(session, number)
            session.checkpoint()
        frames = session.stream("/frames", shape=ITEM, dtype="<i4", chunks=(2, *ITEM))
        for number in range(4):
            frames.append(np.full(ITEM, number, "<i4"))
            session.checkpoint()


def far_apart() -> None:
    """Checkpoints that each rewrite other pages, so that none covers for the one before."""
    with safeh5.open(TARGET) as session:
        for number in range(6):
            session.record(CreateGroup(path=f"/g{number % 3}/s{number}"))
            session.checkpoint()


def overwriting() -> None:
    """Mode "w" over a file that exists."""
    with safeh5.open(TARGET, "w") as session:
        write_batch(session, 0)
        write_batch(session, 1)


def coming_and_going() -> None:
    """Three sessions in a row."""
    for number in range(3):
        with safeh5.open(TARGET) as session:
            write_batch(session, number)


def cancelling() -> None:
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


def rolling_back(keep: bool) -> Life:
    """A session that is given up, and another."""

    def life() -> None:
        session = safeh5.open(TARGET)
        write_batch(session, 0)
        session.checkpoint()
        write_batch(session, 1)
        session.rollback(keep=keep)
        with safeh5.open(TARGET) as second:
            write_batch(second, 2)

    return life


def suspending() -> None:
    """A session that is suspended."""
    session = safeh5.open(TARGET)
    write_batch(session, 0)
    session.suspend()


def failing() -> None:
    """An exception in the middle of an acquisition: it suspends, and is gone on with."""
    try:
        with safeh5.open(TARGET, durability="flush") as session:
            write_batch(session, 0)
            write_batch(session, 1)
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    resuming(range(2, 3))()


def resuming(numbers: range, **options: Any) -> Life:
    """A session that is gone on with."""
    return batches(numbers, resume=True, **options)


def dying(checkpoint: bool = True, **options: Any) -> Life:
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


def recovering(action: str = "replay", nth: int | None = None, **options: Any) -> Life:
    """Recovery; with `nth`, one that dies at its nth effect."""

    def life() -> None:
        storage = None if nth is None else DeadlyStorage(nth, "after")
        safeh5.recover(TARGET, action, storage=storage, **options)

    return life


def full_disk() -> None:
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


def reserve() -> None:
    """No room but what is kept for the end: records are refused, and the session can be suspended."""
    storage = SmallDisk()
    session = safeh5.open(TARGET, storage=storage, reserve=4096)
    write_batch(session, 0)
    storage.full = True
    with contextlib.suppress(safeh5.errors.FreeSpaceError):
        write_batch(session, 1)
        raise AssertionError("a record was taken for which there was no room")
    session.suspend()


def applier_dying() -> None:
    """The process beside is killed, and another goes on from its last checkpoint."""
    with safeh5.open(TARGET, applier="process") as session:
        for number in range(4):
            write_batch(session, number)
            session.checkpoint()
            session._workspace.drop()


def direct() -> None:
    """Small changes through h5py's objects, which are applied at once and gathered; checkpoints between."""
    with safeh5.File(TARGET, "a", durability="flush", checkpoint_bytes=50) as file:
        for number in range(3):
            group = file.create_group(f"h{number}")
            group["data"] = values(number)
            group.attrs["late"] = number
            if number:
                file.flush()


def through_h5py() -> None:
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


def through_file() -> None:
    """`safeh5.File`: changed, flushed and closed as an `h5py.File`."""
    with safeh5.File(TARGET, "a") as file:
        for number in range(2):
            group = file.create_group(f"h{number}")
            group["data"] = values(number)
            file.flush()
        file["h0"].attrs["late"] = 1


def large() -> None:
    """Large changes of h5py's objects, which a thread journals while HDF5 takes them (decision 0022)."""
    with safeh5.File(TARGET, "a", durability="flush") as file:
        data = file.create_dataset("p0", (2, LARGE), "u1", chunks=(1, LARGE))
        for number in range(2):
            data[number] = 0
            file["p0"].attrs["rows"] = number
            file.flush()


def plain() -> None:
    """Plain values, the second time as they are remembered (decision 0023)."""
    with safeh5.File(TARGET, "a", durability="interval", interval_ms=10**6) as file:
        for number in range(4):
            group = file.create_group(f"h{number}")
            group.create_dataset("data", data=values(number))
            group.attrs["on"], group.attrs["name"] = True, f"n{number}"
            group.attrs["list"] = [number, 2.0]
            if number % 2:
                file.flush()


def trees_in_a_batch() -> None:
    """Trees that build on others of the same batch, applied by a process beside."""
    with safeh5.open(TARGET, applier="process", durability="flush") as session:
        for number in range(2):
            with session.batch():
                first = session.write(MicroDataGroup(f"b{2 * number}")).paths[0]
                session.write(MicroDataGroup(f"b{2 * number + 1}", children=[_data(2 * number + 1)]))
                session.write(MicroDataset("data", values(2 * number), parent=first))
            session.sync()


def _data(number: int) -> MicroDataset:
    return MicroDataset("data", values(number))


def rewinding() -> None:
    """A stream that is rewound and goes on, with checkpoints between, and gathered rows of another."""
    with safeh5.open(TARGET, durability="flush", checkpoint_bytes=60) as session:
        frames = session.stream("/frames0", shape=ITEM, dtype="<i4")
        rows = session.stream("/frames1", shape=ITEM, dtype="<i4")
        for number in range(4):
            frames.append(np.full(ITEM, number, "<i4"))
            rows.append(np.full(ITEM, number, "<i4"))
        session.sync()
        frames.rewind(2)
        for number in range(2, 5):
            frames.append(np.full(ITEM, number, "<i4"))
            rows.append(np.full(ITEM, number + 2, "<i4"))
            if number == 3:
                session.sync()
        rows.rewind(1)


def live_reader() -> None:
    """A live view that is read for the first time when checkpoints have placed pages over what it shows."""
    with safeh5.open(TARGET) as session:
        write_batch(session, 0)
        session.checkpoint()
        with safeh5.live(TARGET) as view:
            for number in range(1, 4):
                for group in ("g0", "g1", "g2"):
                    session.record(CreateGroup(path=f"/{group}/s{number}"))
                write_batch(session, number)
                session.checkpoint()
                # What libhdf5 has not read yet is read now, and is what it was.
                if number < 3:
                    assert set(view[f"g{number}"]) == {"first"}
                if number == 2:
                    np.testing.assert_array_equal(view["b0/data"][()], values(0))
                    view.refresh()
            assert set(view["g0"]) == set(view["g1"]) == {"first", "s1", "s2"}
