"""Planted bugs: data, and what applies them.

Each ``*.toml`` file here lists mutants: small edits of the package that break
one of its promises. They are applied to a copy, never to the working tree.
"""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import dataclass, field
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
    only : dict
        By mode, the built-in workloads that come to the changed lines: the others need not be gone through.
    """

    name: str
    breaks: str
    modes: tuple[str, ...]
    edits: tuple[Edit, ...]
    only: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def planted(self, root: Path) -> dict[str, str]:
        """The files of the repository at `root` that it changes, as they are with it.

        Raises
        ------
        ValueError
            An edit does not fit the source any more.
        """
        files: dict[str, str] = {}
        for edit in self.edits:
            text = files.get(edit.file) or (root / edit.file).read_text(encoding="utf-8")
            if (count := text.count(edit.old)) != 1:
                raise ValueError(f"{self.name}: this stands {count} times in {edit.file}:\n{edit.old}")
            files[edit.file] = text.replace(edit.old, edit.new)
        for name, text in files.items():
            compile(text, name, "exec")
        return files

    def apply(self, root: Path) -> None:
        """Plant it in the copy of the repository at `root`."""
        for name, text in self.planted(root).items():
            (root / name).write_text(text, encoding="utf-8")


def mutants() -> list[Mutant]:
    """All of them, in the order of their files."""
    found = []
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]:
            edits = tuple(Edit(**edit) for edit in entry["edit"])
            only = {mode: tuple(names) for mode, names in entry.get("only", {}).items()}
            found.append(Mutant(entry["name"], entry["breaks"], tuple(entry["modes"]), edits, only))
    return found


def copy_package(directory: Path) -> Path:
    """A copy of the package to plant in; returns `directory`."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "safeh5", directory / "safeh5", ignore=ignored)
    return directory
