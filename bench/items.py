"""The competitors that write items: what each calls an append, durable, and a finished file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

import h5py
import numpy as np
import numpy.typing as npt

from bench.workloads import Items
from safeh5 import open as open_session

Array = npt.NDArray[Any]


class Writer(Protocol):
    """One way to keep items."""

    def append(self, item: Array) -> None:
        """Add one item."""

    def durable(self) -> None:
        """Make all so far survive a power cut, as far as this way can."""

    def finish(self) -> None:
        """Make the file complete and close it."""

    def first_elements(self, numbers: list[int]) -> list[float]:
        """The first element of some items, read back from the finished file."""


class Raw:
    """``write`` and ``fdatasync`` on one preallocated file: the limit.

    Parameters
    ----------
    filled : bool
        The file was written before, from end to end: no block and no page is
        new, which no acquisition will ever meet. Else it is only allocated.
    """

    def __init__(self, work: Items, *, filled: bool) -> None:
        self.work = work
        self.file = os.open("run.raw", os.O_CREAT | os.O_EXCL | os.O_RDWR)
        os.posix_fallocate(self.file, 0, work.bytes)
        if filled:
            zeros = bytes(work.item_bytes)
            for _ in range(work.count):
                os.write(self.file, zeros)
            os.fsync(self.file)
            os.lseek(self.file, 0, os.SEEK_SET)

    def append(self, item: Array) -> None:  # noqa: D102
        os.write(self.file, item.data)

    def durable(self) -> None:  # noqa: D102
        os.fdatasync(self.file)

    def finish(self) -> None:  # noqa: D102
        os.fdatasync(self.file)
        os.close(self.file)

    def first_elements(self, numbers: list[int]) -> list[float]:  # noqa: D102
        found = np.memmap("run.raw", self.work.dtype, "r", shape=(self.work.count, *self.work.shape))
        return [float(found[number].flat[0]) for number in numbers]


class PlainH5py:
    """h5py, with or without an fsync where the data are to be durable."""

    def __init__(self, work: Items, *, fsync: bool) -> None:
        self.fsync = fsync
        self.file = h5py.File("run.h5", "w")
        rows = max(1, 65536 // work.item_bytes)
        self.data = self.file.create_dataset(
            "items",
            (0, *work.shape),
            work.dtype,
            maxshape=(None, *work.shape),
            chunks=(rows, *work.shape),
        )
        self.length = 0

    def append(self, item: Array) -> None:  # noqa: D102
        self.data.resize(self.length + 1, axis=0)
        self.data[self.length] = item
        self.length += 1

    def durable(self) -> None:  # noqa: D102
        if self.fsync:
            self.file.flush()
            os.fdatasync(self.file.id.get_vfd_handle())

    def finish(self) -> None:  # noqa: D102
        self.durable()
        self.file.close()

    def first_elements(self, numbers: list[int]) -> list[float]:  # noqa: D102
        return _first_elements(numbers)


class SQLite:
    """Items as blobs, in WAL mode with ``synchronous=FULL``."""

    def __init__(self, work: Items) -> None:
        self.dtype = work.dtype
        self.database = sqlite3.connect("run.db", isolation_level=None)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("PRAGMA synchronous=FULL")
        self.database.execute("CREATE TABLE items (number INTEGER PRIMARY KEY, data BLOB)")
        self.database.execute("BEGIN")
        self.length = 0

    def append(self, item: Array) -> None:  # noqa: D102
        self.database.execute("INSERT INTO items VALUES (?, ?)", (self.length, item.data))
        self.length += 1

    def durable(self) -> None:  # noqa: D102
        self.database.execute("COMMIT")
        self.database.execute("BEGIN")

    def finish(self) -> None:  # noqa: D102
        self.database.execute("COMMIT")
        self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.database.close()

    def first_elements(self, numbers: list[int]) -> list[float]:  # noqa: D102
        database = sqlite3.connect("run.db")
        rows = [
            database.execute("SELECT data FROM items WHERE number=?", (number,)).fetchone()
            for number in numbers
        ]
        database.close()
        return [float(np.frombuffer(row[0], self.dtype)[0]) for row in rows]


class SafeH5:
    """A stream of safeh5; every level but ``"record"`` syncs where the data are to be durable."""

    def __init__(self, work: Items, *, durability: str, **options: Any) -> None:
        self.durability = durability
        self.session = open_session("run.h5", durability=durability, **options)
        self.stream = self.session.stream("items", work.shape, work.dtype)

    def append(self, item: Array) -> None:  # noqa: D102
        self.stream.append(item)

    def durable(self) -> None:  # noqa: D102
        if self.durability == "flush":
            self.session.sync()

    def finish(self) -> None:  # noqa: D102
        self.session.commit()

    def first_elements(self, numbers: list[int]) -> list[float]:  # noqa: D102
        return _first_elements(numbers)


def _first_elements(numbers: list[int]) -> list[float]:
    with h5py.File("run.h5", "r") as file:
        data = file["items"]
        return [float(data[number].flat[0]) for number in numbers]


WRITERS: Final[dict[str, Callable[[Items], Writer]]] = {
    "raw": partial(Raw, filled=False),
    "raw, filled": partial(Raw, filled=True),
    "h5py": partial(PlainH5py, fsync=False),
    "h5py+fsync": partial(PlainH5py, fsync=True),
    "sqlite": SQLite,
    "safeh5 record": partial(SafeH5, durability="record"),
    "safeh5 interval": partial(SafeH5, durability="interval"),
    "safeh5 flush": partial(SafeH5, durability="flush"),
    "safeh5 inline": partial(SafeH5, durability="flush", applier="inline"),
}
"""``safeh5 interval`` waits for nothing and is at most 100 ms behind; all others make the data
durable where the workload says, ``safeh5 record`` every item. All use the default applier but
``safeh5 inline``."""
