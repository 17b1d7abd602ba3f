"""What long work tells about itself: progress events and the package's logger.

The core never prints. It logs through `logger` and reports progress to a
callable that the caller may pass; the command line turns both into bars.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger("safeh5")


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """One step of long work.

    Attributes
    ----------
    task : str
        What is being done, for people: ``"copying target"``, ``"replaying"``.
    done : int
        How much is done, in `unit`.
    total : int or None
        How much there is, in `unit`, or None when it is not known.
    unit : str
        ``"bytes"``, ``"records"`` or ``"objects"``.
    """

    task: str
    done: int
    total: int | None
    unit: str = "bytes"


Progress = Callable[[ProgressEvent], None]


def silent(event: ProgressEvent) -> None:
    """The progress callable of those who do not want to know."""
