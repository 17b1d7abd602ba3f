"""What a scenario is, and where they are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scenario:
    """Something that a package writes.

    Attributes
    ----------
    needs : tuple of str
        Modules that must be there.
    write : callable
        Gets an open `h5py.File`, or a path.
    by_path : bool
        Which of the two; with a path the package opens the file itself.
    environment : str
        The environment that it runs in, one of environments.toml; empty for
        the one that the tests run in.
    ignore_attrs, ignore_paths : tuple of str
        Attributes and datasets that hold the time or chance.
    """

    needs: tuple[str, ...]
    write: Callable[[Any], None]
    by_path: bool = False
    environment: str = ""
    ignore_attrs: tuple[str, ...] = ()
    ignore_paths: tuple[str, ...] = ()


SCENARIOS: dict[str, Scenario] = {}


def scenario(*needs: str, **options: Any) -> Callable[..., Any]:
    """Register a scenario under its function's name; the options are those of `Scenario`."""

    def register(write: Callable[[Any], None]) -> Callable[[Any], None]:
        SCENARIOS[write.__name__] = Scenario(needs, write, **options)
        return write

    return register
