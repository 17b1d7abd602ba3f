"""The competitors that write the tree: each returns when it was durable, and when it was finished."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import h5py
import numpy as np

from bench.workloads import Tree
from safeh5 import MicroDataGroup, MicroDataset
from safeh5 import open as open_session

NO_STAMPS: Final = {"machine_id": None, "timestamp": None}
"""The groups of the others have no attributes."""

Times = tuple[float, float]
"""Seconds from the beginning until everything was durable, and until the file was finished."""


def raw(work: Tree) -> Times:
    """The bytes of all values to one preallocated file, one fdatasync: the limit."""
    data = work.data()
    begin = time.perf_counter()
    file = os.open("run.raw", os.O_CREAT | os.O_EXCL | os.O_RDWR)
    os.posix_fallocate(file, 0, work.bytes)
    for number in range(work.groups):
        os.write(file, data[number].data)
        os.write(file, np.array(list(work.attrs(number).values())).data)
    os.fdatasync(file)
    os.close(file)
    seconds = time.perf_counter() - begin
    return seconds, seconds


def plain_h5py(work: Tree, *, fsync: bool) -> Times:
    """h5py, as its users write it."""
    data = work.data()
    begin = time.perf_counter()
    with h5py.File("run.h5", "w") as file:
        for number in range(work.groups):
            dataset = file.create_group(f"Point_{number:04d}").create_dataset("values", data=data[number])
            for name, value in work.attrs(number).items():
                dataset.attrs[name] = value
        file.flush()
        if fsync:
            os.fdatasync(file.id.get_vfd_handle())
        durable = time.perf_counter() - begin
    return durable, time.perf_counter() - begin


def sqlite(work: Tree) -> Times:
    """Tables of groups, datasets and attributes, one transaction."""
    data = work.data()
    begin = time.perf_counter()
    database = sqlite3.connect("run.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE datasets (number INTEGER PRIMARY KEY, name TEXT, data BLOB)")
    database.execute("CREATE TABLE attributes (number INTEGER, name TEXT, value REAL)")
    database.execute("BEGIN")
    for number in range(work.groups):
        database.execute(
            "INSERT INTO datasets VALUES (?, ?, ?)", (number, f"Point_{number:04d}", data[number].data)
        )
        rows = [(number, name, value) for name, value in work.attrs(number).items()]
        database.executemany("INSERT INTO attributes VALUES (?, ?, ?)", rows)
    database.execute("COMMIT")
    durable = time.perf_counter() - begin
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return durable, time.perf_counter() - begin


def safeh5_tree(work: Tree, **options: Any) -> Times:
    """One `write`, one commit; making the nodes is part of it."""
    data = work.data()
    begin = time.perf_counter()
    session = open_session("run.h5", **options)
    session.write(
        [
            MicroDataGroup(
                f"Point_{number:04d}",
                attrs=NO_STAMPS,
                children=[MicroDataset("values", data[number], attrs=work.attrs(number))],
            )
            for number in range(work.groups)
        ]
    )
    session.sync()
    durable = time.perf_counter() - begin
    session.commit()
    return durable, time.perf_counter() - begin


def check(work: Tree) -> None:
    """Read an HDF5 result back, if there is one."""
    if not os.path.exists("run.h5"):
        return
    data = work.data()
    with h5py.File("run.h5", "r") as file:
        if len(file) != work.groups:
            raise AssertionError(f"{len(file)} groups instead of {work.groups}")
        for number in range(0, work.groups, max(1, work.groups // 50)):
            dataset = file[f"Point_{number:04d}/values"]
            if not np.array_equal(dataset[:], data[number]):
                raise AssertionError(f"wrong values in group {number}")
            if {name: dataset.attrs[name] for name in work.attrs(number)} != work.attrs(number):
                raise AssertionError(f"wrong attributes in group {number}")


WRITERS: Final[dict[str, Callable[[Tree], Times]]] = {
    "raw": raw,
    "h5py": partial(plain_h5py, fsync=False),
    "h5py+fsync": partial(plain_h5py, fsync=True),
    "sqlite": sqlite,
    "safeh5 record": partial(safeh5_tree, durability="record"),
    "safeh5 interval": partial(safeh5_tree, durability="interval"),
    "safeh5 flush": partial(safeh5_tree, durability="flush"),
}
