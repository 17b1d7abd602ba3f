"""A file with a dataset of large frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

import safeh5
from safeh5.storage import Storage

FRAME = (512, 512)  # of doubles: 2 MiB, between `SMALL` and `LARGE`


def opened(target: Path, storage: Storage | None = None) -> tuple[h5py.File, Any]:
    """A file whose interval never comes, with a dataset of frames."""
    file = safeh5.File(target, "w", interval_ms=10**6, storage=storage or Storage())
    return file, file.create_dataset("data", (8, *FRAME), "f8", chunks=(1, *FRAME))
