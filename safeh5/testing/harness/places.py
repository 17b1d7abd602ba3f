"""Where cases run: in memory where that is possible."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = "/dev/shm"


def quick_directory() -> str | None:
    """A directory that is quick to write, or None for the usual one.

    SIGKILL leaves the page cache alone, so no disk is needed.
    """
    usable = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 1 << 30
    return _MEMORY if usable else None


@contextmanager
def working_directory() -> Iterator[Path]:
    """An empty directory that is quick to write, by its real path; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="safeh5-", dir=quick_directory()) as path:
        yield Path(os.path.realpath(path))
