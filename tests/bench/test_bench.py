"""The benchmarks run, check what they wrote, and say so when it is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.workloads import WORKLOADS
from safeh5.storage.children import environment
from tests.architecture.sources import ROOT


def run(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    env = environment()
    env["PYTHONPATH"] = f"{ROOT}:{env['PYTHONPATH']}"
    command = [sys.executable, "-m", *arguments, "--directory", str(directory)]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("workload", list(WORKLOADS))
def test_every_competitor_finishes_every_workload_and_is_compared(tmp_path: Path, workload: str) -> None:
    scale = "0.0001" if workload in ("frames", "group") else "0.01"
    done = run("bench.acquire", "--workload", workload, "--rounds", "1", "--scale", scale, "--json",
               "--only", "safeh5 flush", "--only", "sqlite", directory=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)[workload]
    assert set(figures) == {"raw", "h5py", "sqlite", "safeh5 flush"}
    assert figures["raw"]["whole by raw"] == 1.0
    assert all(each["whole"] >= each["appended"] > 0 for each in figures.values())
    assert list(tmp_path.iterdir()) == []


def test_a_long_run_that_is_killed_keeps_its_journal_within_bounds_and_is_taken_up(tmp_path: Path) -> None:
    done = run("bench.long_run", "--gib", "0.1", "--journal-limit", "32", "--applier", "inline",
               directory=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    facts = {name.strip(): text for name, text in (line.split(": ", 1) for line in done.stdout.splitlines())}
    assert int(facts["largest journal"].split()[0]) <= 32 + 2 * 8
    assert "ready to go on" in facts["recovered"]


def test_the_same_code_runs_by_h5py_and_by_safeh5_and_is_compared(tmp_path: Path) -> None:
    done = run("bench.h5layer", "--rounds", "1", "--scale", "0.002", "--json", "--workload", "datasets",
               "--workload", "attributes", "--workload", "rows", directory=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    for parts in json.loads(done.stdout).values():
        for figures in parts.values():
            assert figures["ratio"] == pytest.approx(figures["safeh5"] / figures["h5py"])
