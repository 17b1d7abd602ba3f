"""The tree that a user builds: groups, and the nodes they hold.

A tree may be built in any order and linked later.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, ClassVar

from safeh5.errors import InvalidTypeError
from safeh5.microdata.dataset import EmptyMicroDataset, ExpandableMicroDataset, MicroDataset
from safeh5.microdata.nodes import (
    Attributes,
    ExternalLink,
    HardLink,
    MicroData,
    MicroDatatype,
    Reference,
    SoftLink,
)

__all__ = [
    "EmptyMicroDataset",
    "ExpandableMicroDataset",
    "ExternalLink",
    "HardLink",
    "MicroData",
    "MicroDataGroup",
    "MicroDataset",
    "MicroDatatype",
    "Reference",
    "SoftLink",
]


class MicroDataGroup(MicroData):
    """A group, existing (then merged with) or new.

    Parameters
    ----------
    name : str
        ``'/'`` is the file's root group. A name that ends in ``_`` is indexed:
        ``Results_`` is written as ``Results_000``, then ``Results_001``.
    parent : str
        See `MicroData`.
    attrs : mapping, optional
        See `MicroData`; `machine_id` and `timestamp` (local time,
        ``%Y_%m_%d-%H_%M_%S``) are added unless given.
    children : MicroData or iterable of MicroData, optional
        As for `add_children`.
    track_order : bool, optional
        Whether HDF5 keeps the order in which links and attributes were made.
    indexed : bool, optional
        Overrides what the name's last character says.
    """

    root_names: ClassVar[frozenset[str]] = frozenset({"/"})
    """The names that mean the root group."""

    def __init__(
        self,
        name: str,
        parent: str | None = "/",
        attrs: Attributes | None = None,
        children: MicroData | Iterable[MicroData] | None = None,
        *,
        track_order: bool | None = None,
        indexed: bool | None = None,
    ) -> None:
        super().__init__(name, parent, attrs)
        if "machine_id" not in self.attrs:
            self.attrs["machine_id"] = platform.node()
        if "timestamp" not in self.attrs:
            self.attrs["timestamp"] = datetime.now().strftime("%Y_%m_%d-%H_%M_%S")
        self.children: list[MicroData] = []
        self.track_order = track_order
        self.indexed = isinstance(name, str) and name.endswith("_") if indexed is None else indexed
        if children is not None:
            self.add_children(children)

    @classmethod
    def from_hdf5(cls, group: Any, *, name: str | None = None, parent: str = "/") -> MicroDataGroup:
        """The tree of all that is in an HDF5 group; data are read when it is written.

        Parameters
        ----------
        group : h5py.Group
            The group; its file must stay open until the tree is written.
        name : str, optional
            Name of the node; the group's own when None.
        parent : str
            See `MicroData`.

        Returns
        -------
        MicroDataGroup
            With everything below the group: objects, links, attributes, references.
        """
        from safeh5.microdata.from_hdf5 import read_group

        return read_group(group, name=name, parent=parent)

    @property
    def is_root(self) -> bool:
        """Whether this is the root group of the file."""
        return isinstance(self.name, str) and self.name in self.root_names

    @property
    def path(self) -> str:
        """Where the group would be written, index of the name left out."""
        return "/" if self.is_root else super().path

    def add_children(self, children: MicroData | Iterable[MicroData]) -> None:
        """Append a node or several to the group.

        Parameters
        ----------
        children : MicroData or iterable of MicroData
            Their `parent` becomes this group's path.

        Raises
        ------
        InvalidTypeError
            If one is not a `MicroData`; none is added then.
        """
        nodes = [children] if isinstance(children, MicroData) else _listed(children, self)
        for node in nodes:
            if not isinstance(node, MicroData):
                raise InvalidTypeError(
                    f"a child of {self.path} is a {type(node).__name__}, not a MicroData", dataset=self.path
                )
        self.children.extend(nodes)
        _tell_parents(self, nodes)

    def tree_lines(self) -> Iterator[str]:
        """One line for each node below this one, in pycroscopy's spelling."""
        top = f"{self.parent}{self.name}" if self.is_root else self.path
        stack: list[tuple[str, MicroData, frozenset[int]]] = [(top, self, frozenset())]
        while stack:
            line, node, above = stack.pop()
            if node is not self or above:
                yield line
            # A group inside itself is named once and not entered again.
            if isinstance(node, MicroDataGroup) and id(node) not in above:
                inside = above | {id(node)}
                stack += [(f"{line}/{child.name}", child, inside) for child in reversed(node.children)]

    def show_tree(self) -> None:
        """Write `tree_lines` to the standard output."""
        sys.stdout.writelines(f"{line}\n" for line in self.tree_lines())


def _listed(children: Iterable[MicroData], group: MicroDataGroup) -> list[MicroData]:
    if type(children) is list:
        return children
    if isinstance(children, str) or not isinstance(children, Iterable):
        raise InvalidTypeError(
            f"children of {group.path} are a {type(children).__name__}, not a MicroData or a list of them",
            dataset=group.path,
        )
    return list(children)


def _tell_parents(group: MicroDataGroup, nodes: list[MicroData]) -> None:
    """Set `parent` of `nodes` and everything below them, each node once even in a cycle."""
    pending, seen = [(group.path, nodes)], {id(group)}
    while pending:
        parent, children = pending.pop()
        for node in children:
            if id(node) in seen:
                continue
            node.parent = parent
            if isinstance(node, MicroDataGroup):
                seen.add(id(node))
                pending.append((node.path, node.children))
