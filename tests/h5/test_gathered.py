"""Small changes gathered in memory: in order, bounded, and lost only where nothing was promised for them."""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import DiskFullError, JournalWriteError, SafeH5Error, SessionFailedError
from safeh5.h5 import journaled_file
from safeh5.journal import Kind, frames, scan
from safeh5.journal import writer as journal_writer
from safeh5.operations import codec, model
from safeh5.session import Session, applied
from safeh5.storage import Storage
from safeh5.testing.faults import Fault, FaultyStorage

KILLED = """
    import os, signal, sys
    import safeh5
    before, after, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    file = safeh5.File(path, "w", durability="flush")
    for number in range(before):
        file.attrs[f"n{number:05}"] = number
    file.flush()
    for number in range(before, after):
        file.attrs[f"n{number:05}"] = number
    os.kill(os.getpid(), signal.SIGKILL)
"""


def in_journal(target: Path) -> list[Any]:
    """The operations in the journal on the disk, in order."""
    storage = Storage()
    found = frames(storage, scan(storage, f"{target}.safeh5"))
    return [codec.decode(frame.meta) for frame in found if frame.kind is Kind.OPERATION]


def recovered(target: Path) -> list[int]:
    safeh5.recover(target)
    with h5py.File(target) as file:
        return [int(file.attrs[name]) for name in sorted(file.attrs)]


def gathering(target: Path, storage: Storage | None = None) -> tuple[Session, h5py.File]:
    session = safeh5.open(target, "w", durability="flush", storage=storage or Storage())
    return session, journaled_file(session)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize(("before", "after"), [(1, 60), (20, 21), (40, 5000)])
def test_a_kill_takes_the_last_small_changes_only_and_none_from_before_a_flush(
    target: Path, before: int, after: int
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(before), str(after), str(target)]
    assert subprocess.run(command, check=False, timeout=100).returncode == -signal.SIGKILL
    found = recovered(target)
    assert found == list(range(len(found))) and before <= len(found) <= after
    assert after - len(found) <= 2 + journal_writer.GATHERED_BYTES // 128


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_kill_takes_nothing_where_durability_has_a_bound(target: Path) -> None:
    script = textwrap.dedent(KILLED).replace('"flush"', '"interval"')
    command = [sys.executable, "-c", script, "1", "300", str(target)]
    assert subprocess.run(command, check=False, timeout=100).returncode == -signal.SIGKILL
    assert recovered(target) == list(range(300))


def test_a_change_that_meets_a_full_disk_is_kept_and_the_next_one_is_refused(target: Path) -> None:
    storage = FaultyStorage()
    session = safeh5.open(target, "w", durability="interval", interval_ms=10**6, storage=storage)
    file = journaled_file(session)
    file.attrs["n0"] = 0
    storage.replan(Fault("append", path="journal-", times=None, error=errno.ENOSPC, short=20))
    file.attrs["n1"] = 1
    for _ in range(2):
        with pytest.raises(DiskFullError):
            file.attrs["n2"] = 2
    with pytest.raises(DiskFullError):
        file.flush()
    assert list(file.attrs) == ["n0", "n1"]
    storage.mend()
    file.attrs["n2"] = 2
    assert len(in_journal(target)) == 3
    file.close()
    with h5py.File(target) as plain:
        assert list(plain.attrs) == ["n0", "n1", "n2"]


def test_small_and_large_changes_stand_in_the_journal_in_the_order_of_the_calls(target: Path) -> None:
    session, file = gathering(target)
    small, large = np.arange(4), np.arange(20_000)
    with file:
        data = file.create_dataset("data", (20_000,), "i8", chunks=(20_000,))
        for number in range(4):
            file.attrs["number"] = number
            data[:] = large
            data[:4] = small
        with session.batch():
            file.attrs["in"] = "a batch"
            file.attrs["in"] = "the same batch"
        del file.attrs["number"]
        session.sync()
        kinds = [type(operation).__name__ for operation in in_journal(target)]
        assert kinds == [
            "CreateDataset", *["SetAttribute", "WriteData", "WriteData"] * 4, "SetAttribute", "SetAttribute",
            "DeleteAttribute",
        ]  # fmt: skip


def test_what_is_promised_at_once_is_never_gathered(target: Path) -> None:
    with safeh5.File(target, "w", durability="record") as file:
        for number in range(3):
            file.attrs["number"] = number
            assert len(in_journal(target)) == number + 1


def test_what_is_gathered_is_bounded_and_goes_out_with_a_sync(target: Path) -> None:
    session, file = gathering(target)
    with file:
        most = 0
        for number in range(3000):
            file.attrs["value"] = np.full(20, number)
            tip = session._log.journal._tip
            most = max(most, tip.offset - tip.written)
        assert 0 < most < journal_writer.GATHERED_BYTES + 1024
        session.sync()
        tip = session._log.journal._tip
        assert tip.offset == tip.written and len(in_journal(target)) == 3000


def test_what_hdf5_refuses_leaves_no_trace_in_the_journal(target: Path) -> None:
    session, file = gathering(target)
    with file:
        file.create_group("g")
        with pytest.raises(ValueError, match="name already exists"):
            file.create_group("g")
        with pytest.raises(SafeH5Error):
            session.record(model.CreateGroup(path="/g"))
        file["g"].attrs["after"] = 1
        session.sync()
        assert [type(each).__name__ for each in in_journal(target)] == ["CreateGroup", "SetAttribute"]
    with h5py.File(target) as plain:
        assert plain["g"].attrs["after"] == 1


@pytest.mark.parametrize("short", [0, 1, 30, 500])
def test_changes_that_find_no_room_are_kept_and_the_next_ones_refused_until_there_is_room(
    target: Path, short: int
) -> None:
    storage = FaultyStorage()
    session, file = gathering(target, storage)
    for number in range(20):
        file.attrs[f"n{number:05}"] = number
    full = Fault("append", path="journal-", times=None, error=errno.ENOSPC, short=short)
    storage.replan(full)
    with pytest.raises(DiskFullError):
        session.sync()
    for _ in range(3):
        with pytest.raises(DiskFullError):
            file.attrs["refused"] = 1
    assert "refused" not in file.attrs and len(file.attrs) == 20
    storage.mend()
    for number in range(20, 30):
        file.attrs[f"n{number:05}"] = number
    file.flush()
    session._abandon()
    assert recovered(target) == list(range(30))


def test_a_full_disk_refuses_a_change_of_megabytes_and_keeps_the_small_ones_before_it(target: Path) -> None:
    storage = FaultyStorage()
    session, file = gathering(target, storage)
    with file:
        data = file.create_dataset("data", (applied.LARGE // 8 + 1,), "i8")
        file.attrs["n0"] = 0
        storage.replan(Fault("append", path="journal-", times=1, error=errno.ENOSPC, short=40))
        with pytest.raises(DiskFullError):
            data[:] = 1
        assert session.sync() and not file["data"][:].any()
        data[:] = 2
    with h5py.File(target) as plain:
        assert plain.attrs["n0"] == 0 and (plain["data"][:] == 2).all()


def test_a_disk_that_fails_in_the_background_is_an_error_of_the_next_call(target: Path) -> None:
    storage = FaultyStorage()
    session, file = gathering(target, storage)
    file.attrs["n0"] = 0
    file.flush()
    file.attrs["n1"] = 1
    storage.replan(Fault("sync", path="journal-", error=errno.EIO))
    with pytest.raises(JournalWriteError):
        session.sync()
    with pytest.raises(SessionFailedError):
        session.record(model.SetComment(path="/", comment="refused"))
    assert recovered(target)[:1] == [0]


def test_an_interrupted_frame_in_memory_is_no_part_of_the_journal(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, file = gathering(target)
    file.attrs["n0"] = 0
    journal = session._log.journal
    # What an interrupt leaves that comes between the frame and the new end.
    journal._gathered.append(b"never acknowledged")
    file.attrs["n1"] = 1
    journal._gathered.append(b"nor this")
    session.sync()
    session._abandon()
    assert recovered(target) == [0, 1]


def test_the_file_is_made_again_with_what_is_only_in_memory(target: Path) -> None:
    session, file = gathering(target)
    for number in range(5):
        file.attrs[f"n{number}"] = number
    session._workspace.drop()
    assert [int(session.file.attrs[f"n{number}"]) for number in range(5)] == list(range(5))
    session.commit()
    with h5py.File(target) as plain:
        assert len(plain.attrs) == 5


def test_a_path_is_not_taken_for_an_old_one_after_moves_and_removals(target: Path) -> None:
    session, file = gathering(target)
    group, other = file.create_group("a/g"), file.create_group("b")
    group.attrs["n"] = 1
    file.move("a", "c")
    group.attrs["n"] = 2
    other.attrs["n"] = 3
    del file["b"]
    file.create_group("b")
    other.attrs["n"] = 4  # of the group that has no name any more
    session.sync()
    session._abandon()
    safeh5.recover(target)
    with h5py.File(target) as plain:
        assert plain["c/g"].attrs["n"] == 2 and "n" not in plain["b"].attrs


@pytest.mark.parametrize("chunks", [None, (13,)])
def test_a_checkpoint_holds_what_hdf5_keeps_in_memory_for_datasets_of_the_program(
    target: Path, chunks: tuple[int, ...] | None
) -> None:
    session, file = gathering(target)
    data = file.create_dataset("data", (13,), "f4", chunks=chunks)
    data[...] = np.arange(13)
    file.flush()
    data[3:5] = 99
    file.flush()
    # The program's objects are open still; the file on the disk is the checkpoint.
    checkpoint = Path(session._workspace.inline._staging.path)  # type: ignore[attr-defined]
    copy = shutil.copy(checkpoint, target.with_name("checkpoint.h5"))
    file.close()
    with h5py.File(copy) as plain:
        assert plain["data"][:].tolist() == [0, 1, 2, 99, 99, *range(5, 13)]
