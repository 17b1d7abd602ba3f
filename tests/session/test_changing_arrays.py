"""Arrays that other threads change while they are written, and then the process is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.recovery import Condition

ROOT = Path(__file__).parents[2]
SIDE = 256
COUNT = 120

PROGRAM = """
    import os, signal, sys, threading
    import numpy as np
    import safeh5

    target, how, durability, count, side = *sys.argv[1:4], *map(int, sys.argv[4:])
    states = [np.full((side, side), value) for value in (1.0, 2.0)]
    array = states[0].copy()

    def change():
        while True:
            for state in states:
                np.copyto(array, state)  # without the interpreter's lock

    def stream():
        session = safeh5.open(target, durability=durability, applier=how)
        session_stream = session.stream("d", (side, side), "f8")
        return session_stream.append

    def objects():
        file = safeh5.File(target, "w", durability=durability)
        shapes = {"maxshape": (None, side, side), "chunks": (1, side, side)}
        dataset = file.create_dataset("d", (0, side, side), "f8", **shapes)

        def write(values):
            dataset.resize(len(dataset) + 1, axis=0)
            dataset[len(dataset) - 1] = values

        return write

    write = objects() if how == "objects" else stream()
    for _ in range(2):
        threading.Thread(target=change, daemon=True).start()
    for number in range(count):
        if number == count - count // 4:
            # In the middle of what comes, whatever that is.
            threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGKILL)).start()
        write(array)
        print(number + 1, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("how", "durability"),
    [
        ("inline", "record"), ("inline", "flush"), ("process", "interval"), ("objects", "interval"),
        ("objects", "record"),
    ],
)  # fmt: skip
def test_arrays_that_threads_change_while_they_are_written_never_damage_the_journal(
    tmp_path: Path, how: str, durability: str
) -> None:

    target = tmp_path / "run.h5"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(target), how, durability, str(COUNT), str(SIDE)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    written = int(done.stdout.split()[-1])
    assert safeh5.status(target).condition is Condition.INTERRUPTED
    safeh5.recover(target)
    with h5py.File(target) as file:
        items = file["d"][()]
    assert len(items) >= written
    # Of each element the file has what stood there at some time.
    assert np.isin(items[:written], (1.0, 2.0)).all()
