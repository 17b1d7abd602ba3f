"""The names in one group, and the next free index of each kind of indexed group."""

from __future__ import annotations

import re

from safeh5.microdata.nodes import MicroData
from safeh5.microdata.tree import MicroDataGroup


def is_indexed(node: MicroData) -> bool:
    """Whether the file decides which index the node's name gets."""
    return isinstance(node, MicroDataGroup) and node.indexed


class Names:
    """The names that are taken in a group.

    Parameters
    ----------
    taken : set of str
        Those that are there.
    """

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        # The highest index by stem: looked for once, else many nodes would cost their square.
        self._highest: dict[str, int] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._taken

    def name_of(self, node: MicroData) -> str:
        """The node's name, or for an indexed group the first free one past all indices in use."""
        stem = str(node.name)
        if not is_indexed(node):
            return stem
        return f"{stem}{self._last(stem) + 1:03d}"

    def add(self, name: str) -> None:
        """Take `name`; one that was given may look like one with an index."""
        self._taken.add(name)
        for stem, highest in self._highest.items():
            index = name[len(stem) :]
            if name.startswith(stem) and index.isascii() and index.isdigit():
                self._highest[stem] = max(highest, int(index))

    def _last(self, stem: str) -> int:
        if stem not in self._highest:
            pattern = re.compile(re.escape(stem) + r"(\d+)", re.ASCII)
            used = [int(match[1]) for match in map(pattern.fullmatch, self._taken) if match]
            self._highest[stem] = max(used, default=-1)
        return self._highest[stem]
