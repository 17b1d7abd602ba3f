"""Sessions that are damaged, looked at, and mended for the next damage."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safeh5.testing.damage import Damage, Kind, copy_of, files_of
from safeh5.testing.modes.looking import Whole, first_change
from safeh5.testing.modes.templates import Template


@dataclass
class Patient:
    """A copy of a template that is damaged, looked at, and mended.

    Attributes
    ----------
    template : Template
        What it is a copy of.
    place : Path
        Where it is.
    whole : Whole
        What its journal holds when it is not damaged.
    sizes : dict
        Its files.
    """

    template: Template
    place: Path
    whole: Whole
    sizes: dict[str, int]
    was: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, template: Template, place: Path) -> Patient:
        """A fresh copy."""
        sidecar = copy_of(template.directory, place) / f"{template.name}.safeh5"
        return cls(template, place, Whole.of(sidecar), files_of(sidecar))

    @property
    def target(self) -> Path:
        """The file that the session is of."""
        return self.place / self.template.name

    @property
    def sidecar(self) -> Path:
        """Where the damage is done."""
        return self.place / f"{self.template.name}.safeh5"

    @property
    def _sound(self) -> Path:
        """Where it was copied from."""
        return self.template.directory / f"{self.template.name}.safeh5"

    def hurt(self, damage: Damage) -> int | None:
        """Damage it; returns the offset of the first byte that is another, None if the file is gone."""
        damage.apply(self.sidecar, self.template.others)
        if damage.kind in (Kind.MISSING, Kind.RENAMED):
            return None
        before = self.was.get(damage.file)
        if before is None:
            before = (self._sound / damage.file).read_bytes()
            self.was[damage.file] = before
        return first_change(before, (self.sidecar / damage.file).read_bytes())

    def mend(self, damage: Damage) -> None:
        """As it was, times of the file included: a commit knows its file by them too."""
        if damage.kind is Kind.RENAMED:
            for path in self.sidecar.iterdir():
                if path.name not in self.sizes:
                    path.unlink()
        shutil.copy2(self._sound / damage.file, self.sidecar / damage.file)

    def facts(self, damage: Damage, changed: int | None) -> dict[str, Any]:
        """What is needed to judge it again."""
        return {
            "damage": damage.to_dict(),
            "changed": changed,
            "template": self.template.facts(),
            "whole": self.whole.to_dict(),
        }


def place_of(root: str, index: int) -> Path:
    """Where the copy of a template is that gets damaged."""
    return Path(root) / f"damaged-{index}"
