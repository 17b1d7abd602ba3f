"""What sessions leave that nobody needs; the caller holds the lock of the target."""

from __future__ import annotations

from safeh5.events import logger
from safeh5.recovery import publish
from safeh5.storage import Names, Storage


def remove_leftovers(storage: Storage, names: Names) -> None:
    """Remove what finished sessions of this target left behind; the caller holds the lock."""
    for path in names.leftovers():
        logger.info("removing %s, a leftover of a finished session", path)
        publish.remove_garbage(storage, path)


def release_reserve(storage: Storage, names: Names) -> bool:
    """Give back the room that a session had set aside; whether it had any. The caller holds the lock."""
    try:
        if storage.exists(names.reserve):
            storage.give_back(names.reserve)
            return True
    except OSError as error:
        logger.warning("%s is of no use any more and cannot be removed: %s", names.reserve, error)
    return False
