"""Workloads: what is recorded, and how.

A workload is one or more lives, each in a process of its own, one after the
other in the same directory; between two of them nothing is synced, as between
a process that was killed and the one that comes after it.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import h5py

from safeh5.storage.children import environment
from safeh5.testing.states.disk import Tree, read_tree
from safeh5.testing.states.events import Event, read_trace

Life = Callable[[], None]
"""What one process does, in its working directory."""

_SECONDS: Final = 120.0


@dataclass(frozen=True)
class Workload:
    """What is recorded.

    Attributes
    ----------
    name : str
        How it is called.
    command : tuple of str
        What the processes run, behind ``python -m safeh5.testing.states.life``.
    lives : int
        How many of them there are.
    prepare : callable, optional
        Makes what is there at the beginning, in a directory.
    look : callable, optional
        Reads a state of the target with plain h5py, and raises if it is not whole.
    from_checkpoint : bool
        Whether recovery goes on from the last checkpoint, as it does with large files.
    """

    name: str
    command: tuple[str, ...]
    lives: int = 1
    prepare: Callable[[Path], None] | None = None
    look: Callable[[h5py.File], None] | None = None
    from_checkpoint: bool = False


@dataclass(frozen=True)
class Recording:
    """What a workload did.

    Attributes
    ----------
    workload : Workload
        Which.
    start : Tree
        What was there at the beginning.
    events : list of Event
        What was done.
    end : Tree
        What was there at the end.
    said : str
        What it printed.
    codes : list of int
        How its lives ended.
    """

    workload: Workload
    start: Tree
    events: list[Event]
    end: Tree
    said: str
    codes: list[int]


def record(workload: Workload, directory: Path) -> Recording:
    """Run a workload in an empty directory and record what it does there."""
    root, trace = directory / "data", directory / "trace"
    root.mkdir(parents=True)
    trace.touch()
    if workload.prepare is not None:
        workload.prepare(root)
    start = read_tree(root)
    said, codes = "", list[int]()
    for number in range(workload.lives):
        text, code = _live(workload, number, root, trace)
        said, codes = said + text, [*codes, code]
    return Recording(workload, start, read_trace(trace), read_tree(root), said, codes)


def _live(workload: Workload, number: int, root: Path, trace: Path) -> tuple[str, int]:
    command = [sys.executable, "-P", "-m", "safeh5.testing.states.life", str(root), str(trace)]
    with tempfile.TemporaryFile() as said:
        code = subprocess.run(
            [*command, str(number), *workload.command],
            cwd=root,
            env={**environment(), "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
        ).returncode
        wait_for_children(trace)
        said.seek(0)
        return said.read().decode(errors="replace"), code


def wait_for_children(trace: Path) -> None:
    """Until nobody has the trace open any more: an applier outlives its session for a moment."""
    for _ in range(200):
        if not _is_open(trace):
            break
        time.sleep(0.02)
    with open(trace, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)


def _is_open(path: Path) -> bool:
    """Whether another process has the file open."""
    for process in os.listdir("/proc"):
        if process.isdigit() and int(process) != os.getpid():
            try:
                links = os.listdir(f"/proc/{process}/fd")
                if any(os.readlink(f"/proc/{process}/fd/{fd}") == str(path) for fd in links):
                    return True
            except OSError:
                continue
    return False
