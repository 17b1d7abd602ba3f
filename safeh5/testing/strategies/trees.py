"""Datasets, and trees of groups, datasets, links, types, attributes and references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from safeh5.microdata import (
    ExternalLink,
    HardLink,
    MicroData,
    MicroDataGroup,
    MicroDataset,
    MicroDatatype,
    Reference,
    SoftLink,
)
from safeh5.testing.strategies.selections import boxes
from safeh5.testing.strategies.values import STAMPS, arrays, attributes, names, types


@st.composite
def datasets(draw: st.DrawFn, name: str = "data") -> MicroDataset:
    """A dataset: contiguous, chunked, resizable or compressed, as its values allow."""
    data = draw(arrays())
    options: dict[str, Any] = {}
    if isinstance(data, np.ndarray) and data.ndim and draw(st.booleans()):
        options["resizable"] = draw(st.booleans())
        options["chunking"] = tuple(draw(st.integers(1, max(1, n))) for n in data.shape)
        if not options["resizable"] and 0 in data.shape:
            del options["chunking"]
        elif data.size:
            options["compression"] = draw(st.sampled_from([None, "gzip", "lzf"]))
            options["shuffle"] = draw(st.sampled_from([None, True]))
    node = MicroDataset(name, data, **options)
    if isinstance(data, np.ndarray) and data.ndim == 2 and data.size and draw(st.booleans()):
        node.attrs["labels"] = [f"label {i}" for i in range(draw(st.sampled_from(data.shape)))]
    return node


@st.composite
def trees(draw: st.DrawFn, name: str = "/", max_nodes: int = 8) -> MicroDataGroup:
    """A tree: groups, datasets, links of all kinds, committed types, attributes, labels, references.

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.
    name : str
        Of the top group.
    max_nodes : int
        Nodes below it.
    """
    root = MicroDataGroup(name, attrs=STAMPS)
    groups: list[MicroDataGroup] = [root]
    objects: list[MicroData] = [root]
    for _ in range(draw(st.integers(0, max_nodes))):
        parent = draw(st.sampled_from(groups))
        taken = {child.name for child in parent.children}
        node = draw(_nodes(draw(_other_than(taken)), objects))
        if isinstance(node, MicroDataGroup):
            groups.append(node)
        if isinstance(node, MicroDataGroup | MicroDataset | MicroDatatype):
            objects.append(node)
        parent.add_children(node)
    for node in objects:
        node.attrs.update(draw(attributes()))
        if draw(st.booleans()):
            node.attrs["ref"] = draw(_references(objects))
    return root


def _other_than(taken: set[str]) -> st.SearchStrategy[str]:
    return names.filter(lambda name: name not in taken)


_KINDS = ("group", "dataset", "dataset", "soft", "hard", "external", "type")


@st.composite
def _nodes(draw: st.DrawFn, name: str, objects: Sequence[MicroData]) -> MicroData:
    kind = draw(st.sampled_from(_KINDS))
    if kind == "group":
        return MicroDataGroup(name, attrs=STAMPS, track_order=draw(st.booleans()))
    if kind == "dataset":
        return draw(datasets(name))
    if kind == "hard":
        return HardLink(name, draw(st.sampled_from(objects)))
    if kind == "soft":
        return SoftLink(name, draw(names))
    if kind == "type":
        return MicroDatatype(name, draw(types))
    return ExternalLink(name, "other.h5", draw(names))


@st.composite
def _references(draw: st.DrawFn, objects: Sequence[MicroData]) -> Reference:
    """To an object, or to a box of a dataset."""
    target = draw(st.sampled_from(objects))
    data = target.data if isinstance(target, MicroDataset) else None
    if not isinstance(data, np.ndarray) or not data.size or not data.ndim or draw(st.booleans()):
        return Reference(target)
    box = draw(boxes(data.shape))
    region = tuple(slice(s, s + n) for s, n in zip(box.start, box.count, strict=True))
    return Reference(target, region)
