"""Planted bugs: data, and what applies them.

Each ``*.toml`` file here lists mutants: small edits of the package that break
one of its promises. They are applied to a copy, never to the working tree.
"""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Edit:
    """One text that is replaced by another; it stands exactly once in the file."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A planted bug.

    Attributes
    ----------
    name, breaks : str
        What it is called, and what goes wrong by it.
    modes : tuple of str
        The modes that are tried, the likeliest first.
    edits : tuple of Edit
        What is changed, in this order.
    """

    name: str
    breaks: str
    modes: tuple[str, ...]
    edits: tuple[Edit, ...]

    def apply(self, root: Path) -> None:
        """Plant it in the copy of the repository at `root`.

        Raises
        ------
        ValueError
            An edit does not fit the source any more.
        """
        for edit in self.edits:
            path = root / edit.file
            text = path.read_text(encoding="utf-8")
            if (count := text.count(edit.old)) != 1:
                raise ValueError(f"{self.name}: this stands {count} times in {edit.file}:\n{edit.old}")
            changed = text.replace(edit.old, edit.new)
            compile(changed, edit.file, "exec")
            path.write_text(changed, encoding="utf-8")


def mutants() -> list[Mutant]:
    """All of them, in the order of their files."""
    found = []
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]:
            edits = tuple(Edit(**edit) for edit in entry["edit"])
            found.append(Mutant(entry["name"], entry["breaks"], tuple(entry["modes"]), edits))
    return found


def copy_package(directory: Path) -> Path:
    """A copy of the package to plant in; returns `directory`."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "safeh5", directory / "safeh5", ignore=ignored)
    return directory
