"""Large changes of h5py's objects: HDF5 and the journal take them at the same time."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.applier import direct
from safeh5.errors import DiskFullError, SessionFailedError
from safeh5.journal import Kind, frames, scan
from safeh5.session import applied
from safeh5.storage import Storage, platform
from safeh5.testing.faults import Fault, FaultyStorage
from tests.h5.frames import FRAME, opened
from tests.h5.tape import three_ways

KILLED = """
    import os, signal, sys, threading, time
    import numpy as np
    import safeh5
    path, seconds = sys.argv[1], float(sys.argv[2])
    file = safeh5.File(path, "w")
    data = file.create_dataset("data", (0, 512, 512), "f8", maxshape=(None, 512, 512), chunks=(1, 512, 512))
    print("ready", flush=True)
    threading.Thread(target=lambda: (time.sleep(seconds), os.kill(os.getpid(), signal.SIGKILL))).start()
    for number in range(10**6):
        data.resize(number + 1, axis=0)
        data[number] = number + 1
        print(number + 1, flush=True)
        if number % 4 == 3 or number % 16 == 0:
            file.flush()
"""


def kinds(target: Path) -> list[tuple[Kind, int]]:
    """What is in the journal on the disk, without the sync marks: kind and payload bytes."""
    storage = Storage()
    found = frames(storage, scan(storage, f"{target}.safeh5"))
    return [(frame.kind, len(frame.payload)) for frame in found if frame.kind is not Kind.SYNC]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("seconds", [0.02, 0.15, 0.4])
def test_a_kill_in_the_middle_of_large_writes_loses_nothing_that_a_call_had_done(
    target: Path, seconds: float
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(target), str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    acknowledged = int(done.stdout.split()[-1].replace(b"ready", b"0"))
    safeh5.recover(target)
    with h5py.File(target) as file:
        values = [frame[0, 0] if (frame == frame[0, 0]).all() else -1 for frame in file["data"]]
    assert values[:acknowledged] == list(range(1, acknowledged + 1))
    # The call that was cut off may have come to an end, or to the resize only.
    assert values[acknowledged:] in ([], [0], [acknowledged + 1])


def test_a_large_write_is_one_record_whose_end_follows_it(target: Path) -> None:
    file, data = opened(target)
    before = len(kinds(target))
    data[3] = 7
    assert kinds(target)[before:] == [(Kind.OPERATION, data[3].nbytes), (Kind.END, 0)]
    file.close()


def test_what_hdf5_refuses_of_a_large_write_does_not_exist(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, data = opened(target)
    data[0] = 1

    def refuse(*args: Any) -> None:
        raise ValueError("not today")

    with monkeypatch.context() as patch:
        patch.setattr(direct, "_write", refuse)
        with pytest.raises(ValueError, match="not today"):
            data[1] = 1
    assert kinds(target)[-1][0] is Kind.ABORT
    data[2] = 1
    file.session._abandon()
    safeh5.recover(target)
    with h5py.File(target) as plain:
        assert plain["data"][:, 0, 0].tolist() == [1, 0, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("count", [30_000, 300_000], ids=["HDF5 first", "both at once"])
@pytest.mark.parametrize("short", [0, 50, 100_000])
def test_a_large_change_that_meets_a_full_disk_is_kept_and_the_next_one_is_refused(
    target: Path, count: int, short: int
) -> None:
    storage = FaultyStorage()
    with safeh5.File(target, "w", interval_ms=10**6, storage=storage) as file:
        data = file.create_dataset("data", (3, count), "f8")
        data[0] = 1
        storage.replan(Fault("append", path="journal-", times=None, error=errno.ENOSPC, short=short))
        data[1] = 2
        for _ in range(2):
            with pytest.raises(DiskFullError):
                data[2] = 3
        with pytest.raises(DiskFullError):
            file.flush()
        assert data[:, 0].tolist() == [1, 2, 0]
        storage.mend()
        data[2] = 4
    with h5py.File(target) as plain:
        assert plain["data"][:, -1].tolist() == [1, 2, 4]


def test_an_end_that_meets_a_full_disk_is_kept_with_the_large_record_before_it(target: Path) -> None:
    storage = FaultyStorage()
    file, data = opened(target, storage)
    storage.replan(Fault("append", path="journal-", nth=2, times=None, error=errno.ENOSPC))
    data[1] = 5
    with pytest.raises(DiskFullError):
        data[2] = 6
    assert data[:3, 0, 0].tolist() == [0, 5, 0]
    storage.mend()
    file.flush()
    file.session._abandon()
    safeh5.recover(target)
    with h5py.File(target) as plain:
        assert plain["data"][:, -1, -1].tolist() == [0, 5, 0, 0, 0, 0, 0, 0]


def test_a_journal_that_cannot_be_cut_off_again_fails_the_session(target: Path) -> None:
    storage = FaultyStorage()
    file, data = opened(target, storage)
    storage.replan(
        Fault("append", path="journal-", times=None, error=errno.EIO, short=50),
        Fault("truncate", path="journal-", times=None, error=errno.EIO),
    )
    session = file.session
    with pytest.raises((OSError, SessionFailedError)):
        data[1] = 5
    assert session.state == "failed"
    storage.mend()
    safeh5.recover(target)
    with h5py.File(target) as plain:
        assert not plain["data"][:].any()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_interrupt_in_a_large_write_comes_when_the_write_is_done(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, data = opened(target)
    write = direct._write

    def interrupted(*args: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        write(*args)

    monkeypatch.setattr(direct, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data[1] = 5
    monkeypatch.undo()
    assert (data[1] == 5).all() and kinds(target)[-1][0] is Kind.END
    file.close()


# --- the disk ----------------------------------------------------------------------------------------


def test_all_of_a_large_record_is_handed_to_the_disk_early(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: dict[int, list[tuple[int, int]]] = {}
    hint = platform.write_back

    def note(fd: int, offset: int, size: int) -> None:
        parts.setdefault(os.fstat(fd).st_ino, []).append((offset, offset + size))
        hint(fd, offset, size)

    monkeypatch.setattr(platform, "write_back", note)
    file, data = opened(target)
    for number in range(8):
        data[number] = number
    file.session.checkpoint()
    sidecar = Path(f"{target}.safeh5")
    # HDF5 keeps the last chunks, 8 MiB of them, until others come.
    for name, late in (("journal-00000001.log", 4), ("staging.h5", 12)):
        status = (sidecar / name).stat()
        covered = 0
        for begin, end in sorted(parts[status.st_ino]):
            assert begin <= covered + 65536, "a hole"
            covered = max(covered, end)
        assert covered >= status.st_size - late * 1024**2
    file.close()


def test_the_room_for_closing_counts_what_hdf5_keeps_of_datasets_that_only_the_program_has(
    target: Path,
) -> None:
    with safeh5.File(target, "w", interval_ms=10**6) as file:
        # One for each way: made and written by what the program has open, and nothing of it by the applier's.
        kept = [file.create_dataset(f"d{i}", (100_000,), "f8", chunks=(100_000,)) for i in range(3)]
        for data in kept:
            data[:] = 1
        on_disk = Path(f"{target}.safeh5/staging.h5").stat().st_size
        assert on_disk < 800_000, "this is about values in memory"
        assert file.session._workspace.room() >= 3 * 800_000


def test_a_hint_that_the_system_refuses_is_no_error() -> None:
    platform.write_back(-1, 0, 1)


# --- the same, at hand and from the record alone ---------------------------------------------------


def _frames(file: h5py.File) -> None:
    data = file.create_dataset("x", (0, *FRAME), "f8", maxshape=(None, *FRAME), chunks=(1, *FRAME))
    for number in range(3):
        data.resize(number + 1, axis=0)
        data[number] = np.full(FRAME, number, ">f4")
    data[:, 3:5] = np.arange(3 * 2 * FRAME[1]).reshape(3, 2, FRAME[1])


def _scattered(file: h5py.File) -> None:
    data = file.create_dataset("x", (4000, 200), "i4", chunks=(300, 70), compression="gzip")
    data[::3, 10:150:2] = np.arange(1334 * 70, dtype="i8").reshape(1334, 70)
    data[[1, 5, 1000], :] = np.arange(600, dtype="f4").reshape(3, 200)
    data[5:3000] = 9
    data.write_direct(np.arange(400 * 400).reshape(400, 400), np.s_[100:300:2, 200:400], np.s_[3000:3100])


def _shrunk(file: h5py.File) -> None:
    data = file.create_dataset("x", (100, 1000), "f8", maxshape=(200, None), chunks=(7, 300))
    data[:] = np.arange(100_000).reshape(100, 1000)
    data.resize((3, 1500))
    data.resize((150, 900))
    data[-1] = 1


def _stored(file: h5py.File) -> None:
    data = file.create_dataset("x", (4, *FRAME), "f8", chunks=(1, *FRAME))
    for number in range(4):
        data.id.write_direct_chunk((number, 0, 0), np.full(FRAME, number, "f8"))


@pytest.mark.parametrize("scenario", [_frames, _scattered, _shrunk, _stored])
def test_a_large_change_at_hand_and_from_its_record_give_the_same(
    tmp_path: Path, scenario: Callable[[h5py.File], None]
) -> None:
    three_ways(scenario, tmp_path)


def test_sizes_on_both_sides_of_each_limit_are_written_and_recovered(target: Path) -> None:
    sizes = [limit + step for limit in (applied.SMALL, applied.LARGE) for step in (-8, 0, 8)]
    file = safeh5.File(target, "w")
    for size in sizes:
        file[f"d{size}"] = np.arange(size // 8)
    file.session._abandon()
    safeh5.recover(target)
    with h5py.File(target) as plain:
        assert all(np.array_equal(plain[f"d{size}"], np.arange(size // 8)) for size in sizes)


COLLECTING = """
    import gc, sys
    import h5py, numpy as np, safeh5

    def collect_an_h5py_object(phase, info):
        with h5py._objects.phil:
            pass

    # Every few objects, in whichever thread is running, garbage is collected that has one of h5py's in it.
    gc.callbacks.append(collect_an_h5py_object)
    gc.set_threshold(3)
    with safeh5.File(sys.argv[1], "w", interval_ms=1) as file:
        for i in range(100):
            file[str(i)] = np.zeros(40_000)
            if i % 10 == 0:
                file.flush()
    print("done")
"""


def test_garbage_with_h5py_objects_in_it_never_stops_a_large_write(target: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(COLLECTING), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "done\n", done.stderr
