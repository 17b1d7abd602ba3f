"""Child processes of this package: their command and their environment."""

from __future__ import annotations

import os
import sys


def python_module(module: str) -> list[str]:
    """The command that runs a module of this package with this Python."""
    # -P: else the current directory comes first, and a stray module there stands for Python's own.
    return [sys.executable, "-P", "-m", module]


def environment() -> dict[str, str]:
    """The environment in which a child finds the same packages, however this process found them."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
