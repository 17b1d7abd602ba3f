"""What the tests of `safeh5.File` share: a look at what is on the disk, and programs that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import h5py

import safeh5


def content(path: Path) -> dict[str, Any]:
    """The datasets of a file, by name."""
    found: dict[str, Any] = {}

    def note(name: str, obj: Any) -> None:
        if isinstance(obj, h5py.Dataset):
            found[name] = obj[()].tolist()

    with h5py.File(path, "r") as file:
        file.visititems(note)
    return found


def only_the_target(path: Path) -> bool:
    return os.listdir(path.parent) == [path.name]


def run_script(body: str, target: Path) -> subprocess.CompletedProcess[str]:
    """Run Python lines in a child, with `target` defined."""
    lines = "import os, sys, signal\nimport h5py\nimport numpy as np\nimport safeh5\n"
    script = f"{lines}target = {str(target)!r}\n" + textwrap.dedent(body)
    root = Path(safeh5.__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-c", script], cwd=root, timeout=60, check=False, capture_output=True, text=True
    )


def killed_after_a_flush(path: Path) -> None:
    program = f"import os, safeh5; f = safeh5.File({str(path)!r}, 'a'); f['x'] = 1; f.flush()"
    done = subprocess.run([sys.executable, "-c", program + "; os.kill(os.getpid(), 9)"], check=False)
    assert done.returncode == -signal.SIGKILL
