"""Rows that wait in memory are there whenever somebody asks for everything, and at every end but a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import safeh5
from safeh5.errors import SessionStateError
from tests.session.gathering import content, gathering, row

_CHILD = """
import os, signal, sys
import numpy as np, safeh5
session = safeh5.open(sys.argv[1], durability=sys.argv[2], interval_ms=60_000)
stream = session.stream("/a", (8,), "i4")
for n in range(10):
    stream.append(np.full(8, n, "i4"))
if sys.argv[3] == "synced":
    session.sync()
for n in range(10, 15):
    stream.append(np.full(8, n, "i4"))
if sys.argv[4] == "fork":
    if os.fork() == 0:
        try:
            stream.append(np.full(8, 99, "i4"))
        except safeh5.errors.SessionStateError:
            print("refused", flush=True)
        os._exit(0)
    os.wait()
    stream.append(np.full(8, 15, "i4"))
    session.commit()
elif sys.argv[4] != "exit":
    os.kill(os.getpid(), getattr(signal, sys.argv[4]))
"""


def run_child(target: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_CHILD), str(target), *arguments],
        capture_output=True, text=True, timeout=60, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize(("durability", "least"), [("record", 15), ("interval", 10), ("flush", 10)])
def test_sigkill_takes_only_rows_for_which_nothing_was_promised(
    target: Path, durability: str, least: int
) -> None:
    run_child(target, durability, "synced", "SIGKILL")
    with safeh5.open(target, resume=True) as session:
        assert least <= session.stream("/a").length <= 15
    kept = content(target, "/a")
    assert kept == list(range(len(kept)))


@pytest.mark.parametrize("how", ["SIGTERM", "exit"])
def test_rows_in_memory_are_sealed_with_the_session(target: Path, how: str) -> None:
    run_child(target, "flush", "not synced", how)
    with safeh5.open(target, resume=True) as session:
        assert session.stream("/a").length == 15
    assert content(target, "/a") == list(range(15))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_of_the_process_takes_no_rows(target: Path) -> None:
    done = run_child(target, "flush", "synced", "fork")
    assert done.stdout == "refused\n", done.stderr
    assert content(target, "/a") == list(range(16))


@pytest.mark.parametrize("end", ["commit", "suspend", "checkpoint", "file"])
def test_whoever_asks_for_everything_gets_the_rows_in_memory_too(target: Path, end: str) -> None:
    session = gathering(target)
    stream = session.stream("/a", (8,), "i4")
    for n in range(5):
        stream.append(row(n))
    if end == "file":
        assert session.file["a"][..., 0].tolist() == list(range(5))
    else:
        getattr(session, end)()
    if end != "commit":
        session._abandon()
        safeh5.open(target, resume=True).commit()
    assert content(target, "/a") == list(range(5))


def test_after_a_roll_back_no_row_is_taken(target: Path) -> None:
    session = gathering(target)
    stream = session.stream("/a", (8,), "i4")
    stream.append(row(0)), stream.append(row(1))
    session.rollback()
    with pytest.raises(SessionStateError):
        stream.append(row(2))
    assert not target.exists()
