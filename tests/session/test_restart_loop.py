"""The program of the how-to "Keep a run going", stopped again and again, takes every frame once."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.storage.children import environment
from tests.architecture.sources import ROOT
from tests.docs.pages import blocks

FRAMES = 70
FRAME_BYTES = 64 * 64 * 2
PAGE = ROOT / "docs" / "how-to" / "keep-running.md"


def program(tmp_path: Path) -> Path:
    text = next(block.text for block in blocks(PAGE) if block.language == "python")
    slow = text.replace("FRAMES = 40", f"FRAMES = {FRAMES}").replace(
        "    return np.full", "    __import__('time').sleep(0.004)\n    return np.full"
    )
    assert slow.count("sleep") == 1 and f"FRAMES = {FRAMES}" in slow
    path = tmp_path / "acquire.py"
    path.write_text(slow)
    return path


def journaled(target: Path) -> int:
    """Bytes of the journal."""
    sizes = []
    for path in target.parent.glob("run.h5.safeh5/journal-*.log"):
        with contextlib.suppress(FileNotFoundError):  # the session has just ended
            sizes.append(path.stat().st_size)
    return sum(sizes)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_a_program_stopped_at_any_time_and_started_again_takes_every_frame_once(
    tmp_path: Path, stop: signal.Signals
) -> None:
    script, target, chance = program(tmp_path), tmp_path / "run.h5", random.Random(stop)
    stopped = 0
    for _ in range(60):
        # As it begins, or some frames further than the one before; then in the middle of the next.
        enough = journaled(target) + 1 + chance.randint(0, 20) * FRAME_BYTES
        process = subprocess.Popen(
            [sys.executable, str(script)], cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while process.poll() is None and journaled(target) < enough:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.01))
        process.send_signal(stop)
        code = process.wait()
        if code == 0:
            break
        assert code == -stop
        stopped += 1
    assert code == 0 and stopped > 1
    assert safeh5.status(target).condition == "clean"
    with h5py.File(target) as file:
        np.testing.assert_array_equal(file["Scan/frames"][:, 0, 0], np.arange(FRAMES))
    assert (
        subprocess.run([sys.executable, str(script)], cwd=tmp_path, env=environment(), check=False).returncode
        == 0
    )
