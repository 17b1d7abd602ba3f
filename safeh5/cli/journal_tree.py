"""The objects that a journal makes and changes, as a tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from safeh5.operations import model
from safeh5.operations.values import decode_space, decode_type


@dataclass(slots=True)
class Node:
    """One object that records of the journal are about.

    Attributes
    ----------
    kind : str
        ``"group"``, ``"dataset"``, ... or ``"existing"`` when it was there before.
    about : str
        Type and shape, or where a link leads.
    records, bytes : int
        How many records are about it, and the bytes of their payloads.
    attributes : set of str
        Names of the attributes that were written.
    """

    kind: str
    about: str = ""
    shape: tuple[int, ...] | None = None
    records: int = 0
    bytes: int = 0
    attributes: set[str] = field(default_factory=set)

    def to_dict(self, path: str) -> dict[str, Any]:
        """The node in plain types."""
        return {
            "path": path,
            "kind": self.kind,
            "about": self.about,
            "shape": self.shape,
            "records": self.records,
            "bytes": self.bytes,
            "attributes": sorted(self.attributes),
        }


class JournalTree:
    """Follows the records of a journal, without an HDF5 file, as far as names go."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def take(self, operation: model.AnyOperation, payload_bytes: int) -> None:
        """Account for one record that counts."""
        if isinstance(operation, model.Many):
            for each, size in zip(operation.operations, operation.sizes, strict=False):
                self.take(each, size)
            return
        if isinstance(operation, model.Delete):
            self._subtree(operation.path, remove=True)
            return
        if isinstance(operation, model.Move):
            self._move(operation.source, operation.path)
            return
        made = self._made(operation)
        if made is not None:
            self.nodes[operation.path] = made
        node = self.nodes.setdefault(operation.path, Node("existing"))
        node.records += 1
        node.bytes += payload_bytes
        _change(node, operation)

    def _made(self, operation: model.AnyOperation) -> Node | None:
        match operation:
            case model.CreateGroup():
                return Node("group")
            case model.CreateDataset():
                return Node("dataset", _type_name(operation.type), decode_space(operation.space).shape)
            case model.CommitDatatype():
                return Node("datatype", _type_name(operation.type))
            case model.CreateSoftLink() | model.CreateHardLink():
                return Node("link", f"-> {operation.target}")
            case model.CreateExternalLink():
                return Node("link", f"-> {operation.filename}:{operation.target}")
            case model.Copy():
                return Node("copy", f"of {operation.source}")
            case model.CopyIn():
                return Node("copy", "from another file")
        return None

    def _subtree(self, path: str, *, remove: bool) -> dict[str, Node]:
        found = {p: n for p, n in self.nodes.items() if p == path or p.startswith(path + "/")}
        if remove:
            for name in found:
                del self.nodes[name]
        return found

    def _move(self, source: str, path: str) -> None:
        for old, node in self._subtree(source, remove=True).items():
            self.nodes[path + old[len(source) :]] = node

    def to_list(self) -> list[dict[str, Any]]:
        """All nodes in plain types, by path."""
        return [node.to_dict(path) for path, node in sorted(self.nodes.items())]


def _change(node: Node, operation: model.AnyOperation) -> None:
    match operation:
        case model.SetAttribute() | model.WriteAttribute():
            node.attributes.add(operation.name)
        case model.DeleteAttribute():
            node.attributes.discard(operation.name)
        case model.RenameAttribute():
            node.attributes.discard(operation.name)
            node.attributes.add(operation.new_name)
        case model.Resize():
            node.shape = operation.shape
        case model.AppendData() if node.shape:
            node.shape = (max(node.shape[0], operation.start + operation.count), *node.shape[1:])


def _type_name(encoded: bytes) -> str:
    try:
        return str(decode_type(encoded).dtype)
    except TypeError:
        return "a type that NumPy does not know"
