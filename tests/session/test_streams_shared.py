"""Streams under many threads, and under asyncio."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import (
    InvalidTypeError,
)
from safeh5.storage import AppendFile, Storage, StrPath
from tests.session.reading import committed

# --- many at once ---------------------------------------------------------------------------------


class SlowDisk(Storage):
    """A disk whose syncs take as long as real ones, and are counted."""

    def __init__(self, seconds: float = 0.01) -> None:
        self.seconds, self.syncs = seconds, 0

    def create(self, path: StrPath) -> AppendFile:
        return _SlowFile(self, super().create(path))

    def open_append(self, path: StrPath) -> AppendFile:
        return _SlowFile(self, super().open_append(path))


class _SlowFile(AppendFile):
    def __init__(self, disk: SlowDisk, file: AppendFile) -> None:
        super().__init__(file.path, file.detach())
        self._disk = disk

    def _do_sync(self) -> None:
        time.sleep(self._disk.seconds)
        self._disk.syncs += 1


def in_threads(count: int, work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


@pytest.mark.parametrize("applier", ["inline", "process"])
def test_threads_that_wait_for_the_disk_share_its_syncs(target: Path, applier: str) -> None:
    disk = SlowDisk()
    session = safeh5.open(target, storage=disk, applier=applier)
    streams = [session.stream(f"/s{number}", (), "i8") for number in range(8)]
    before = disk.syncs

    def work(number: int) -> None:
        for item in range(20):
            lsn = streams[number].append(item)
            assert session.durable_lsn >= lsn
            assert streams[number].durable_length == item + 1

    in_threads(8, work)
    assert 20 <= disk.syncs - before <= 8 * 20 / 3
    for number in range(8):
        assert streams[number].length == 20
    session.commit()
    with h5py.File(target) as file:
        for number in range(8):
            np.testing.assert_array_equal(file[f"s{number}"], np.arange(20))


@pytest.mark.parametrize("applier", ["inline", "process"])
def test_threads_may_share_one_stream(target: Path, applier: str) -> None:
    session = safeh5.open(target, applier=applier, durability="interval")
    stream = session.stream("/s", (2,), "i8")
    in_threads(4, lambda number: [stream.append([number, item]) for item in range(50)] and None)
    rows = committed(session, "s")
    assert rows.shape == (200, 2)
    for number in range(4):
        np.testing.assert_array_equal(rows[rows[:, 0] == number, 1], np.arange(50))


def test_threads_that_cancel_batches_take_only_their_own_items_back(target: Path) -> None:
    session = safeh5.open(target, durability="flush")
    stream = session.stream("/s", (2,), "i8")

    def work(number: int) -> None:
        for item in range(30):
            try:
                with session.batch():
                    stream.append([number, item])
                    if item % 3 == 0:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                pass

    in_threads(4, work)
    assert stream.length == 4 * 20
    rows = committed(session, "s")
    assert len(rows) == 80 and not (rows[:, 1] % 3 == 0).any()


def test_asyncio_goes_on_while_the_disk_works(target: Path) -> None:
    session = safeh5.open(target, storage=SlowDisk(0.05))
    stream = session.stream("/s", (), "i8")
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    async def acquire() -> None:
        ticking = asyncio.create_task(tick())
        for number in range(5):
            await stream.aappend(number)
        await stream.aextend([5, 6])
        ticking.cancel()

    asyncio.run(acquire())
    assert ticks > 10
    assert committed(session, "s").tolist() == list(range(7))


@pytest.mark.parametrize("durability", ["record", "flush"])
def test_a_number_that_would_become_infinite_is_refused_and_an_infinite_one_is_not(
    target: Path, durability: str
) -> None:
    session = safeh5.open(target, durability=durability)
    stream = session.stream("/s", (2,), "f4")
    for values in ([1.0, 1e39], np.array([1.0, -1e300])):
        with pytest.raises(InvalidTypeError, match="/s"):
            stream.append(values)
    stream.append([1.0, float("inf")])
    stream.append(np.array([1e-300, float("nan")]))
    found = committed(session, "s")
    assert found[0].tolist() == [1.0, float("inf")] and np.isnan(found[1, 1]) and found[1, 0] == 0
