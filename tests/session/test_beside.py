"""An applier in a process beside: the same file, whatever becomes of it, and the acquisition goes on."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import ApplyError, BacklogFull, SessionStateError, TargetChangedError
from safeh5.microdata import MicroDataGroup, MicroDataset
from safeh5.operations.model import Delete
from safeh5.session import Session, State
from safeh5.session.beside import Beside
from safeh5.testing.compare import assert_same
from tests.support import REFUSED, batches, entries, held, held_in, make_old, sidecar, write_batch

NO_STAMPS = {"machine_id": None, "timestamp": None}
ROOT = Path(__file__).parents[2]

# Processes are stopped and killed here, at moments that a busy machine shifts: the short form for every
# run is test_beside_short.py.
pytestmark = pytest.mark.slow


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "run.h5"


@pytest.fixture(autouse=True)
def nothing_left_behind(target: Path) -> Iterator[None]:
    """No applier is left of any session that has ended."""
    yield
    wait_until(lambda: appliers_below(os.getpid()) == [], "an applier is left")


def wait_until(true: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def appliers_below(parent: int) -> list[int]:
    """The appliers that a process has started and that are alive."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if b"safeh5.recovery.child" in command and int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def opened(target: Path, **options: object) -> Session:
    return safeh5.open(target, applier="process", **options)  # type: ignore[arg-type]


def beside_of(session: Session) -> Beside:
    return session._workspace.beside.beside  # type: ignore[attr-defined,no-any-return]


def child_of(session: Session) -> int:
    """The process id of the applier, once there is one."""
    beside = beside_of(session)
    wait_until(lambda: beside._process is not None, "no applier")
    process = beside._process
    return process.pid if process is not None else child_of(session)


def kill_child(session: Session) -> None:
    os.kill(child_of(session), signal.SIGKILL)


def caught_up(session: Session) -> None:
    wait_until(lambda: session.lag_bytes == 0, f"{session.lag_bytes} bytes behind")


# --- the same file --------------------------------------------------------------------------------


def mixed_work(session: Session) -> None:
    """Trees, streams, batches that are cancelled, rewinding, deleting."""
    session.write(
        MicroDataGroup(
            "a", attrs=NO_STAMPS, children=[MicroDataset("x", np.arange(100.0)), MicroDataset("s", "text")]
        )
    )
    session.write(
        MicroDataGroup("b", "/a/", NO_STAMPS, children=[MicroDataset("y", np.eye(20), compression="gzip")])
    )
    frames = session.stream("/run/frames", (8, 8), "u2", attrs={"camera": "A"})
    words = session.stream("/run/words", (), h5py.string_dtype())
    for number in range(30):
        frames.append(np.full((8, 8), number))
        words.append(f"step {number}")
        if number % 7 == 0:
            with pytest.raises(ZeroDivisionError), session.batch():
                frames.append(np.full((8, 8), 999))
                words.append("never")
                _ = 1 / 0
    frames.rewind(25)
    frames.write((slice(0, 3), 0), 77)
    frames.extend(np.arange(5 * 64).reshape(5, 8, 8))
    session.write(MicroDataset("x", np.arange(7), parent="/a/"), overwrite=True)
    session.record(Delete(path="/a/s"))


@pytest.mark.parametrize("durability", ["record", "interval", "flush"])
def test_the_file_is_the_one_that_an_inline_applier_makes(target: Path, durability: str) -> None:
    other = target.with_name("inline.h5")
    for path in (target, other):
        make_old(path)
    with opened(target, durability=durability) as session:
        mixed_work(session)
    with safeh5.open(other) as session:
        mixed_work(session)
    assert_same(target, other)
    assert entries(target) == ["inline.h5"]


@pytest.mark.parametrize("durability", ["record", "interval", "flush"])
def test_what_is_written_can_be_read_at_once(target: Path, durability: str) -> None:
    session = opened(target, durability=durability)
    for number in range(3):
        write_batch(session, number)
        assert held_in(session.file) == batches(*range(number + 1))
    shown = session.file
    write_batch(session, 3)
    assert not shown  # closed: it would be torn by the next checkpoint
    with session.batch():
        assert session.file  # nothing is in the batch yet
        session.record(Delete(path="/b0"))
        with pytest.raises(SessionStateError, match="inline"):
            _ = session.file
    assert held_in(session.file) == batches(1, 2, 3)
    session.rollback()


# --- the applier dies -----------------------------------------------------------------------------


def test_an_applier_that_died_idle_is_replaced_and_told_of_what_comes_next(target: Path) -> None:
    session = opened(target)
    write_batch(session, 0)
    session.checkpoint()
    first = child_of(session)
    kill_child(session)
    wait_until(lambda: beside_of(session)._process is not None and child_of(session) != first, "not replaced")
    for number in range(1, 4):
        write_batch(session, number)
        caught_up(session)
    session.commit()
    assert held(target) == batches(0, 1, 2, 3)


@pytest.mark.parametrize("ending", ["commit", "rollback", "keep", "suspend", "raise"])
def test_an_applier_killed_just_before_the_end_does_not_come_back_after_it(target: Path, ending: str) -> None:
    old = make_old(target)
    session = opened(target)
    write_batch(session, 0)
    kill_child(session)
    wait_until(lambda: beside_of(session)._process is None or beside_of(session)._deaths, "it did not die")
    if ending == "raise":
        with pytest.raises(ZeroDivisionError), session:
            _ = 1 / 0
    else:
        {"keep": lambda: session.rollback(keep=True)}.get(ending, getattr(session, ending, None))()  # type: ignore[misc]
    time.sleep(0.5)  # it would have come back by now
    assert appliers_below(os.getpid()) == []
    if ending == "commit":
        assert held(target) == batches(0, old=True)
    else:
        assert target.read_bytes() == old
    if ending in ("suspend", "raise"):
        safeh5.recover(target)
        assert held(target) == batches(0, old=True)


def kills(target: Path, seed: int, times: int) -> None:
    """A session whose applier is killed again and again, at any moment."""
    chance, number = random.Random(seed), 0
    session = opened(target, checkpoint_bytes=200, checkpoint_seconds=0.05)
    stream = session.stream("/stream", (100,), "i4")
    beside = beside_of(session)
    for _ in range(times):
        stop = time.monotonic() + chance.choice([0.0, 0.05, chance.uniform(0.2, 0.5)])
        while True:
            stream.append(np.full(100, number))
            number += 1
            if time.monotonic() > stop:
                break
            time.sleep(0.002)
        with beside._news:
            if beside._process is not None:
                beside._process.kill()
        if chance.random() < 0.1:
            assert session.file["stream"].shape == (number, 100)
    session.commit()
    with h5py.File(target) as file:
        np.testing.assert_array_equal(file["stream"][:, 3], np.arange(number))


def test_an_applier_killed_at_any_moment_costs_time_and_nothing_else(target: Path) -> None:
    kills(target, seed=1, times=12)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2, 6))
def test_an_applier_killed_hundreds_of_times_costs_time_and_nothing_else(target: Path, seed: int) -> None:
    kills(target, seed, times=150)


def test_an_applier_that_cannot_be_started_does_not_stop_the_acquisition(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(target)
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", _no_memory)
        for number in range(3):
            write_batch(session, number)
    session.commit()
    assert held(target) == batches(0, 1, 2)


def _no_memory(*args: object, **kwargs: object) -> None:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def test_a_record_that_hdf5_refuses_leaves_the_acquisition_going_and_is_named_at_commit(target: Path) -> None:
    session = opened(target)
    write_batch(session, 0)
    lsn = session.record(Delete(path="/missing"))
    for number in range(1, 4):
        write_batch(session, number)
    with pytest.raises(ApplyError) as caught:
        session.commit()
    assert caught.value.lsn == lsn and str(lsn) in str(caught.value)
    assert "--salvage" in str(caught.value)
    assert session.state is State.OPEN
    write_batch(session, 4)
    session.suspend()
    assert not target.exists()
    safeh5.recover(target, "salvage")
    assert held(target) == batches(0, 1, 2, 3, 4)


def test_a_refused_record_can_still_be_rolled_back(target: Path) -> None:
    old = make_old(target)
    session = opened(target)
    session.record(REFUSED, bytes(20))
    session.rollback()
    assert target.read_bytes() == old and entries(target) == []


# --- it falls behind ------------------------------------------------------------------------------


def stop(pid: int) -> None:
    """Stop a process; on return it has stopped."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: run_state(pid) == "T", "it does not stop")


def run_state(pid: int) -> str:
    """R, S, T... as in /proc; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def frozen(session: Session) -> int:
    """Stop the applier; returns its process id."""
    pid = child_of(session)
    stop(pid)
    return pid


def test_a_backlog_makes_a_call_raise_before_it_has_written_anything(target: Path) -> None:
    session = opened(target, backlog_bytes=100_000, on_backlog="raise")
    stream = session.stream("/stream", (1000,), "u1")
    pid = frozen(session)
    with pytest.raises(BacklogFull) as caught:
        for _ in range(1000):
            stream.append(bytes(1000) and np.zeros(1000, "u1"))
    assert "100000" in str(caught.value)
    length, lsn = stream.length, session.last_lsn
    assert 100 <= length <= 103
    with pytest.raises(BacklogFull):
        stream.append(np.zeros(1000, "u1"))
    assert (stream.length, session.last_lsn) == (length, lsn)
    assert session.lag_bytes > 100_000 and session.lag_seconds > 0
    os.kill(pid, signal.SIGCONT)
    caught_up(session)
    stream.append(np.zeros(1000, "u1"))
    session.commit()
    with h5py.File(target) as file:
        assert file["stream"].shape == (length + 1, 1000)


def test_a_backlog_makes_a_call_wait_until_there_is_room(target: Path) -> None:
    session = opened(target, backlog_bytes=50_000)
    stream = session.stream("/stream", (1000,), "u1")
    pid = frozen(session)
    subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -CONT {pid}"])
    begun = time.monotonic()
    for _ in range(120):
        stream.append(np.zeros(1000, "u1"))
    assert time.monotonic() - begun > 0.4
    assert session.lag_bytes <= 52_000
    session.commit()
    with h5py.File(target) as file:
        assert file["stream"].shape == (120, 1000)


# --- a full disk ----------------------------------------------------------------------------------

FULL = """
import resource, signal, sys, time
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import numpy as np, safeh5
from safeh5.errors import DiskFullError
session = safeh5.open(sys.argv[1], applier="process", segment_bytes=100_000)
stream = session.stream("/stream", (1000,), "f8")
for number in range(20):
    stream.append(np.full(1000, number))
session.checkpoint()
pid = session._workspace.beside.beside._process.pid
full, free = (400_000, 400_000), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
resource.prlimit(pid, resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
for number in range(20, 80):
    stream.append(np.full(1000, number))
try:
    session.commit()
except DiskFullError as error:
    print("full:", error)
else:
    sys.exit("committed without room")
resource.setrlimit(resource.RLIMIT_FSIZE, free)
stream.append(np.full(1000, 80))
session.commit()
"""


def test_a_staging_file_without_room_leaves_the_acquisition_going(target: Path) -> None:
    """Files may not grow beyond 400 kB: the journal's segments are smaller, the staging file is not."""
    done = run_python(FULL, target)
    assert done.returncode == 0, done.stderr
    assert "full: " in done.stdout
    with h5py.File(target) as file:
        np.testing.assert_array_equal(file["stream"][:, 7], np.arange(81))


def run_python(program: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, args)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )


# --- the session dies -----------------------------------------------------------------------------

ACQUIRE = """
import os, sys, numpy as np, safeh5
session = safeh5.open(sys.argv[1], applier="process", resume=True, checkpoint_bytes=3000)
stream = session.stream("/stream", (100,), "i4")
assert stream.length == stream.durable_length
for number in range(stream.length, 1_000_000):
    stream.append(np.full(100, number))
    os.write(1, b"%d\\n" % number)
"""


def acquire_and_die(target: Path, seconds: float, signal_number: int = signal.SIGKILL) -> int:
    """Acquire for some time after the first item, be killed; returns how many items were acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", ACQUIRE, str(target)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal_number)
    last = process.stdout.read().splitlines()
    assert process.wait() == -signal_number
    return int(last[-1] if last else first) + 1


def test_a_session_killed_with_its_applier_at_work_is_resumed_and_loses_nothing(target: Path) -> None:
    chance, acknowledged = random.Random(3), 0
    for _ in range(3):
        acknowledged = acquire_and_die(target, chance.uniform(0.0, 0.8))
    with opened(target, resume=True) as session:
        stream = session.stream("/stream")
        assert acknowledged <= stream.length <= acknowledged + 1
        assert stream.durable_length == stream.length
        stream.append(np.full(100, stream.length))
        length = stream.length
    with h5py.File(target) as file:
        np.testing.assert_array_equal(file["stream"][:, 5], np.arange(length))
    assert entries(target) == []


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_session_killed_with_its_applier_at_work_is_recovered(target: Path, signal_number: int) -> None:
    make_old(target)
    acknowledged = acquire_and_die(target, 0.3, signal_number)
    safeh5.recover(target)
    with h5py.File(target) as file:
        found = file["stream"][:, 5]
        assert acknowledged <= len(found) <= acknowledged + 1
        np.testing.assert_array_equal(found, np.arange(len(found)))
        assert "old" in file


ORPHAN = """
import os, signal, sys, time, safeh5
from tests.support import write_batch
session = safeh5.open(sys.argv[1], applier="process")
write_batch(session, 0)
session.checkpoint()
if os.fork() == 0:  # a worker that outlives the session, and knows nothing of the applier
    os.close(1)
    time.sleep(60)
    os._exit(0)
print(session._workspace.beside.beside._process.pid, flush=True)
time.sleep(60)
"""


def orphaned(target: Path) -> tuple[subprocess.Popen[str], int]:
    """A session with an applier and a fork of itself; returns it, and the applier's process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(target)], stdout=subprocess.PIPE, cwd=ROOT, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def alive(pid: int) -> bool:
    return run_state(pid) not in ("", "Z")


def test_an_applier_ends_with_its_session_even_if_a_fork_of_that_lives_on(target: Path) -> None:
    process, child = orphaned(target)
    try:
        assert alive(child)
        process.kill()
        process.wait()
        wait_until(lambda: not alive(child), "the applier outlived its session", 5.0)
    finally:
        os.killpg(process.pid, signal.SIGKILL)


HOLDER = """
import sys, time
from safeh5.storage import TargetLock
lock = TargetLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(0.7)
lock.release(remove=True)
"""


@pytest.mark.parametrize("go_on", ["recover", "resume", "resume beside"])
def test_nobody_opens_the_staging_file_before_an_orphaned_applier_is_gone(target: Path, go_on: str) -> None:
    """What the orphan has is the lock of the staging file, until its process is gone."""
    session = opened(target)
    write_batch(session, 0)
    session.checkpoint()
    session._abandon()
    lock = sidecar(target) / "staging.h5.lock"
    orphan = subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, cwd=ROOT)
    assert orphan.stdout is not None and orphan.stdout.readline() == b"held\n"
    begun = time.monotonic()
    if go_on == "recover":
        safeh5.recover(target)
    else:
        with safeh5.open(
            target, resume=True, applier="process" if "beside" in go_on else "inline"
        ) as session:
            assert held_in(session.file) == batches(0)
    assert time.monotonic() - begun > 0.4
    assert orphan.wait() == 0
    assert held(target) == batches(0) and entries(target) == []


# --- endings --------------------------------------------------------------------------------------


def test_a_commit_that_was_refused_leaves_the_session_open_and_can_be_repeated(target: Path) -> None:
    old = make_old(target)
    session = opened(target)
    write_batch(session, 0)
    session.checkpoint()
    target.write_bytes(old + b"changed")
    for number in (1, 2):
        with pytest.raises(TargetChangedError):
            session.commit()
        assert session.state is State.OPEN
        write_batch(session, number)
        assert held_in(session.file) == batches(*range(number + 1), old=True)
    session.rollback()
    assert target.read_bytes() == old + b"changed"


def test_a_target_that_changed_before_the_applier_had_copied_it_is_named(target: Path) -> None:
    old = make_old(target)
    session = opened(target)
    target.write_bytes(old + b"changed")
    write_batch(session, 0)
    with pytest.raises(TargetChangedError) as caught:
        session.commit()
    assert str(target) in str(caught.value) and "--salvage" not in str(caught.value)
    session.rollback()


@pytest.mark.parametrize("durability", ["record", "interval", "flush"])
@pytest.mark.parametrize("again", ["process", "inline"])
def test_a_suspended_session_goes_on_with_either_applier(target: Path, again: str, durability: str) -> None:
    make_old(target)
    session = opened(target, durability=durability)
    write_batch(session, 0)
    session.suspend()
    assert appliers_below(os.getpid()) == []
    session = safeh5.open(target, resume=True, applier=again)
    write_batch(session, 1)
    assert held_in(session.file) == batches(0, 1, old=True)
    session.suspend()
    with opened(target, resume=True, durability=durability) as session:
        write_batch(session, 2)
    assert held(target) == batches(0, 1, 2, old=True)


def test_two_sessions_have_an_applier_each(target: Path) -> None:
    other = target.with_name("other.h5")
    with opened(target) as one, opened(other) as two:
        write_batch(one, 0)
        write_batch(two, 1)
        assert child_of(one) != child_of(two)
    assert (held(target), held(other)) == (batches(0), batches(1))


def test_a_checkpoint_of_the_applier_is_a_whole_file_on_disk(target: Path) -> None:
    session = opened(target, libver="latest")
    for number in range(3):
        write_batch(session, number)
        session.checkpoint()
        assert held(sidecar(target) / "staging.h5") == batches(*range(number + 1))
    session.rollback()


def test_a_tree_may_build_on_another_one_of_the_same_batch(target: Path) -> None:
    with opened(target) as session:
        write_batch(session, 0)
        with session.batch():
            first = session.write(safeh5.MicroDataGroup("Scan_")).paths[0]
            second = session.write(safeh5.MicroDataGroup("Scan_")).paths[0]
            session.write(safeh5.MicroDataset("values", [1.0, 2.0], parent=second))
            with pytest.raises(SessionStateError, match="inside a batch"):
                session.file  # noqa: B018
        assert (first, second) == ("/Scan_000", "/Scan_001")
        with pytest.raises(ZeroDivisionError), session.batch():
            session.write(safeh5.MicroDataGroup("Scan_"))
            assert session.write(safeh5.MicroDataGroup("Scan_")).paths[0] == "/Scan_003"
            raise ZeroDivisionError
        frames = session.stream("/Scan_001/frames", shape=(2,), dtype="f8")
        frames.append([3.0, 4.0])
        assert set(session.file) == {"b0", "Scan_000", "Scan_001"}
        assert child_of(session)  # and the applier is at work again
    with h5py.File(target) as file:
        assert set(file) == {"b0", "Scan_000", "Scan_001"}
        assert file["Scan_001/values"][:].tolist() == [1.0, 2.0]
        assert file["Scan_001/frames"][:].tolist() == [[3.0, 4.0]]


def test_a_session_that_ends_behind_such_a_batch_is_whole(target: Path) -> None:
    make_old(target)
    with opened(target) as session, session.batch():
        for number in range(3):
            assert session.write(safeh5.MicroDataGroup("Scan_")).paths[0] == f"/Scan_{number:03d}"
    with h5py.File(target) as file:
        assert set(file) == {"old", "Scan_000", "Scan_001", "Scan_002"}
