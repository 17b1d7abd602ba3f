"""Environments of their own, for packages that do not go together with the newest NumPy or h5py.

``python3 dev.py packages`` makes them, from `environments.toml`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def python_of(environment: str) -> Path | None:
    """The interpreter of an environment; None if the environment is not there, or not whole.

    Parameters
    ----------
    environment : str
        A name in environments.toml; empty for the environment that this runs in.
    """
    if not environment:
        return Path(sys.executable)
    place = ROOT / "build" / f"venv-{environment}"
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # dev.py writes the stamp when pip is done.
    return python if (place / "safeh5-stamp.json").exists() and python.exists() else None
