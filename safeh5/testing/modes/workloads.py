"""What child processes do until they are killed: the workloads of the kill mode and of the crash tests.

See `safeh5.testing.crash` for what a workload is. All but a few write the
small world of `safeh5.testing.world`, whose content can be told from its names.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

import safeh5
from safeh5.errors import ApplyError, NothingToRecoverError, SafeH5Error, SessionFailedError
from safeh5.h5 import journaled_file
from safeh5.microdata import MicroDataGroup, MicroDataset
from safeh5.session import Session
from safeh5.storage import Storage
from safeh5.testing.crash import Ack, Workload, die
from safeh5.testing.world import ELEMENTS, operations, values, write_batch


def commit(target: str, storage: Storage, ack: Ack, **options: Any) -> None:
    """Three batches and a checkpoint, then commit."""
    options = {"segment_bytes": 900, **options}
    session = safeh5.open(target, storage=storage, **options)
    for number in range(3):
        write_batch(session, number)
        ack(f"b{number}")
        if number == 1:
            session.checkpoint()
    session.commit()
    ack("committed")


def write_trees(target: str, storage: Storage, ack: Ack) -> None:
    """Trees, each one batch."""
    with safeh5.open(target, storage=storage) as session:
        for number in range(3):
            session.write(MicroDataGroup(f"b{number}", children=[MicroDataset("data", values(number))]))
            ack(f"b{number}")
    ack("committed")


def stream_frames(target: str, storage: Storage, ack: Ack, **options: Any) -> None:
    """Frames, each durable on return, with a checkpoint on the way."""
    with safeh5.open(target, storage=storage, segment_bytes=900, **options) as session:
        frames = session.stream("/stream/frames", shape=(ELEMENTS,), dtype="<i4")
        for number in range(6):
            frames.append(values(number))
            ack(f"f{number}")
            if number == 3:
                session.checkpoint()
    ack("committed")


def stream_in_groups(target: str, storage: Storage, ack: Ack) -> None:
    """Frames of which every third is waited for, and the others with it."""
    with safeh5.open(target, storage=storage, durability="flush") as session:
        frames = session.stream("/stream/frames", shape=(ELEMENTS,), dtype="<i4")
        for first in (0, 3):
            frames.extend(np.array([values(first), values(first + 1)]))
            frames.append(values(first + 2))
            session.sync()
            for number in range(first, first + 3):
                ack(f"f{number}")
    ack("committed")


def through_h5py(target: str, storage: Storage, ack: Ack) -> None:
    """An `h5py.File` whose changes are journaled."""
    session = safeh5.open(target, storage=storage, durability="interval")
    with journaled_file(session) as file:
        for number in range(3):
            with session.batch():
                file.create_group(f"b{number}").create_dataset("data", data=values(number))
            file.flush()
            ack(f"b{number}")
    ack("committed")


def overwrite(target: str, storage: Storage, ack: Ack) -> None:
    """Mode ``"w"`` over a file that exists."""
    commit(target, storage, ack, mode="w")


def suspend_and_resume(target: str, storage: Storage, ack: Ack) -> None:
    """A session in two parts."""
    with safeh5.open(target, storage=storage) as session:
        write_batch(session, 0)
        ack("b0")
        session.suspend()
    with safeh5.open(target, storage=storage, resume=True) as session:
        write_batch(session, 1)
        ack("b1")
        write_batch(session, 2)
        ack("b2")
    ack("committed")


def roll_back(target: str, storage: Storage, ack: Ack, keep: bool = False) -> None:
    """Two batches that are given up."""
    session = safeh5.open(target, storage=storage)
    write_batch(session, 0)
    write_batch(session, 1)
    ack("giving up")
    session.rollback(keep=keep)
    ack("rolled back")


def roll_back_and_keep(target: str, storage: Storage, ack: Ack) -> None:
    """The same, and the sidecar is kept aside."""
    roll_back(target, storage, ack, keep=True)


def die_working(target: str, storage: Storage, ack: Ack) -> None:
    """Three batches with a checkpoint between, and killed in the middle of a fourth."""
    session = safeh5.open(target, storage=storage)
    for number in range(3):
        write_batch(session, number)
        ack(f"b{number}")
        if number == 0:
            session.checkpoint()
    with session.batch():
        session.record(*next(operations(3)))
        die()


def acquire(target: str, storage: Storage, ack: Ack, **options: Any) -> None:
    """Batch after batch, for ever."""
    session = safeh5.open(target, storage=storage, segment_bytes=4000, **options)
    for number in range(100_000):
        write_batch(session, number)
        ack(f"b{number}")
        if number % 7 == 6:
            session.checkpoint()


def come_and_go(target: str, storage: Storage, ack: Ack) -> None:
    """Session after session, each one batch."""
    for number in range(100_000):
        with safeh5.open(target, storage=storage) as session:
            write_batch(session, number)
            ack(f"b{number}")


def resume_and_go_on(target: str, storage: Storage, ack: Ack) -> None:
    """Go on with whatever session there is, for ever."""
    session = safeh5.open(target, storage=storage, resume=True, segment_bytes=4000)
    for number in range(sum(name != "old" for name in session.file), 100_000):
        write_batch(session, number)
        ack(f"b{number}")
        if number % 5 == 4:
            session.checkpoint()


LIMIT = 3000
"""Bytes of journal that `fill` allows itself."""


def fill(target: str, storage: Storage, ack: Ack, batches: int = 100_000, limit: int = LIMIT) -> None:
    """Go on with whatever session there is, with a journal that is pruned every few batches."""
    session = safeh5.open(target, storage=storage, resume=True, journal_limit=limit)
    for number in range(_written(session), batches):
        write_batch(session, number)
        ack(f"b{number}")
        # On a disk where no checkpoint succeeds nothing can be pruned.
        if type(storage).__name__ == "FaultyStorage":
            continue
        assert journal_bytes(target) <= limit + 2 * (limit // 4), "the journal is too large"
    if batches < 100_000:
        session.commit()
        ack("committed")


def _written(session: Session) -> int:
    """How many batches there are already; reading goes past safeh5, and so do its errors."""
    try:
        return sum(name != "old" for name in session.file)
    except RuntimeError as error:
        raise ApplyError(f"cannot be read: {error}", path=session.target) from error


def fill_a_little(target: str, storage: Storage, ack: Ack) -> None:
    """The same, with an end."""
    fill(target, storage, ack, 7, 1600)


def journal_bytes(target: str | os.PathLike[str]) -> int:
    """What the journal takes on the disk, garbage included."""
    return sum(path.stat().st_size for path in Path(f"{target}.safeh5").glob("journal-*"))


def recover(target: str, storage: Storage, ack: Ack, **options: Any) -> None:
    """Recovery itself."""
    report = safeh5.recover(target, storage=storage, **options)
    ack(json.dumps(sorted(loss.what for loss in report.losses)))


def replay(target: str, storage: Storage, ack: Ack) -> None:
    """Recovery by replay."""
    recover(target, storage, ack)


def recover_by_roll_back(target: str, storage: Storage, ack: Ack) -> None:
    """Recovery by roll back."""
    recover(target, storage, ack, action="rollback")


def purge(target: str, storage: Storage, ack: Ack) -> None:
    """Recovery by roll back, for good."""
    recover(target, storage, ack, action="rollback", purge=True)


def salvage(target: str, storage: Storage, ack: Ack) -> None:
    """Recovery past damage."""
    recover(target, storage, ack, action="salvage")


def replay_or_nothing(target: str, storage: Storage, ack: Ack) -> None:
    """Recovery by replay of whatever there is."""
    with contextlib.suppress(NothingToRecoverError):
        recover(target, storage, ack)


def until_full(target: str, storage: Storage, ack: Ack, suspend: bool = False) -> None:
    """Batch after batch until the disk is full; then the process ends as it stands, or suspends first."""
    number, session = 0, None
    with contextlib.suppress(SafeH5Error):
        session = safeh5.open(target, storage=storage, segment_bytes=40_000)
        while number < 20_000:
            write_batch(session, number)
            ack(f"b{number}")
            number += 1
            if number % 50 == 0:
                session.checkpoint()
    if suspend and session is not None:
        # There is room kept for that, however full the disk is; none helps where a sync has failed.
        try:
            session.suspend()
            ack("suspended")
        except SessionFailedError:
            ack("failed")
    die()


def open_with_replay(target: str, storage: Storage, ack: Ack) -> None:
    """A new session that finishes the old one first."""
    with safeh5.open(target, storage=storage, recover="replay") as session:
        write_batch(session, 7)


WORKLOADS: dict[str, Workload] = {
    function.__name__: function
    for function in (
        commit, write_trees, stream_frames, stream_in_groups, through_h5py, overwrite,
        suspend_and_resume, roll_back, roll_back_and_keep, die_working, acquire, come_and_go,
        resume_and_go_on, fill, fill_a_little, replay, recover_by_roll_back, purge, salvage,
        open_with_replay, replay_or_nothing, until_full,
    )
}  # fmt: skip
