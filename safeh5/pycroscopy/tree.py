"""The MicroData tree under all the names it has had in pycroscopy."""

from __future__ import annotations

from collections.abc import Iterable

from safeh5 import microdata
from safeh5.microdata import EmptyMicroDataset, ExpandableMicroDataset, MicroData, MicroDataset

__all__ = [
    "EmptyMicroDataset",
    "ExpandableMicroDataset",
    "MicroData",
    "MicroDataGroup",
    "MicroDataset",
    "VirtualData",
    "VirtualDataset",
    "VirtualGroup",
]


class MicroDataGroup(microdata.MicroDataGroup):
    """A group of a tree; see `safeh5.MicroDataGroup`.

    A group named ``''`` is the root group too, as in pycroscopy.
    """

    root_names = frozenset({"", "/"})

    def addChildren(self, children: MicroData | Iterable[MicroData]) -> None:
        """As `add_children`."""
        self.add_children(children)

    def showTree(self) -> None:
        """As `show_tree`."""
        self.show_tree()


VirtualData = MicroData
VirtualDataset = MicroDataset
VirtualGroup = MicroDataGroup
