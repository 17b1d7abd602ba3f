"""The power fails under a writer, for real: mounted file systems, shut down without their log."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from safeh5.testing.modes import filesystems
from safeh5.testing.modes.filesystems import mounted
from safeh5.testing.modes.on_disk import cut, full
from safeh5.testing.zygote import Zygote


def mounts() -> set[str]:
    """Where file systems of these runs are mounted now."""
    return {
        line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if "safeh5-mount-" in line
    }


def started(*arguments: str) -> subprocess.Popen[str]:
    """A run that cuts the power of a small ext4 again and again; returns when that is mounted."""
    before = mounts()
    command = [sys.executable, "-m", "safeh5.testing", "soak", "--only", "power-cuts", "--jobs", "1"]
    process = subprocess.Popen(
        [*command, "--file-systems", "ext4", *arguments], stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not mounts() - before and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


@pytest.fixture
def ext4() -> None:
    """Skip where it cannot be mounted."""
    if problem := filesystems.usable()["ext4"]:
        pytest.skip(f"ext4: {problem}")


@pytest.mark.root
@pytest.mark.usefixtures("ext4")
def test_a_terminated_run_leaves_nothing_mounted_and_says_what_was_done() -> None:
    before = mounts()
    process = started("--seconds", "100", "--json")
    assert mounts() - before
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(said)["interrupted"]
    assert not mounts() - before


@pytest.mark.root
@pytest.mark.usefixtures("ext4")
def test_what_a_killed_run_left_mounted_is_removed_by_the_next() -> None:
    before = mounts()
    process = started("--seconds", "100")
    left = mounts() - before
    assert left
    process.kill()
    process.communicate()
    with mounted("ext4") as ours:
        removed = filesystems.remove_stale()
        assert os.path.ismount(ours.path), "one that is in use was taken for stale"
    assert {os.path.dirname(path) for path in left} <= set(removed)
    assert not mounts() & left


@pytest.mark.root
@pytest.mark.usefixtures("ext4")
def test_so_many_power_cuts_as_were_asked_for_are_made_and_counted() -> None:
    process = started("--cases", "3", "--json")
    said = json.loads(process.communicate(timeout=120)[0])
    assert said["cases"] == 3 and not said["failures"]
    under = said["figures"].get("ext4: of these under a recovery", 0)
    after = said["figures"].get("ext4: of these after a recovery", 0)
    assert said["figures"]["ext4: power cuts"] == 3 + under + after


@pytest.mark.root
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_what_was_acknowledged_survives_a_power_cut(kind: str) -> None:
    problem = filesystems.usable()[kind]
    if problem:
        pytest.skip(f"{kind}: {problem}")
    with Zygote("safeh5.testing.modes.workloads") as zygote, mounted(kind) as system:
        for seed in range(8):
            cut(system, zygote, random.Random(seed))
        full(system, zygote, random.Random(1))
