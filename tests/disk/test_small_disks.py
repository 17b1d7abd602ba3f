"""Real file systems that become full: libhdf5 never crashes, nothing acknowledged is lost, and it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import DiskFullError
from safeh5.recovery import Condition
from safeh5.session import Session, State
from safeh5.session.stream import Stream
from safeh5.testing.world import entries, make_old, sidecar
from tests.disk.conftest import MakeDisk

SIZES = {"ext4": 48, "xfs": 320, "btrfs": 160, "tmpfs": 40}
ITEM = 1 << 17


def item(number: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Something that does not compress and tells which it is."""
    return np.random.default_rng(number).integers(0, 256, ITEM, dtype="u1")


def until_full(stream: Stream) -> int:
    """Append until there is no room; how many are in the stream then."""
    for number in range(len(stream), 1 << 20):
        try:
            stream.append(item(number))
        except DiskFullError as error:
            assert error.needed is not None or "no room" in str(error)
            break
    return len(stream)


def patiently(action: Callable[[], object]) -> None:
    """Do it when the file system has noticed what was deleted: some take a moment."""
    deadline = time.monotonic() + 45
    while time.monotonic() < deadline:
        try:
            action()
        except DiskFullError:
            time.sleep(0.1)
        else:
            return
    action()


def ballast(disk: Path, share: float) -> Path:
    path = disk / "ballast"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with path.open("wb") as file:
        file.write(os.urandom(int(free * share)))
        os.fsync(file.fileno())
    return path


def holds(target: Path, length: int) -> None:
    with h5py.File(target) as file:
        assert len(file["items"]) == length
        for number in range(length):
            np.testing.assert_array_equal(file["items"][number], item(number))


def opened(target: Path, applier: str, **options: int) -> tuple[Session, Stream]:
    session = safeh5.open(target, applier=applier, **options)
    return session, session.stream("/items", shape=(ITEM,), dtype="u1")


QUICK = {("ext4", 0), ("tmpfs", None)}
KINDS = [
    pytest.param(kind, applier, refuse, marks=() if (kind, refuse) in QUICK else pytest.mark.slow)
    for kind in SIZES
    for applier in ("inline", "process")
    for refuse in (None, 0)
]


@pytest.mark.root
@pytest.mark.parametrize(("kind", "applier", "refuse"), KINDS)
def test_a_session_on_a_disk_that_becomes_full_goes_on_when_there_is_room_and_commits_everything(
    make_disk: MakeDisk, kind: str, applier: str, refuse: int | None
) -> None:
    disk = make_disk(kind, SIZES[kind])
    target = disk / "run.h5"
    old = make_old(target)
    weight = ballast(disk, 0.75)  # xfs sets more aside for files that grow than they need
    session, stream = opened(target, applier, **({} if refuse is None else {"refuse_below": refuse}))
    length = until_full(stream)
    assert length > 10 and session.state is State.OPEN
    assert stream.durable_length == length, "what was acknowledged is on the disk"
    try:
        session.commit()
    except DiskFullError as error:
        assert error.missing or "no room" in str(error)
        assert session.state is State.OPEN and target.read_bytes() == old
    if session.state is State.OPEN:
        weight.unlink()
        for number in range(length, length + 3):
            patiently(lambda number=number: stream.append(item(number)))  # type: ignore[misc]
        length += 3
        patiently(session.commit)
    holds(target, length)
    assert set(entries(target)) <= {"ballast", "lost+found"}


@pytest.mark.root
@pytest.mark.parametrize("applier", ["inline", "process"])
def test_a_session_that_is_killed_on_a_full_disk_can_be_recovered_when_there_is_room(
    make_disk: MakeDisk, applier: str
) -> None:
    disk = make_disk("tmpfs", 40)
    target = disk / "run.h5"
    weight = ballast(disk, 0.6)
    length = acquired_until_full(target, applier, signal.SIGKILL)
    try:
        safeh5.recover(target)
    except DiskFullError as error:
        assert error.missing and "are needed" in str(error)
        assert not target.exists()
        weight.unlink()
        safeh5.recover(target)
    else:
        assert applier == "process", "an applier beside may have had everything in the new file already"
    holds(target, length)
    assert set(entries(target)) <= {weight.name}


@pytest.mark.root
@pytest.mark.parametrize("kind", ["ext4", pytest.param("btrfs", marks=pytest.mark.slow),
                                  pytest.param("xfs", marks=pytest.mark.slow)])  # fmt: skip
@pytest.mark.parametrize("applier", ["inline", "process"])
def test_sigterm_on_a_full_disk_seals_the_session(make_disk: MakeDisk, kind: str, applier: str) -> None:
    disk = make_disk(kind, SIZES[kind])
    target = disk / "run.h5"
    weight = ballast(disk, 0.6)
    length = acquired_until_full(target, applier, signal.SIGTERM)
    report = safeh5.status(target)
    assert report.condition is Condition.SUSPENDED, "the seal is in the journal, thanks to the reserve"
    weight.unlink()
    patiently(lambda: safeh5.recover(target))
    holds(target, length)


PROGRAM = """
import os, sys, time, safeh5
sys.path.insert(0, {root!r})
from tests.disk.test_small_disks import opened, until_full
others = open({target!r} + ".others", "wb", buffering=0)
session, stream = opened({target!r}, {applier!r}, refuse_below=0)
until_full(stream)
# Everybody else takes the last byte.
size = 1 << 16
while size:
    try:
        others.write(bytes(size))
        os.fsync(others.fileno())
    except OSError:
        size //= 2
print(len(stream), flush=True)
time.sleep(60)
"""


def acquired_until_full(target: Path, applier: str, number: int) -> int:
    """Another process fills the disk, and is ended then; how much it acknowledged."""
    program = PROGRAM.format(root=str(Path(__file__).parents[2]), target=str(target), applier=applier)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    length = int(process.stdout.readline())
    process.send_signal(number)
    assert process.wait(30) == -number
    process.stdout.close()
    time.sleep(0.2)
    Path(f"{target}.others").unlink()
    return length


# --- without root: a limit on the size of files -----------------------------------------------------


LIMITED = """
import resource, sys, safeh5
sys.path.insert(0, {root!r})
from tests.disk.test_small_disks import item, opened
from safeh5.errors import DiskFullError
resource.setrlimit(resource.RLIMIT_FSIZE, (6 << 20, resource.RLIM_INFINITY))
session, stream = opened({target!r}, {applier!r}, segment_bytes=1 << 20)
# The journal goes on in new segments: it is the applier that finds no room.
for number in range(160):
    stream.append(item(number))
length = len(stream)
try:
    session.commit()
    sys.exit("committed")
except DiskFullError as error:
    assert error.errno, error
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
if {applier!r} == "process":
    session._workspace.drop()  # the applier has inherited the limit
stream.append(item(length))
session.commit()
print(length + 1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on the size of files")
@pytest.mark.parametrize("applier", ["inline", "process"])
def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path, applier: str) -> None:
    target = tmp_path / "run.h5"
    program = LIMITED.format(root=str(Path(__file__).parents[2]), target=str(target), applier=applier)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    holds(target, int(done.stdout))
    assert not sidecar(target).exists()
