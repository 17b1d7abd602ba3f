#!/usr/bin/env python3
"""A long acquisition that is killed: how large its journal grew, and how long recovery takes.

    python -m bench.long_run [--gib N] [--journal-limit MIB] [--applier KIND] [--directory DIR]

Frames of 2 MiB, durable every 64 MiB. After N GiB the session checkpoints, goes
on for one second and kills itself. Then the session is gone on with, which is
what costs time before anything can be acquired again, and committed.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __package__ in (None, ""):
    sys.path.insert(0, str(ROOT))

import h5py  # noqa: E402
import numpy as np  # noqa: E402

from bench.child import environment  # noqa: E402
from bench.workloads import MIB  # noqa: E402
from safeh5 import open as open_session  # noqa: E402

FRAME = (1024, 1024)


def main() -> int:
    """Run the acquisition in a child, watch it, and take up what it left."""
    parser = argparse.ArgumentParser(prog="bench.long_run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gib", type=float, default=8)
    parser.add_argument("--journal-limit", type=int, default=256, metavar="MIB")
    parser.add_argument("--applier", help="the session's own choice, if not given")
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--acquire", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.acquire:
        acquire(round(asked.gib * 512), asked.journal_limit * MIB, asked.applier)
    directory = tempfile.mkdtemp(prefix="bench-", dir=asked.directory)
    os.chdir(directory)
    try:
        watch([sys.executable, __file__, *sys.argv[1:], "--acquire"])
        take_up()
    finally:
        os.chdir("/")
        shutil.rmtree(directory)
    return 0


def acquire(frames: int, limit: int, applier: str | None) -> None:
    """The acquisition; ends by SIGKILL."""
    options: dict[str, Any] = {} if applier is None else {"applier": applier}
    session = open_session(
        "run.h5", durability="flush", journal_limit=limit, segment_bytes=limit // 4, **options
    )
    stream = session.stream("items", FRAME, "u2")
    item = np.random.default_rng(1).integers(0, 4000, FRAME).astype("u2")
    begin, memory = time.perf_counter(), 0

    def append() -> None:
        item[0, 0] = stream.length % 60000
        stream.append(item)
        if stream.length % 32 == 0:
            session.sync()

    while stream.length < frames:
        append()
        if stream.length == frames // 10:
            memory = _peak()
    seconds = time.perf_counter() - begin
    say("acquired", f"{frames / 512:.1f} GiB in {seconds:.1f} s, {frames * 2 / seconds:.0f} MiB/s")
    say("peak memory", f"{_peak() / MIB:.0f} MiB, {(_peak() - memory) / MIB:.0f} of it after the first tenth")
    session.checkpoint()
    after = time.perf_counter() + 1.0
    while time.perf_counter() < after:
        append()
    session.sync()
    say("after the checkpoint", f"{(stream.length - frames) * 2} MiB, durable; killed")
    os.kill(os.getpid(), signal.SIGKILL)


def watch(command: list[str]) -> None:
    """Run `command`, looking at the journal's size all the time."""
    largest, ended = 0, threading.Event()

    def look() -> None:
        nonlocal largest
        while not ended.wait(0.02):
            largest = max(largest, journal_bytes())

    watcher = threading.Thread(target=look)
    watcher.start()
    code = subprocess.run(command, env=environment(), check=False).returncode
    ended.set()
    watcher.join()
    if code != -signal.SIGKILL:
        raise SystemExit(f"bench: the acquisition ended with {code}")
    say("largest journal", f"{largest / MIB:.0f} MiB")


def journal_bytes() -> int:
    """Bytes of all segments, as long as they are there."""
    total = 0
    for path in Path("run.h5.safeh5").glob("journal-*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def take_up() -> None:
    """Go on with the session, and commit it."""
    begin = time.perf_counter()
    session = open_session("run.h5", resume=True, applier="inline")
    opened = time.perf_counter()
    length = session.stream("items").length
    ready = time.perf_counter()
    session.commit()
    committed = time.perf_counter()
    say("journal read", f"{opened - begin:.2f} s")
    say("recovered", f"{ready - begin:.2f} s in all: {length} frames, ready to go on")
    say("committed", f"{committed - ready:.2f} s")
    with h5py.File("run.h5", "r") as file:
        found = file["items"][: length : max(1, length // 500), 0, 0]
    wanted = np.arange(0, length, max(1, length // 500)) % 60000
    if not np.array_equal(found, wanted):
        raise SystemExit("bench: wrong frames")


def say(what: str, figure: str) -> None:
    """One line of the result."""
    print(f"{what:>22}: {figure}", flush=True)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
