"""Live views: reading what a session writes, while it writes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from safeh5._lazy import lazily
from safeh5.options import SNAPSHOT_BYTES

if TYPE_CHECKING:
    from safeh5.live.changes import TailItem
    from safeh5.live.ending import TailEnd
    from safeh5.live.source import Shows
    from safeh5.live.tail import Tail
    from safeh5.live.view import LiveState, LiveView
    from safeh5.storage import Storage
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "safeh5.live.changes": "TailItem",
            "safeh5.live.ending": "TailEnd",
            "safeh5.live.source": "Shows",
            "safeh5.live.tail": "Tail",
            "safeh5.live.view": "LiveState LiveView",
        },
    )

__all__ = ["LiveState", "LiveView", "Shows", "Tail", "TailEnd", "TailItem", "live"]


def live(
    path: str | os.PathLike[str], *, keep_bytes: int = SNAPSHOT_BYTES, storage: Storage | None = None
) -> LiveView:
    """Look at a file that a session is writing, in this process or another.

    Shown is the last checkpoint of the session, whole, with everything that
    is in it: new groups, attributes and strings too. Without a session it is
    the file itself. No lock is taken that a writer would ask for, and nothing
    that the reader does, or fails to do, stops the writer.

    Parameters
    ----------
    path : path-like
        The HDF5 file, which need not exist before its session has committed.
    keep_bytes : int
        Disk space that the writer may use to keep for this view what it
        overwrites. A view that would need more, because it is not refreshed
        for very long, expires: reads raise `LiveViewExpiredError` until it is.

    Returns
    -------
    LiveView
        To be used as an `h5py.File`, in a ``with`` block.

    Raises
    ------
    TargetNotFoundError
        There is neither a file nor a session.
    NotHDF5Error, NotReadableError
        The file cannot be read.
    """
    from safeh5.live.view import open_view
    from safeh5.storage import disk_of

    return open_view(path, keep_bytes, disk_of(storage))
