"""`safeh5.install`: packages that open files by path get journaled ones.

What is replaced is the constructor of `h5py.File`, not the name: whoever has
imported the class, or derived from it, has the journaled constructor too, and
there is one class as before.
"""

from __future__ import annotations

import functools
from types import TracebackType
from typing import Any, Self

from safeh5.errors import InvalidOptionError
from safeh5.h5 import arguments, file, native, patches, sessions
from safeh5.h5.native import phil


class Installed:
    """What `install` returns; as a context manager it puts back what was there before.

    Parameters
    ----------
    before : dict or None
        The options that were installed before; None if nothing was.
    """

    def __init__(self, before: dict[str, Any] | None) -> None:
        self._before = before

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _set(self._before)


_installed: dict[str, Any] | None = None


def install(**options: Any) -> Installed:
    """Make `h5py.File` journaled: from here on it does what `safeh5.File` does.

    It holds for packages that were imported before as well, for classes derived
    from `h5py.File`, for ``from h5py import File``, and for files opened for writing
    by `h5py.h5f.open` and `h5py.h5f.create`. Files that are open stay what they are.
    Reading, and everything that `safeh5.File` leaves to h5py, is h5py's as before.

    Parameters
    ----------
    **options
        Options of `safeh5.File` for files that are opened without any of their
        own: `durability`, `on_error`, `verify`, `recover` and so on.

    Returns
    -------
    Installed
        As a context manager, it ends with the block.

    Raises
    ------
    InvalidOptionError
        For an option that `safeh5.File` does not have.
    """
    unknown = options.keys() - arguments.OPTIONS
    if unknown:
        raise InvalidOptionError(
            f"{', '.join(sorted(unknown))}: no option of safeh5.File; those are "
            + ", ".join(sorted(arguments.OPTIONS))
        )
    before = _installed
    _set(options)
    return Installed(before)


def uninstall() -> None:
    """Make `h5py.File` plain again; files that are open stay journaled."""
    _set(None)


def _set(options: dict[str, Any] | None) -> None:
    global _installed
    with phil:
        _installed = options
        native.File.__init__ = native.file_init if options is None else _init
        file.defaults = options or {}
        if options is not None:
            patches.install()  # h5f.open and h5f.create are among them
        sessions.opener = None if options is None else _open


def _open(wanted: arguments.Wanted) -> Any:
    return file.journaled_id(wanted, dict(file.defaults))


@functools.wraps(native.file_init)
def _init(self: Any, *args: Any, **kwargs: Any) -> None:
    file.open_file(self, *args, **kwargs)
