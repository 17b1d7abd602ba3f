"""Where a staging file lies, and its fence: one applier at a time, that of a killed session included."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from safeh5.applier.failures import telling
from safeh5.storage import Storage, TargetLock

FENCE_SECONDS: Final = 60.0
"""How long an applier whose session was killed is waited for."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a staging file lies, and whose it is.

    Attributes
    ----------
    storage : Storage
        The disk.
    path : str
        The staging file.
    shown : str
        The name that h5py shows for it: the target's.
    session : bytes
        Session id, 16 bytes.
    """

    storage: Storage
    path: str
    shown: str
    session: bytes


def wait_for_orphan(place: Place) -> None:
    """Wait until no applier of a session that was killed has the staging file open any more.

    For those who read the file and take no fence, since they change nothing
    there. They hold the lock of the target, so no other applier comes.

    Raises
    ------
    SessionLockedError
        It is still there after `FENCE_SECONDS`.
    """
    fence = TargetLock(place.path + ".lock")
    with telling(place.path):
        if TargetLock.is_held(fence.path):
            fence.acquire(FENCE_SECONDS)
            fence.release(remove=True)


@contextlib.contextmanager
def fenced(place: Place) -> Iterator[TargetLock]:
    """The lock of the staging file, kept by the `Staging` that is made inside.

    An applier whose session was killed may live on for a moment, in the middle
    of a call of libhdf5. Nobody else opens its file before it is gone.
    """
    fence = TargetLock(place.path + ".lock")
    with telling(place.path):
        fence.acquire(FENCE_SECONDS)
        try:
            yield fence
        except BaseException:
            fence.release(remove=True)
            raise
