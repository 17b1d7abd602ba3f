"""What a salvaged file holds that cannot be read.

The journal has checksums, the checkpoint that a pruned one builds on has none
(decision 0012). Where it is damaged HDF5 may take it and go on, and only whoever
reads the file finds out. A salvage names its losses, so it reads what it has built.
"""

from __future__ import annotations

from safeh5.events import Progress
from safeh5.recovery.report import Loss
from safeh5.verify import verify


def unreadable(path: str, progress: Progress) -> tuple[Loss, ...]:
    """A loss for each object of the file at `path` that HDF5 cannot give back.

    Parameters
    ----------
    path : str
        A file that is closed; it is read whole.
    progress : callable
        Told about the reading.
    """
    report = verify(path, level="full", progress=progress)
    losses = [
        Loss(
            what=f"{problem.path} cannot be read from the checkpoint: {problem.detail}", dataset=problem.path
        )
        for problem in report.problems
    ]
    if report.omitted:
        losses.append(Loss(what=f"{report.omitted} more cannot be read"))
    return tuple(losses)
