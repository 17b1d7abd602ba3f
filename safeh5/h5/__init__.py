"""h5py's own objects over a session: what is changed through them is journaled.

The objects are exactly `h5py.File`, `h5py.Group` and `h5py.Dataset`; the
identifiers below them are of subclasses that record every change (`ids`), and
h5py's functions that make identifiers are replaced by ones that keep them so
(`patches`). Reading goes to h5py directly.
"""

from __future__ import annotations

import h5py

from safeh5.h5.file import File, identifier
from safeh5.h5.ids import Journaled
from safeh5.h5.installing import install, uninstall
from safeh5.h5.recorder import Recorder, SessionRecorder
from safeh5.session import Session

__all__ = ["File", "Recorder", "SessionRecorder", "install", "is_journaled", "journaled_file", "uninstall"]


def journaled_file(session: Session | Recorder) -> h5py.File:
    """The file of a session, as an `h5py.File` whose changes are journaled.

    Parameters
    ----------
    session : Session or Recorder
        An open session.

    Returns
    -------
    h5py.File
        Its ``flush()`` makes everything durable; its ``close()``, or leaving
        its ``with`` block without an exception, commits the session. Without
        either the session stays open, and ends as sessions do.

    Raises
    ------
    InvalidOptionError
        If the session applies its operations in a process beside: what h5py's
        objects show would then not be what was written through them.
    """
    recorder: Recorder = SessionRecorder(session) if isinstance(session, Session) else session
    return h5py.File(identifier(recorder))


def is_journaled(obj: h5py.HLObject) -> bool:
    """Whether changes of an h5py object are journaled."""
    return isinstance(obj.id, Journaled)
