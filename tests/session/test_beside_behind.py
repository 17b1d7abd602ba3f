"""The applier falls behind, or its disk is full: the acquisition waits or is told, as it was asked to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from safeh5.errors import BacklogFull
from safeh5.session import Session
from tests.session.appliers import ROOT, caught_up, child_of, opened, run_state, wait_until

# Processes are stopped here: the short form for every run is test_beside_short.py.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_applier_is_left")]

# --- it falls behind -------------------------------------------------------------------------------


def stop(pid: int) -> None:
    """Stop a process; on return it has stopped."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: run_state(pid) == "T", "it does not stop")


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


# --- a full disk -----------------------------------------------------------------------------------


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
