"""What stands at a path: looking only, by itself, since whoever asks need not load what recovery needs."""

from __future__ import annotations

import os
from collections.abc import Iterator

from safeh5.errors import SafeH5Error
from safeh5.recovery.describe import status_report, unreadable_report
from safeh5.recovery.evidence import examine
from safeh5.recovery.locking import require_file
from safeh5.recovery.report import StatusReport
from safeh5.storage import Names, Storage, disk_of, find_sidecars


def status(path: str | os.PathLike[str], *, storage: Storage | None = None) -> StatusReport:
    """What stands at `path`: clean, live, interrupted, in doubt, damaged.

    Parameters
    ----------
    path : path-like
        An HDF5 file, or the sidecar directory of its session.

    Returns
    -------
    StatusReport
        Nothing is changed by asking, not even for a session that is running.

    Raises
    ------
    NotHDF5Error
        What stands at the path is no file: a directory, a pipe, a device.
    JournalError
        The sidecar cannot be read.
    """
    names = Names.of(path)
    require_file(names)
    return status_report(examine(disk_of(storage), names))


def status_tree(
    directory: str | os.PathLike[str], *, storage: Storage | None = None
) -> Iterator[StatusReport]:
    """The status of every target at or below `directory` that has a session or remains of one.

    Parameters
    ----------
    directory : path-like
        Where to look, with everything below it.

    Returns
    -------
    iterator of StatusReport
        In order of path; a sidecar that cannot be read is reported, too.
    """
    return _statuses(directory, disk_of(storage))


def _statuses(directory: str | os.PathLike[str], disk: Storage) -> Iterator[StatusReport]:
    for names in find_sidecars(directory):
        try:
            require_file(names)
            yield status_report(examine(disk, names))
        except (SafeH5Error, OSError) as error:
            # One sidecar that cannot be read hides no other.
            yield unreadable_report(names, error)
