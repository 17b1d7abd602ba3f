"""Reading a whole HDF5 file to find out whether it is good."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Final

from safeh5._lazy import lazily
from safeh5.errors import TargetNotFoundError, recover_command
from safeh5.events import Progress, silent
from safeh5.options import VerifyLevel, choose

if TYPE_CHECKING:
    from safeh5.verify.report import MissingFilter, Problem, ProblemKind, VerifyReport
else:
    __getattr__, __dir__ = lazily(
        __name__, {"safeh5.verify.report": "MissingFilter Problem ProblemKind VerifyReport"}
    )

__all__ = ["MissingFilter", "Problem", "ProblemKind", "VerifyReport", "verify"]

STALL_SECONDS: Final = 120.0


def verify(
    path: str | os.PathLike[str],
    level: VerifyLevel | str = VerifyLevel.FULL,
    progress: Progress = silent,
    *,
    isolated: bool = False,
    stall_seconds: float | None = STALL_SECONDS,
) -> VerifyReport:
    """Walk a whole HDF5 file and read all of it; "opens" is not "good".

    The file is opened for reading only and never changed. Memory stays within
    a few blocks of 16 MiB, or a few chunks where these are larger.

    Parameters
    ----------
    path : path-like
        The file.
    level : {'full', 'structure', 'none'}
        Read every element too; or every header, link and attribute; or only open it.
    progress : callable, optional
        Told about each object and block before it is read.
    isolated : bool
        Read in a child process: libhdf5 may crash or hang on a damaged file, and
        then this becomes a problem in the report that names the object.
    stall_seconds : float or None
        How long an isolated reader may spend on one object or block.

    Returns
    -------
    VerifyReport
        With ``ok`` False if the file does not open, too.

    Raises
    ------
    TargetNotFoundError
        There is nothing at `path`.
    InvalidOptionError
        `level` is none of these.
    """
    from safeh5.verify.check import verify_here
    from safeh5.verify.findings import Findings
    from safeh5.verify.isolate import verify_in_child

    name, chosen = os.fspath(path), choose(VerifyLevel, level, "level")
    if not os.path.lexists(name):
        raise _nothing_there(name)
    if isolated:
        return verify_in_child(name, chosen, progress, stall_seconds)
    return verify_here(name, chosen, Findings(lambda event, _: progress(event)))


def _nothing_there(path: str) -> TargetNotFoundError:
    """The error for a path with no file, which may be that of a session that has not committed yet."""
    from safeh5.storage import Names

    names = Names.of(path)
    if not os.path.isdir(names.sidecar):
        return TargetNotFoundError("there is no file to verify", path=path)
    return TargetNotFoundError(
        "there is no file to verify yet: its session has not committed",
        path=path,
        safe=f"What was acknowledged is in {names.sidecar}",
        hint=f"See how it stands with: {shlex.join(['safeh5', 'status', path])}; if nobody writes there "
        f"any more, make the file with: {recover_command(path)}",
    )
