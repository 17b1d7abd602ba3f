"""The nodes of a tree that are no containers, and what all nodes share.

Nodes are plain Python objects. Nothing is looked at before the tree is
written, and writing changes no node: the names that HDF5 gets are in the plan,
not here. Wrong input is therefore reported when the tree is written, whole,
with the path of the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safeh5.errors import InvalidTypeError

if TYPE_CHECKING:
    from safeh5.microdata.stored import StoredNode

Attributes = Mapping[str, Any]
"""Attribute values: all that h5py takes, and nodes of a tree, `Reference` and h5py objects as references."""


def join(parent: str, name: str) -> str:
    """The path of `name` in the group at `parent`; ``/`` in ``/`` is ``/``."""
    if name.startswith("/"):
        return name
    return f"{parent.rstrip('/')}/{name}"


class MicroData:
    """A node of the tree.

    Parameters
    ----------
    name : str
        Name in the parent group.
    parent : str
        Path of the group in the file that the node is attached to when it is
        written by itself. A group that takes the node as a child replaces it.
    attrs : mapping, optional
        Attributes; copied. A value of None is not written, as in pycroscopy.

    Attributes
    ----------
    stored : StoredNode or None
        What `from_hdf5` read: types and properties to be reproduced exactly.
    """

    stored: StoredNode | None = None

    def __init__(self, name: str, parent: str | None = "/", attrs: Attributes | None = None) -> None:
        self.name = name
        self.parent = "/" if parent is None else parent
        # A dict is asked for first: trees of thousands of nodes are made of them.
        if attrs is not None and type(attrs) is not dict and not isinstance(attrs, Mapping):
            raise InvalidTypeError(
                f"the attributes of {self.path} are a {type(attrs).__name__}, not a mapping",
                dataset=self.path,
            )
        self.attrs: dict[str, Any] = dict(attrs) if attrs else {}

    @property
    def path(self) -> str:
        """Where the node would be written, index of the name left out."""
        return join(str(self.parent), str(self.name))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"


class MicroDatatype(MicroData):
    """A committed (named) datatype, to be the `dtype` of datasets.

    Parameters
    ----------
    name, parent, attrs
        See `MicroData`.
    dtype : dtype or h5py type
        The type.
    """

    def __init__(
        self, name: str, dtype: Any, parent: str | None = None, attrs: Attributes | None = None
    ) -> None:
        super().__init__(name, parent, attrs)
        self.dtype = dtype


class SoftLink(MicroData):
    """A link to a path, which need not exist; given a node, to where that is written."""

    def __init__(self, name: str, target: str | MicroData, parent: str | None = None) -> None:
        super().__init__(name, parent)
        self.target = target


class HardLink(MicroData):
    """A second name for a node of the tree or for an object of the file."""

    def __init__(self, name: str, target: str | MicroData, parent: str | None = None) -> None:
        super().__init__(name, parent)
        self.target = target


class ExternalLink(MicroData):
    """A link to `target` in the HDF5 file `filename`; neither need exist."""

    def __init__(self, name: str, filename: str, target: str = "/", parent: str | None = None) -> None:
        super().__init__(name, parent)
        self.filename = filename
        self.target = target


@dataclass(frozen=True, eq=False, slots=True)
class Reference:
    """A reference to an object, or to elements of a dataset, as a value.

    Attributes
    ----------
    target : MicroData, str or h5py object
        A node of the same tree, or a path or an object of the file written to.
    region : optional
        What may stand between ``[`` and ``]`` of a dataset; makes it a region reference.
    """

    target: Any
    region: Any = None
