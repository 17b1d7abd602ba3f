"""Whether every byte of an HDF5 file is what it claims to be, found out in this process."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import h5py

from safeh5.events import ProgressEvent
from safeh5.options import VerifyLevel
from safeh5.verify.findings import Findings, make_report, reason
from safeh5.verify.report import ProblemKind, VerifyReport
from safeh5.verify.walk import Walk


def verify_here(path: str, level: VerifyLevel, found: Findings) -> VerifyReport:
    """Verify in this process, into `found`."""
    found.tell(ProgressEvent("opening", 0, None, "objects"), "/")
    with _opened(path, found) as file:
        if file is not None and level != VerifyLevel.NONE:
            walk = Walk(file.id, path, found)
            walk.structure()
            if level == VerifyLevel.FULL:
                walk.elements()
            walk.dangling()
    return make_report(path, level, found)


@contextmanager
def _opened(path: str, found: Findings) -> Iterator[h5py.File | None]:
    """The file open for reading, or None and a problem that says why not."""
    file = None
    if _accessible(path, found):
        try:
            file = h5py.File(path, "r")
        except (OSError, RuntimeError, ValueError) as error:
            found.problem("/", ProblemKind.OPEN, f"it does not open: {reason(error)}")
    try:
        yield file
    finally:
        if file is not None:
            with found.guard("/", ProblemKind.OPEN, "it does not close"):
                file.close()


def _accessible(path: str, found: Findings) -> bool:
    """Whether there is use in asking HDF5 to open `path` (a pipe would hang)."""
    try:
        obstacle = _obstacle(path)
        if obstacle is not None:
            found.problem("/", ProblemKind.ACCESS, obstacle)
            return False
        with open(path, "rb") as file:
            empty = not file.read(1)
    except OSError as error:
        # In plain words what libhdf5 would only say in passing: permission, an I/O error.
        found.problem("/", ProblemKind.ACCESS, f"it cannot be read: {error.strerror or error}")
        return False
    if empty:
        found.problem("/", ProblemKind.OPEN, "it is empty, 0 bytes")
    elif not h5py.is_hdf5(path):
        found.problem("/", ProblemKind.OPEN, "it is not an HDF5 file: no HDF5 signature was found in it")
    else:
        return True
    return False


def _obstacle(path: str) -> str | None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "it is a symbolic link to a file that does not exist"
    if stat.S_ISDIR(mode):
        return "it is a directory, not an HDF5 file"
    return None if stat.S_ISREG(mode) else "it is not a regular file"
