"""Sequences of operations that HDF5 accepts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from safeh5.operations import model as op
from safeh5.operations.values import encode_shape, encode_type
from safeh5.testing.strategies.selections import boxes
from safeh5.testing.strategies.values import names, types

Array: TypeAlias = npt.NDArray[Any]
Step: TypeAlias = tuple[op.Operation, bytes]
"""An operation and its payload."""


@st.composite
def operations(draw: st.DrawFn, top: str = "/ops", max_size: int = 6) -> list[Step]:
    """A sequence of operations that HDF5 accepts, all below the new group `top`.

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.
    top : str
        Path of a group that does not exist and whose parent does.
    max_size : int
        Operations after the first, which makes the group.

    Returns
    -------
    list of (Operation, bytes)
        To be given to `Session.record`, and to `safeh5.testing.plain.apply_operation`.
    """
    known = _Known(top)
    steps: list[Step] = [(op.CreateGroup(path=top), b"")]
    for _ in range(draw(st.integers(0, max_size))):
        possible: list[Callable[[_Known], st.SearchStrategy[list[Step]]]]
        possible = [_make_group, _make_dataset, _make_link, _set_attribute, _rearrange, _copy]
        if known.datasets:
            possible += [_write_data, _write_data, _append_data, _resize]
        steps += draw(draw(st.sampled_from(possible))(known))
    return steps


class _Known:
    """What the operations so far have made."""

    def __init__(self, top: str) -> None:
        self.top = top
        self.count = 0
        self.groups = [top]
        self.links: list[str] = []
        self.datasets: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
        self.attributes: dict[str, str] = {}

    def fresh(self) -> str:
        self.count += 1
        return f"{self.top}/n{self.count}"

    def loose(self) -> list[str]:
        """What can be taken away without taking anything else with it."""
        inside = {path.rpartition("/")[0] for path in (*self.groups, *self.links, *self.datasets)}
        return [path for path in (*self.groups[1:], *self.links, *self.datasets) if path not in inside]

    def forget(self, path: str) -> None:
        self.groups = [known for known in self.groups if known != path]
        self.links = [known for known in self.links if known != path]
        self.datasets.pop(path, None)
        self.attributes.pop(path, None)


def _payload(draw: st.DrawFn, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    values: Array = draw(stnp.arrays(dtype, shape))
    return np.ascontiguousarray(values).tobytes()


@st.composite
def _make_group(draw: st.DrawFn, known: _Known) -> list[Step]:
    path = f"{draw(st.sampled_from(known.groups))}/{known.fresh().rpartition('/')[2]}"
    known.groups.append(path)
    return [(op.CreateGroup(path=path), b"")]


@st.composite
def _make_dataset(draw: st.DrawFn, known: _Known) -> list[Step]:
    path, dtype = known.fresh(), draw(types)
    shape = draw(stnp.array_shapes(min_dims=1, max_dims=2, max_side=5))
    known.datasets[path] = shape, dtype
    chunks = tuple(draw(st.integers(1, n)) for n in shape)
    space = encode_shape(shape, (None,) * len(shape))
    layout = op.Layout(chunks=chunks)
    return [(op.CreateDataset(path=path, type=encode_type(dtype), space=space, layout=layout), b"")]


@st.composite
def _make_link(draw: st.DrawFn, known: _Known) -> list[Step]:
    path, targets = known.fresh(), sorted(known.datasets)
    known.links.append(path)
    hard: bool = draw(st.booleans())
    if targets and hard:
        target = draw(st.sampled_from(targets))
        return [(op.CreateHardLink(path=path, target=target), b"")]
    return [(op.CreateSoftLink(path=path, target=draw(names)), b"")]


@st.composite
def _set_attribute(draw: st.DrawFn, known: _Known) -> list[Step]:
    path: str = draw(st.sampled_from([*known.groups, *known.datasets]))
    if path in known.attributes and draw(st.booleans()):
        return [(op.DeleteAttribute(path=path, name=known.attributes.pop(path)), b"")]
    dtype, shape, name = draw(types), draw(stnp.array_shapes(max_dims=2, max_side=3)), draw(names)
    known.attributes[path] = name
    operation = op.SetAttribute(path=path, name=name, type=encode_type(dtype), space=encode_shape(shape))
    return [(operation, _payload(draw, dtype, shape))]


@st.composite
def _rearrange(draw: st.DrawFn, known: _Known) -> list[Step]:
    """Delete or move something; what a hard link still holds stays."""
    found = known.loose()
    if not found:
        return []
    path = draw(st.sampled_from(found))
    if draw(st.booleans()):
        known.forget(path)
        return [(op.Delete(path=path), b"")]
    new = known.fresh()
    if path in known.datasets:
        known.datasets[new] = known.datasets[path]
    if path in known.groups:
        known.groups.append(new)
    if path in known.attributes:
        known.attributes[new] = known.attributes[path]
    known.links += [new] if path in known.links else []
    known.forget(path)
    return [(op.Move(path=new, source=path), b"")]


@st.composite
def _copy(draw: st.DrawFn, known: _Known) -> list[Step]:
    if not known.datasets:
        return []
    source, path = draw(st.sampled_from(sorted(known.datasets))), known.fresh()
    known.datasets[path] = known.datasets[source]
    return [(op.Copy(path=path, source=source), b"")]


@st.composite
def _write_data(draw: st.DrawFn, known: _Known) -> list[Step]:
    path = draw(st.sampled_from(sorted(known.datasets)))
    shape, dtype = known.datasets[path]
    if 0 in shape or draw(st.booleans()):
        return [(op.WriteData(path=path, type=encode_type(dtype)), _payload(draw, dtype, shape))]
    box = draw(boxes(shape))
    operation = op.WriteData(path=path, type=encode_type(dtype), selection=box)
    return [(operation, _payload(draw, dtype, box.count))]


@st.composite
def _append_data(draw: st.DrawFn, known: _Known) -> list[Step]:
    path = draw(st.sampled_from(sorted(known.datasets)))
    (length, *item), dtype = known.datasets[path]
    count = draw(st.integers(1, 3))
    known.datasets[path] = (length + count, *item), dtype
    operation = op.AppendData(path=path, type=encode_type(dtype), start=length, count=count)
    return [(operation, _payload(draw, dtype, (count, *item)))]


@st.composite
def _resize(draw: st.DrawFn, known: _Known) -> list[Step]:
    path = draw(st.sampled_from(sorted(known.datasets)))
    shape, dtype = known.datasets[path]
    new = tuple(draw(st.integers(0, n + 3)) for n in shape)
    known.datasets[path] = new, dtype
    return [(op.Resize(path=path, shape=new), b"")]
