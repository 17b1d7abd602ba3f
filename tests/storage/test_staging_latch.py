"""No error and no interrupt ever reaches libhdf5: the first error is latched, an interrupt waits."""

from __future__ import annotations

import errno
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from safeh5.storage import StagingFile, Storage, Uninterrupted
from safeh5.testing.faults import Fault, FaultyStorage, disk_full
from tests.storage.staged import MODES, fill, hdf5

# --- the latch -------------------------------------------------------------------------------------


@pytest.mark.parametrize("effect", ["write_at", "truncate", "read_at"])
@pytest.mark.parametrize("mode", MODES)
def test_the_first_error_is_latched_and_never_raised(tmp_path: Path, mode: str, effect: str) -> None:
    if mode == "r+":
        h5py.File(tmp_path / "f", "w").close()
    storage = FaultyStorage(Fault(effect, nth=2, error=errno.ENOSPC), Fault(effect, nth=3, error=errno.EIO))
    staging = MODES[mode](storage, tmp_path / "f")
    buffer = bytearray(b"x" * 10)
    calls = {"write_at": lambda: staging.write(b"abc"), "read_at": lambda: staging.readinto(buffer)}
    for size in (1, 2, 3, 4):
        calls.get(effect, lambda size=size: staging.truncate(size))()
    assert isinstance(staging.error, OSError)
    assert staging.error.errno == errno.ENOSPC
    assert storage.effects().count(effect) == 2
    with pytest.raises(OSError) as caught:
        staging.sync()
    assert caught.value is staging.error
    staging.close()


def test_after_the_latch_writes_are_swallowed_and_reads_give_zeros(tmp_path: Path) -> None:
    storage = FaultyStorage(disk_full("write_at", nth=2))
    with StagingFile.create(storage, tmp_path / "f") as staging:
        staging.write(b"good")
        staging.seek(4)
        staging.write(b"lost")
        assert staging.size == 8
        staging.seek(0)
        buffer = bytearray(b"xxxx")
        staging.readinto(buffer)
        assert buffer == bytes(4)
    assert (tmp_path / "f").read_bytes() == b"good"


def test_a_failed_sync_is_raised_and_latched_and_not_tried_again(tmp_path: Path) -> None:
    storage = FaultyStorage(Fault("sync"))
    with StagingFile.create(storage, tmp_path / "f") as staging:
        for _ in range(2):
            with pytest.raises(OSError):
                staging.sync()
        assert storage.effects().count("sync") == 1


def test_after_close_libhdf5_may_still_call(tmp_path: Path) -> None:
    staging = StagingFile.create(Storage(), tmp_path / "f")
    file = hdf5(staging, "w")
    file["x"] = 1
    staging.close()
    staging.close()
    file.close()
    assert isinstance(staging.error, OSError)


def _faults(mode: str, path: Path) -> Iterator[tuple[Fault, str]]:
    """A fault for every call of a clean run, with each file format."""
    for libver in ("earliest", "latest"):
        storage = FaultyStorage()
        _drive(storage, path, mode, libver)
        for number in range(2, len(storage.calls) + 1):
            yield Fault(nth=number, times=None, error=errno.ENOSPC), libver


def _drive(storage: FaultyStorage, path: Path, mode: str, libver: str) -> StagingFile:
    path.unlink(missing_ok=True)
    if mode == "r+":
        with h5py.File(path, "w", libver=libver) as file:
            file["base/x"] = np.arange(10_000)
    with MODES[mode](storage, path) as staging:
        try:
            file = hdf5(staging, mode, libver=libver)
        except (OSError, RuntimeError):
            return staging  # it could not be read: zeros are no HDF5 file
        try:
            fill(file)
            file.close()
        except Exception:
            # libhdf5 may see through the zeros; what counts is that the file is latched, and no crash.
            assert staging.error is not None
        file.close()
    return staging


@pytest.mark.parametrize("mode", MODES)
def test_a_disk_that_fills_at_any_call_neither_crashes_libhdf5_nor_goes_unnoticed(
    tmp_path: Path, mode: str
) -> None:
    script = f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from tests.storage.test_staging_latch import fail_each_call
        fail_each_call({mode!r}, Path({str(tmp_path / "f")!r}))
    """
    done = _run(script)
    # HDF5 1.14.2 may still crash when the process ends, with all its work done.
    ended = -signal.SIGSEGV if h5py.version.hdf5_version_tuple < (1, 14, 4) else 0
    assert done.returncode in (0, ended), done.stderr
    assert int(done.stdout) > 50


def fail_each_call(mode: str, path: Path) -> None:
    count = 0
    for fault, libver in _faults(mode, path):
        storage = FaultyStorage(fault)
        staging = _drive(storage, path, mode, libver)
        assert isinstance(staging.error, OSError), fault
        assert staging.error.errno == errno.ENOSPC
        count += 1
    print(count)


def test_a_process_that_ends_with_the_file_open_does_not_crash(tmp_path: Path) -> None:
    script = f"""
        import builtins, h5py, numpy
        from safeh5.storage import StagingFile, Storage
        staging = StagingFile.create(Storage(), {str(tmp_path / "f")!r})
        file = h5py.File(repr(staging), "w", driver="fileobj", fileobj=staging)
        for number in range(200):
            file.create_group(f"g{{number}}")["x"] = numpy.arange(100)
        builtins.kept = file, staging
        print("end")
    """
    done = _run(script)
    assert (done.returncode, done.stdout.strip()) == (0, "end"), done.stderr


def _run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=150,
    )


# --- interrupts ------------------------------------------------------------------------------------


class Alarm(Exception):
    """What the handler of these tests raises."""


@pytest.fixture
def alarm() -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise Alarm

    if sys.platform == "win32":
        pytest.skip("POSIX signals")
    before = signal.signal(signal.SIGALRM, ring)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def _interrupted_write(staging: StagingFile, file: h5py.File, seconds: float, held: bool) -> bool:
    """Write and flush with an alarm set; whether it rang. Only an alarm may come out."""
    rang = False
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        if held:
            with Uninterrupted():
                _write_and_flush(file)
        else:
            _write_and_flush(file)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Alarm:
        rang = True
    return rang or staging.error is not None


def _write_and_flush(file: h5py.File) -> None:
    file["d"][...] = np.random.default_rng().random(file["d"].shape)
    file.flush()


@pytest.mark.timed  # an alarm that rings inside coverage's own lock waits for it for ever
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_inside_a_callback_never_reaches_libhdf5(tmp_path: Path, alarm: None) -> None:
    latched = 0
    for number in range(150):
        path = tmp_path / f"f{number}"
        with StagingFile.create(Storage(), path) as staging:
            file = hdf5(staging, "w")
            file.create_dataset("d", (64, 64), "f8", chunks=(16, 64), compression="gzip")
            _interrupted_write(staging, file, random.uniform(1e-5, 1.5e-3), held=False)
            signal.setitimer(signal.ITIMER_REAL, 0)
            # A failed call of libhdf5 would have raised something else than the alarm.
            latched += isinstance(staging.error, Alarm)
            file.close()
        path.unlink()
    assert latched


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_held_back_costs_no_file(tmp_path: Path, alarm: None) -> None:
    rang = 0
    with StagingFile.create(Storage(), tmp_path / "f") as staging:
        with hdf5(staging, "w") as file:
            file.create_dataset("d", (64, 64), "f8", chunks=(16, 64), compression="gzip")
            for _ in range(200):
                rang += _interrupted_write(staging, file, random.uniform(1e-5, 1.5e-3), held=True)
        assert staging.error is None
    assert rang
    with h5py.File(tmp_path / "f") as file:
        assert file["d"][:].any()
