"""libhdf5 writes through `StagingFile`, and nothing that goes wrong reaches it."""

from __future__ import annotations

import errno
import os
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

MODES = {"w": StagingFile.create, "r+": StagingFile.open}


def hdf5(staging: StagingFile, mode: str, **kwargs: object) -> h5py.File:
    return h5py.File(repr(staging), mode, driver="fileobj", fileobj=staging, **kwargs)


def fill(file: h5py.File) -> None:
    """Work of every kind: raw data, chunks, filters, metadata, deletion."""
    for number in range(4):
        group = file.create_group(f"g{number}")
        group.attrs["x"] = "some text" * number
        group["d"] = np.arange(1000)
        chunked = group.create_dataset(
            "c", (8, 64, 64), "f4", chunks=(1, 64, 64), maxshape=(None, 64, 64),
            compression="gzip" if number % 2 else None, fletcher32=number == 3,
        )  # fmt: skip
        for index in range(4):
            chunked[index] = np.full((64, 64), index)
        chunked.resize((12, 64, 64))
        group["strings"] = np.array(["a" * number, "b"], dtype=h5py.string_dtype())
        if number == 2:
            del file["g1/d"]
            file.flush()
            assert chunked[2, 0, 0] in (2, 0)  # zeros, once the file is latched


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_what_is_written_through_it_is_what_hdf5_writes_by_itself(tmp_path: Path, libver: str) -> None:
    with StagingFile.create(Storage(), tmp_path / "ours") as staging:
        with hdf5(staging, "w", libver=libver) as file:
            fill(file)
        assert staging.error is None
        staging.sync()
    with h5py.File(tmp_path / "plain", "w", libver=libver) as file:
        fill(file)
    assert content(tmp_path / "ours") == content(tmp_path / "plain")


def content(path: Path) -> dict[str, object]:
    found: dict[str, object] = {}

    def note(name: str, node: h5py.Group | h5py.Dataset) -> None:
        data = (node.dtype, node.chunks, node[...].tolist()) if isinstance(node, h5py.Dataset) else None
        found[name] = data, dict(node.attrs)

    with h5py.File(path, "r") as file:
        file.visititems(note)
    return found


def test_an_existing_file_is_reopened_and_goes_on(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f", "w") as file:
        file["old"] = np.arange(100_000)
    with StagingFile.open(Storage(), tmp_path / "f") as staging:
        with hdf5(staging, "r+") as file:
            assert file["old"][99_999] == 99_999
            del file["old"]
            file["new"] = 1
        assert staging.error is None
        assert staging.size == (tmp_path / "f").stat().st_size
    with h5py.File(tmp_path / "f", "r") as file:
        assert list(file) == ["new"]


def test_create_refuses_what_is_there_and_open_what_is_not(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        StagingFile.open(Storage(), tmp_path / "f")
    (tmp_path / "f").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        StagingFile.create(Storage(), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"precious"


def test_h5py_shows_the_name_it_is_given(tmp_path: Path) -> None:
    shown = str(tmp_path / "Messung-Ü.h5")
    with StagingFile.create(Storage(), tmp_path / "staging.h5", shown) as staging:
        assert repr(staging) == shown
        assert staging.path == str(tmp_path / "staging.h5")
        with hdf5(staging, "w") as file:
            assert file.filename == shown


def test_h5py_takes_it_for_a_file_object(tmp_path: Path) -> None:
    with StagingFile.create(Storage(), tmp_path / "f") as staging, h5py.File(staging, "w") as file:
        assert file.driver == "fileobj"
        assert file.filename == str(tmp_path / "f")


def test_libhdf5_asks_for_the_position_only_at_the_end(tmp_path: Path) -> None:
    """`StagingFile.tell` relies on it: `BytesIO.seek` knows no end of file."""
    asked: list[tuple[int, ...]] = []

    class Watched(StagingFile):
        def __init__(self, file: object, shown: object = None) -> None:
            super().__init__(file, shown)  # type: ignore[arg-type]
            seek, tell = self.seek, self.tell
            self.seek = lambda *where: (asked.append(where), seek(*where))[1]  # type: ignore[func-returns-value]
            self.tell = lambda: (asked.append(()), tell())[1]  # type: ignore[func-returns-value]

    with Watched.create(Storage(), tmp_path / "f") as staging, hdf5(staging, "w") as file:
        fill(file)
    with Watched.open(Storage(), tmp_path / "f") as staging, hdf5(staging, "r+") as file:
        file["more"] = file["g1/c"][:]
    tells = [index for index, call in enumerate(asked) if call == ()]
    assert tells
    assert all(asked[index - 1] == (0, os.SEEK_END) for index in tells)
    assert all(asked[index + 1] == () for index, call in enumerate(asked) if call == (0, os.SEEK_END))


def test_reading_past_the_end_gives_zeros(tmp_path: Path) -> None:
    with StagingFile.create(Storage(), tmp_path / "f") as staging:
        staging.write(b"abc")
        staging.seek(1)
        buffer = bytearray(b"x" * 200_000)
        assert staging.readinto(buffer) == len(buffer)
        assert buffer == b"bc" + bytes(199_998)


# --- one handle -------------------------------------------------------------------


@pytest.mark.parametrize("userblock", [0, 1024])
@pytest.mark.parametrize("mode", MODES)
def test_an_external_link_does_not_open_the_staging_file_a_second_time(
    tmp_path: Path, mode: str, userblock: int
) -> None:
    """Without this, the second handle cut off what the first had written after its last flush."""
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.arange(5)
    if mode == "r+":
        h5py.File(tmp_path / "f", "w", userblock_size=userblock).close()
    with MODES[mode](Storage(), tmp_path / "f", tmp_path / "run.h5") as staging:
        file = hdf5(staging, mode, userblock_size=userblock if mode == "w" else None)
        file["link"] = h5py.ExternalLink("other.h5", "/x")
        file.flush()
        file["big"] = np.arange(200_000)
        with pytest.raises((KeyError, OSError)):
            file["link"]
        assert staging.refused == 1
        file["more"] = np.arange(200_000)
        assert h5py.Dataset(h5py.h5o.open(file.id, b"link", _other_driver()))[3] == 3
        assert staging.refused == 1
        file.close()
        assert staging.error is None
    with h5py.File(tmp_path / "f") as file:
        assert (file["big"][-1], file["more"][-1], file["link"][-1]) == (199_999, 199_999, 4)


def _other_driver() -> object:
    access = h5py.h5p.create(h5py.h5p.LINK_ACCESS)
    access.set_elink_fapl(h5py.h5p.create(h5py.h5p.FILE_ACCESS))
    return access


def test_a_virtual_dataset_read_through_it_is_an_error_not_fill_values(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.arange(1, 6)
    with StagingFile.create(Storage(), tmp_path / "f") as staging, hdf5(staging, "w") as file:
        layout = h5py.VirtualLayout((5,), "i8")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "x", (5,))
        file.create_virtual_dataset("v", layout)
        file.flush()
        with pytest.raises(OSError, match="signature"):
            file["v"][:]
        assert staging.refused == 1
        assert staging.error is None
    with h5py.File(tmp_path / "f") as file:
        assert file["v"][:].tolist() == [1, 2, 3, 4, 5]


def test_eight_bytes_anywhere_in_the_file_are_read_as_they_are(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f", "w") as file:
        for number in range(600):
            file[f"x{number}"] = float(number + 1)
    for mode in ("r", "r+"):
        with StagingFile.open(Storage(), tmp_path / "f") as staging, hdf5(staging, mode) as file:
            file.id.get_filesize()
            assert [file[f"x{number}"][()] for number in range(600)] == [*range(1, 601)]
            assert staging.refused == 0


# --- the latch --------------------------------------------------------------------


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
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import test_staging
        test_staging._fail_each_call({mode!r}, Path({str(tmp_path / "f")!r}))
    """
    done = _run(script)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


def _fail_each_call(mode: str, path: Path) -> None:
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


# --- interrupts -------------------------------------------------------------------


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
