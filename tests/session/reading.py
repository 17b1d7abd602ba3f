"""What a session leaves in its file."""

from __future__ import annotations

from typing import Any

import h5py

from safeh5.session import Session


def committed(session: Session, path: str) -> Any:
    """Commit; returns what the dataset at `path` holds."""
    session.commit()
    with h5py.File(session.target) as file:
        return file[path][()]
