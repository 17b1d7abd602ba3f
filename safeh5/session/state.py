"""The states of a session, by name."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a session stands; see the head of `safeh5.session.session`."""

    OPEN = "open"
    COMMITTING = "committing"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    SUSPENDED = "suspended"
    FAILED = "failed"
