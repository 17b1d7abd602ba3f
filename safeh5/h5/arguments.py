"""The arguments of ``h5py.File``: which openings are journaled, and what they ask for.

Everything that h5py accepts is accepted with h5py's meaning. The arguments are
checked by h5py itself, on a file in memory, so that what it refuses is refused
in its own words and with its own exceptions.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import h5py
from h5py import h5

from safeh5.events import logger
from safeh5.h5 import native
from safeh5.operations.control import FileCreation

OPTIONS: Final = frozenset(
    {
        "durability",
        "interval_ms",
        "on_error",
        "verify",
        "resume",
        "recover",
        "lock_timeout",
        "segment_bytes",
        "journal_limit",
        "checkpoint_bytes",
        "checkpoint_seconds",
        "warn_below",
        "refuse_below",
        "reserve",
        "progress",
        "storage",
    }
)
"""Keywords of `safeh5.open` that `safeh5.File` takes beside h5py's own."""

WRITING: Final = ("r+", "a", "w", "w-", "x")
_CREATING: Final = ("w", "w-", "x")
_ONE_FILE: Final = (None, "sec2", "stdio", "core", "direct", "windows")
"""Drivers whose result is one file on a disk; the way there is safeh5's own."""

_PAGE_BUFFER: Final = ("page_buf_size", "min_meta_keep", "min_raw_keep")
_SIGNATURE: Final = inspect.signature(native.file_init)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A journaled opening.

    Attributes
    ----------
    name : str
        The path as it was given.
    mode : str
        One of `WRITING`.
    driver : str or None
        The driver that was named; what `h5py.File.driver` tells.
    creation : FileCreation
        The other arguments, as far as they matter.
    userblock_size : int or None
        To be compared with that of a file that exists.
    """

    name: str
    mode: str
    driver: str | None
    creation: FileCreation
    userblock_size: int | None


def is_path(name: Any) -> bool:
    """Whether `name` is a path, and not a file object or an identifier."""
    return isinstance(name, (str, bytes, os.PathLike)) and not hasattr(name, "read")


def path_text(name: Any) -> str:
    """A path as text; h5py takes bytes too."""
    return os.fsdecode(os.fspath(name))


def first_two(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """Name and mode of a call of ``h5py.File``."""
    name = args[0] if args else kwargs.get("name")
    return name, args[1] if len(args) > 1 else kwargs.get("mode", "r")


def read(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Wanted | None:
    """What a call of ``h5py.File`` asks for; None if it is left to h5py.

    Left to h5py are reading, objects that are no paths, files in memory, and
    drivers that keep no single file on a disk.

    Raises
    ------
    TypeError, ValueError, OSError
        As h5py, for arguments that it refuses.
    """
    name, mode = first_two(args, kwargs)
    if mode not in WRITING:
        return None
    if not is_path(name):
        return None
    bound = _SIGNATURE.bind(None, *args, **kwargs).arguments
    given = {key: value for key, value in bound.items() if key not in ("self", "name", "mode")}
    rest = given.pop("kwds", {})
    driver = given.pop("driver", None)
    if driver == "fileobj":
        return None
    if driver not in (None, *h5py.registered_drivers()):
        return None  # h5py says so
    if driver not in _ONE_FILE:
        if driver in h5py.registered_drivers():
            logger.warning("%r is not journaled: the driver %r keeps no single file on a disk", name, driver)
        return None
    if driver == "core" and not rest.get("backing_store", True):
        return None
    _check(mode, driver, given, rest)
    userblock = given.get("userblock_size")
    return Wanted(
        path_text(name), mode, driver, _creation(given), None if userblock is None else int(userblock)
    )


def _check(mode: str, driver: str | None, given: dict[str, Any], rest: dict[str, Any]) -> None:
    """Have h5py refuse what it would."""
    if not given and not rest:
        return
    if given.get("fs_strategy") and mode not in _CREATING:
        raise ValueError("Unable to set file space strategy of an existing file")
    if given.get("userblock_size") is not None and mode == "r+":
        raise ValueError("User block may only be specified when creating a file")
    if rest and driver != "core":
        raise TypeError(f"{next(iter(rest))!r} is an invalid keyword argument for this function")
    if mode not in _CREATING:
        # Whether a page buffer can be had is the existing file's to say.
        given = {key: value for key, value in given.items() if key not in _PAGE_BUFFER}
    rest = {key: value for key, value in rest.items() if key != "backing_store"}
    trial = h5py.File.__new__(native.File)
    native.file_init(trial, "safeh5-arguments", "w", driver="core", backing_store=False, **given, **rest)
    trial.close()


def _creation(given: dict[str, Any]) -> FileCreation:
    kept = {key: value for key, value in given.items() if key in FileCreation.__struct_fields__}
    if kept.get("track_order") is None:
        # Whoever replays may have another default.
        kept["track_order"] = bool(h5.get_config().track_order) or None
    if kept.get("libver") is not None and not isinstance(kept["libver"], str):
        kept["libver"] = tuple(kept["libver"])
    return FileCreation(**{key: _plain(value) for key, value in kept.items()})


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, which can be journaled."""
    return value.item() if hasattr(value, "item") else value
