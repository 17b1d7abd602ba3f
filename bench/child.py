"""One run of a benchmark in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def environment() -> dict[str, str]:
    """The environment in which a child finds this package and the benchmarks."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


def figures_of(module: str, arguments: list[str], directory: Path | None) -> dict[str, float]:
    """What ``python -m module arguments`` prints, run in an empty directory on the disk that is measured."""
    place = tempfile.mkdtemp(prefix="bench-", dir=directory)
    command = [sys.executable, "-m", module, *arguments]
    try:
        done = subprocess.run(command, cwd=place, env=environment(), check=False, stdout=subprocess.PIPE)
        if done.returncode:
            raise SystemExit(f"bench: this failed: {' '.join(command)}")
        figures: dict[str, float] = json.loads(done.stdout)
        return figures
    finally:
        shutil.rmtree(place)
        os.sync()
