"""Reading from the staging file what decides what is written to it: never the zeros of a disk that failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from safeh5.errors import ApplyError, FreeSpaceError, SafeH5Error
from safeh5.session.workspace import Workspace


def renew_failed(workspace: Workspace, records: int) -> None:
    """Go on with a staging file made from the journal if the disk below this one has failed.

    Parameters
    ----------
    workspace : Workspace
        Of the session.
    records : int
        Of the open batch: what they have written is in no other file.

    Raises
    ------
    ApplyError, FreeSpaceError
        What went wrong below it, when there are such records.
    """
    try:
        workspace.check()
    except (ApplyError, FreeSpaceError):
        if records:
            raise
        workspace.drop()


@contextmanager
def reading(workspace: Workspace) -> Iterator[None]:
    """What HDF5 says about zeros that it was given is not what happened: raise that instead."""
    try:
        yield
    except SafeH5Error:
        raise
    except (OSError, RuntimeError, ValueError, KeyError):
        workspace.check()
        raise
    workspace.check()
