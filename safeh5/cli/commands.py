"""The commands of ``safeh5``, each imported when it is asked for: none needs what all need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

HELP: Final = {"help_option_names": ["-h", "--help"]}
_SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "status": {},
    "recover": {},
    "inspect": {},
    "verify": {},
    "demo": {},
    "run": {"allow_extra_args": True, "allow_interspersed_args": False},
}
"""Each command is the function of its name in the module of its name, with these context settings."""


class _OnDemand(Mapping[str, Any]):
    """The commands by name."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            settings = _SETTINGS[name] | HELP
            alone = typer.Typer(add_completion=False)
            alone.command(name, context_settings=settings)(getattr(import_module(f"safeh5.cli.{name}"), name))
            self._made[name] = typer.main.get_command(alone)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_SETTINGS)

    def __len__(self) -> int:
        return len(_SETTINGS)


class Commands(TyperGroup):
    """A group whose commands are made when they are looked up."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands: Any = _OnDemand()
