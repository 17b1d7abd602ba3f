"""Sessions with an applier beside them, and what the process of that does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import safeh5
from safeh5.session import Session
from safeh5.session.beside import Beside

ROOT = Path(__file__).parents[2]


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


# --- it falls behind -------------------------------------------------------------------------------


def run_state(pid: int) -> str:
    """R, S, T... as in /proc; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


# --- the session dies ------------------------------------------------------------------------------


def alive(pid: int) -> bool:
    return run_state(pid) not in ("", "Z")
