"""The ways in which a storage call fails."""

from __future__ import annotations

import errno
from typing import Any, Final

from safeh5.testing.faults import Fault

KINDS: Final[dict[str, dict[str, Any]]] = {
    "ENOSPC": {"error": errno.ENOSPC},
    "EDQUOT": {"error": errno.EDQUOT},
    "EIO": {"error": errno.EIO},
    "EROFS": {"error": errno.EROFS},
    "EINTR": {"error": errno.EINTR},
    "short": {"error": errno.ENOSPC, "short": 7},
    "MemoryError": {"memory": True},
}
"""Fields of `Fault` by name. A short write is followed by ENOSPC; what is no write fails at once."""


def fault(kind: str, nth: int, for_ever: bool) -> Fault:
    """The fault that strikes the `nth` call, once or from there on."""
    return Fault(nth=nth, times=None if for_ever else 1, **KINDS[kind])
