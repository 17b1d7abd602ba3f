"""The package's source as syntax trees, with names resolved to where they come from.

The architecture tests look at what the code can do, not at what a run of it
happened to do; so they read the source and import nothing of it.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "safeh5"
EXCEPTIONS = Path(__file__).with_name("exceptions.toml")


@dataclass(frozen=True)
class Source:
    """One module: its dotted name and its syntax tree."""

    name: str
    tree: ast.Module

    @classmethod
    def of(cls, text: str, name: str = "safeh5.example") -> Source:
        return cls(name, ast.parse(text))

    @cached_property
    def names(self) -> dict[str, str]:
        """What each imported name stands for: ``{"File": "h5py.File", "h5f": "h5py.h5f"}``."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    root = alias.name.partition(".")[0]
                    found[alias.asname or root] = alias.name if alias.asname else root
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        return found

    def resolve(self, node: ast.AST) -> str | None:
        """The dotted name that an expression like ``h5f.open`` stands for."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            base = self.resolve(node.value)
            return None if base is None else f"{base}.{node.attr}"
        return None

    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Every call of something that has a dotted name, with that name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and (name := self.resolve(node.func)):
                yield name, node

    def mentions(self) -> Iterator[tuple[str, int]]:
        """Every dotted name that stands in the module, with its line."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name | ast.Attribute) and (name := self.resolve(node)):
                yield name, node.lineno
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    yield f"{node.module}.{alias.name}", node.lineno


def modules() -> list[Source]:
    """Every module of the package."""
    return [
        Source(_dotted(path), ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def within(module: str, packages: tuple[str, ...]) -> bool:
    """Whether `module` is one of `packages` or stands inside one."""
    return any(module == package or module.startswith(package + ".") for package in packages)


def allowed(rule: str) -> dict[str, str]:
    """The modules excepted from `rule`, each with its reason."""
    entries = tomllib.loads(EXCEPTIONS.read_text(encoding="utf-8")).get(rule, [])
    return {entry["module"]: entry["reason"] for entry in entries}


def argument(call: ast.Call, position: int, keyword: str) -> ast.expr | None:
    """The expression given for a parameter, by place or by name."""
    for given in call.keywords:
        if given.arg == keyword:
            return given.value
    return call.args[position] if len(call.args) > position else None
