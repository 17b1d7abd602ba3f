"""A flush makes everything durable, and its checkpoint when it returns or soon after."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

import safeh5
from safeh5.session import core
from safeh5.storage import Storage
from safeh5.storage.pager import newest_applied
from safeh5.testing.faults import Fault, FaultyStorage
from tests.h5.frames import opened


def checkpointed(file: h5py.File) -> int:
    """LSN of the checkpoint that lies on the disk."""
    session = file.session
    return newest_applied(Storage(), f"{session.target}.safeh5/staging.h5", session._parts.session_id)


Flushed = Callable[..., tuple[h5py.File, int]]


@pytest.fixture
def written_and_flushed(target: Path, monkeypatch: pytest.MonkeyPatch) -> Flushed:
    """A file that was flushed twice, the second time with 16 MiB and more; and its last LSN.

    The second flush is soon enough after the first however long it takes to write, and the thread makes
    its checkpoint after `seconds`.
    """

    def make(storage: Storage | None = None, *, seconds: float = 1.0) -> tuple[h5py.File, int]:
        monkeypatch.setattr(core, "FLUSH_SECONDS", seconds)
        file, data = opened(target, storage)
        monkeypatch.setattr(core, "FLUSH_SECONDS", 600.0)
        return file, _flushed_twice(file, data)

    return make


def _flushed_twice(file: h5py.File, data: h5py.Dataset) -> int:
    file.flush()
    for number in range(8):
        data[number] = number
    data.attrs["last"] = last = 1
    lsn: int = file.session.last_lsn
    file.flush()
    assert file.session.durable_lsn >= lsn and last
    return lsn


def test_a_flush_has_made_its_checkpoint_when_it_returns_unless_much_came_at_once(target: Path) -> None:
    file, data = opened(target)
    for number in range(30):
        data[number % 8] = number
        lsn = file.session.last_lsn
        file.flush()
        assert checkpointed(file) >= lsn
    file.close()


def test_a_flush_that_leaves_its_checkpoint_to_a_thread_has_it_within_seconds(
    target: Path, written_and_flushed: Flushed
) -> None:
    file, lsn = written_and_flushed()
    deadline = time.monotonic() + 30
    while checkpointed(file) < lsn:
        assert time.monotonic() < deadline, "no checkpoint was made"
        time.sleep(0.05)
    with safeh5.live(target) as view:
        assert view["data"][7, 0, 0] == 7 and view["data"].attrs["last"] == 1
    file["more"] = 1
    file.close()


def test_a_crash_before_that_checkpoint_loses_nothing_that_was_flushed(
    target: Path, written_and_flushed: Flushed
) -> None:
    file, lsn = written_and_flushed(seconds=600.0)
    assert checkpointed(file) < lsn, "this is about the time before it"
    file.session._abandon()
    safeh5.recover(target)
    with h5py.File(target) as plain:
        assert plain["data"][:, -1, -1].tolist() == list(range(8)) and plain["data"].attrs["last"] == 1


def test_a_file_is_closed_while_its_checkpoint_is_still_to_come(
    target: Path, written_and_flushed: Flushed
) -> None:
    file, _ = written_and_flushed(seconds=0.5)
    file.close()
    time.sleep(1.0)
    with h5py.File(target) as plain:
        assert plain["data"][7, 0, 0] == 7
    assert [path.name for path in target.parent.iterdir()] == ["run.h5"]


def test_a_checkpoint_in_the_thread_that_fails_leaves_what_was_flushed_to_be_committed(
    target: Path, written_and_flushed: Flushed
) -> None:
    storage = FaultyStorage()
    file, _ = written_and_flushed(storage, seconds=3.0)
    session = file.session
    storage.replan(Fault("write_at", path="staging.redo", times=None, error=errno.ENOSPC))
    while not any("redo" in call.path for call in storage.calls[-5:]):
        time.sleep(0.05)
    with session.mutex:
        storage.mend()
    session.commit()
    with h5py.File(target) as plain:
        assert plain["data"][:, 0, 0].tolist() == list(range(8))
