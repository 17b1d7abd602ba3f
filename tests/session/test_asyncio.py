"""A session under asyncio: order, and batches that are open while other tasks run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import SessionStateError
from safeh5.session import Session
from safeh5.session.stream import Stream

pytestmark = pytest.mark.parametrize("applier", ["inline", "process"])


@pytest.fixture
def session(tmp_path: Path, applier: str) -> Session:
    return safeh5.open(tmp_path / "run.h5", applier=applier)


def run(work: Coroutine[Any, Any, Any]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work, 30)

    asyncio.run(bounded())


def committed(session: Session, *paths: str) -> list[Any]:
    session.commit()
    with h5py.File(session.target) as file:
        return [file[path][:].tolist() for path in paths]


def two(session: Session) -> tuple[Stream, Stream]:
    return session.stream("/a", (), "i8"), session.stream("/b", (), "i8")


def test_items_are_in_the_order_of_the_calls(session: Session) -> None:
    stream = session.stream("/a", (50_000,), "i4")
    items = [np.full(50_000, number, "i8") for number in range(100)]

    async def acquire() -> None:
        lsns = await asyncio.gather(*[stream.aappend(item) for item in items])
        assert lsns == sorted(lsns) and session.durable_lsn >= lsns[-1]

    run(acquire())
    session.commit()
    with h5py.File(session.target) as file:
        assert file["a"][:, 0].tolist() == list(range(100))


def test_what_a_task_awaits_inside_its_batch_is_part_of_it(session: Session) -> None:
    a, b = two(session)

    async def acquire() -> None:
        with session.batch():
            await a.aappend(1)
            await asyncio.sleep(0.01)
            await asyncio.gather(a.aextend([2, 3]), b.aappend(1))
            assert session.durable_lsn < session.last_lsn
        with pytest.raises(ZeroDivisionError), session.batch():
            await asyncio.gather(a.aappend(4), b.aappend(4))
            raise ZeroDivisionError
        assert (len(a), len(b)) == (3, 1)

    run(acquire())
    assert committed(session, "a", "b") == [[1, 2, 3], [1]]


def test_what_another_task_appends_is_not_cancelled_with_a_batch(session: Session) -> None:
    a, b = two(session)

    async def scan() -> None:
        with session.batch():
            await a.aappend(-1)
            await asyncio.sleep(0.1)
            raise ZeroDivisionError

    async def watch(started: asyncio.Event) -> None:
        for number in range(20):
            if number == 1:
                started.set()
            lsn = await b.aappend(number)
            assert b.durable_length == number + 1 and session.durable_lsn >= lsn
            await asyncio.sleep(0.01)

    async def acquire() -> None:
        started = asyncio.Event()
        watching = asyncio.create_task(watch(started))
        await started.wait()
        with pytest.raises(ZeroDivisionError):
            await scan()
        await watching

    run(acquire())
    assert committed(session, "a", "b") == [[], list(range(20))]


def test_a_call_that_would_become_part_of_another_tasks_batch_is_refused(session: Session) -> None:
    a, b = two(session)
    b.append(0)

    async def intrude(work: Any) -> None:
        with pytest.raises(SessionStateError, match="another asyncio task"):
            work()

    async def acquire() -> None:
        inside, leave = asyncio.Event(), asyncio.Event()

        async def scan() -> None:
            with session.batch():
                a.append(1)
                inside.set()
                await leave.wait()
                a.append(2)

        scanning = asyncio.create_task(scan())
        await inside.wait()
        await intrude(lambda: b.append(1))
        await intrude(lambda: b.write(0, 7))
        await intrude(lambda: b.rewind(0))
        await intrude(lambda: session.batch().__enter__())
        leave.set()
        await scanning

    run(acquire())
    assert committed(session, "a", "b") == [[1, 2], [0]]


def test_threads_of_the_loop_are_free_while_many_wait_for_a_batch(session: Session) -> None:
    """Who holds the batch may wait for a thread that reads the instrument."""
    a, b = two(session)

    async def acquire() -> None:
        others = [asyncio.create_task(b.aappend(number)) for number in range(100)]
        await asyncio.sleep(0)
        with session.batch():
            for number in range(5):
                await a.aappend(await asyncio.to_thread(int, number))
        await asyncio.gather(*others)

    run(acquire())
    assert committed(session, "a", "b") == [list(range(5)), list(range(100))]


def test_a_loop_that_runs_inside_a_batch_appends_to_it(session: Session) -> None:
    a, b = two(session)
    with session.batch():
        run(a.aappend(1))
        b.append(1)
    assert committed(session, "a", "b") == [[1], [1]]


def test_a_session_that_has_ended_leaves_no_threads_of_its_loop(session: Session) -> None:
    before = set(threading.enumerate())

    async def acquire() -> None:
        stream = session.stream("/a", (), "i8")
        await stream.aappend(1)
        session.commit()
        with pytest.raises(SessionStateError):
            await stream.aappend(2)

    run(acquire())
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()
