"""Attributes, comments and dimension scales of a plan: what comes last.

References among them need their targets to be there, so all this follows
structure and data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from safeh5._typing import Buffer
from safeh5.errors import InvalidTreeError, InvalidTypeError
from safeh5.microdata.facts import DatasetFacts
from safeh5.microdata.labels import LABELS, expand_labels
from safeh5.microdata.namespace import Namespace
from safeh5.microdata.nodes import MicroData
from safeh5.microdata.place import Step
from safeh5.microdata.quick import Quick
from safeh5.microdata.references import Resolver
from safeh5.microdata.scratch import Scratch, about
from safeh5.microdata.stored import Identity, StoredAttribute
from safeh5.microdata.tree import MicroDataGroup, MicroDataset, MicroDatatype
from safeh5.microdata.values import check_values, make_attribute
from safeh5.operations.model import AttachScale, LabelAxis, MakeScale, Operation, SetAttribute, SetComment
from safeh5.operations.values import decode_type, pack

_HOLDERS: Final = (MicroDataGroup, MicroDataset, MicroDatatype)
"""Nodes that have attributes."""


class Decorations:
    """Turns attributes and dimension scales of nodes into operations.

    Parameters
    ----------
    steps : sequence of Step
        All nodes with their places.
    facts : mapping of MicroData to DatasetFacts
        What each dataset will be.
    resolver, identities, namespace, scratch
        As for `Structure` and `Resolver`.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        facts: Mapping[MicroData, DatasetFacts],
        resolver: Resolver,
        identities: Mapping[Identity, str],
        namespace: Namespace,
        scratch: Scratch,
    ) -> None:
        self._facts = facts
        self._resolver = resolver
        self._identities = identities
        self._namespace = namespace
        self._scratch = scratch
        self._quick = Quick(scratch)
        self._datasets = {step.path: step.node for step in steps if isinstance(step.node, MicroDataset)}

    # --- attributes -----------------------------------------------------------------

    def attributes(self, step: Step, out: list[tuple[Operation, Buffer]]) -> None:
        """Append to `out` the operations that set the attributes (and the comment) of a node.

        Raises
        ------
        InvalidTreeError
            If HDF5 cannot hold one, or one refers to nothing.
        """
        node, path, quick = step.node, step.path, self._quick.attribute
        if node.stored is not None and node.stored.comment:
            out.append((SetComment(path=path, comment=node.stored.comment), b""))
        for name, value in self._attrs(node, path).items():
            _check_attribute_name(name, path)
            if value is None:
                continue
            if (known := quick(value)) is not None:
                (kind, space, packed), payload = known
                made = SetAttribute(path=path, name=name, type=kind, space=space, packed=packed)
                out.append((made, payload))
                continue
            with about(path, f"attribute {name!r}"):
                out.append(self._set(path, name, make_attribute(self._scratch, value)))

    def _attrs(self, node: MicroData, path: str) -> dict[str, Any]:
        attrs = node.attrs
        if type(attrs) is dict and (not attrs or (LABELS not in attrs and isinstance(node, _HOLDERS))):
            return attrs
        if not isinstance(attrs, Mapping):
            raise InvalidTypeError(
                f"the attributes of {path} are a {type(attrs).__name__}, not a mapping", dataset=path
            )
        if attrs and not isinstance(node, _HOLDERS):
            raise InvalidTreeError(f"{path} is a link, which has no attributes", dataset=path)
        if isinstance(node, MicroDataset):
            return expand_labels(node, attrs, path, self._facts[node].shape)
        return dict(attrs)

    def _set(self, path: str, name: str, attribute: StoredAttribute) -> tuple[Operation, bytes]:
        values = attribute.values
        packed = isinstance(values, np.ndarray)
        if isinstance(values, np.ndarray):
            describe = self._resolver.describe(path, attribute.owner)
            check_values(values, decode_type(attribute.type), describe)
            values = pack(values, attribute.type, describe)
        committed = None if attribute.committed is None else self._identities.get(attribute.committed)
        operation = SetAttribute(
            path=path,
            name=name,
            type=attribute.type,
            space=attribute.space,
            packed=packed,
            committed_type=committed,
        )
        return operation, values

    # --- dimension scales -------------------------------------------------------------

    def scales(self, step: Step) -> Iterator[Operation]:
        """The operations that make a dataset a scale, attach its scales and label its axes."""
        node, path = step.node, step.path
        if not isinstance(node, MicroDataset):
            return
        if node.scale is None and not node.axis_labels and node.scales == {}:
            return
        rank = len(self._facts[node].shape or ())
        if node.scale is not None and node.scale is not False:
            if not isinstance(node.scale, (str, bool)):
                raise InvalidTypeError(f"the scale name of {path} is no string", dataset=path)
            yield MakeScale(path=path, name="" if node.scale is True else node.scale)
        for axis, scale in self._attached(node, path):
            if not isinstance(axis, int) or not 0 <= axis < rank:
                raise InvalidTreeError(f"{path} has no axis {axis!r} for a scale", dataset=path)
            yield AttachScale(path=path, axis=axis, scale=self._scale(scale, node, path))
        if node.axis_labels and len(node.axis_labels) != rank:
            raise InvalidTreeError(
                f"{path} has {rank} axes and {len(node.axis_labels)} axis labels", dataset=path
            )
        for axis, label in enumerate(node.axis_labels):
            if not isinstance(label, str):
                raise InvalidTypeError(f"the label of axis {axis} of {path} is no string", dataset=path)
            if label:
                yield LabelAxis(path=path, axis=axis, label=label)

    def _attached(self, node: MicroDataset, path: str) -> Iterator[tuple[int, Any]]:
        if not isinstance(node.scales, Mapping):
            raise InvalidTypeError(f"the scales of {path} are no mapping of axes to scales", dataset=path)
        if node.scales and node.scale:
            raise InvalidTreeError(f"{path} is a dimension scale, which takes no scales", dataset=path)
        for axis, scales in node.scales.items():
            for scale in scales if isinstance(scales, (list, tuple)) else [scales]:
                yield axis, scale

    def _scale(self, scale: Any, node: MicroDataset, path: str) -> str:
        target = self._resolver.target(scale, path)
        other = self._datasets.get(target)
        if other is None and self._namespace.kind(target) != "dataset":
            raise InvalidTreeError(f"{path} has {target} for a scale, which is no dataset", dataset=path)
        if other is node or (other is not None and other.scales):
            raise InvalidTreeError(f"{path} cannot have {target} for a scale", dataset=path)
        return target


def _check_attribute_name(name: object, path: str) -> None:
    if type(name) is str and name.isidentifier():
        return  # most names; nothing below is in one
    if not isinstance(name, str):
        raise InvalidTypeError(f"{path} has an attribute named {name!r}, which is no string", dataset=path)
    if not name or "\0" in name:
        raise InvalidTreeError(f"{path} has an attribute named {name!r}, which HDF5 refuses", dataset=path)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InvalidTreeError(
            f"{path} has an attribute named {name!r}, not valid Unicode: {error}", dataset=path
        ) from error
