"""Names of a package that are imported when they are first asked for.

To import everything costs three times what h5py costs. The applier's process
and most commands need a part of it only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazily(package: str, homes: dict[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package whose names live in its modules.

    A package that uses this imports the same names under ``TYPE_CHECKING``, for type checkers.

    Parameters
    ----------
    package : str
        Name of the package.
    homes : dict
        Module to the names that come from it, separated by spaces.
    """
    where = {name: home for home, names in homes.items() for name in names.split()}

    def found(name: str) -> Any:
        if f"{package}.{name}" in homes:
            return import_module(f"{package}.{name}")  # it sets the name itself
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(where[name]), name)
        setattr(sys.modules[package], name, value)  # found without asking from now on
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *where})

    return found, names
