"""Selections of elements: boxes, hyperslabs, unions of them, points."""

from __future__ import annotations

from h5py import h5s
from hypothesis import strategies as st

from safeh5.operations import model as op


@st.composite
def boxes(draw: st.DrawFn, shape: tuple[int, ...]) -> op.Box:
    """A contiguous part of an extent without empty axes; at least one element."""
    start = tuple(draw(st.integers(0, n - 1)) for n in shape)
    return op.Box(start, tuple(draw(st.integers(1, n - s)) for s, n in zip(start, shape, strict=True)))


@st.composite
def slabs(draw: st.DrawFn, shape: tuple[int, ...]) -> h5s.SpaceID:
    """A regular hyperslab of `shape`, perhaps shifted by an offset."""
    space = h5s.create_simple(shape)
    start, stride, count, block = [], [], [], []
    for n in shape:
        b = draw(st.integers(1, max(1, n // 2)))
        s = draw(st.integers(b, n))
        c = draw(st.integers(1, (n - b) // s + 1))
        start.append(draw(st.integers(0, n - ((c - 1) * s + b))))
        stride.append(s)
        count.append(c)
        block.append(b)
    space.select_hyperslab(tuple(start), tuple(count), tuple(stride), tuple(block))
    if draw(st.booleans()):
        _, last = space.get_select_bounds()
        ends = zip(last, shape, strict=True)
        space.offset_simple(tuple(draw(st.integers(0, n - 1 - int(b))) for b, n in ends))
    return space


@st.composite
def unions(draw: st.DrawFn, shape: tuple[int, ...]) -> h5s.SpaceID:
    """A few boxes together."""
    space = h5s.create_simple(shape)
    space.select_none()
    for _ in range(draw(st.integers(1, 4))):
        start = tuple(draw(st.integers(0, n - 1)) for n in shape)
        block = tuple(draw(st.integers(1, n - a)) for a, n in zip(start, shape, strict=True))
        space.select_hyperslab(start, (1,) * len(shape), block=block, op=h5s.SELECT_OR)
    return space


@st.composite
def points(draw: st.DrawFn, shape: tuple[int, ...]) -> h5s.SpaceID:
    """Some points, in any order."""
    space = h5s.create_simple(shape)
    element = st.tuples(*(st.integers(0, n - 1) for n in shape))
    space.select_elements(draw(st.lists(element, min_size=1, max_size=12, unique=True)))
    return space


def selections(shape: tuple[int, ...]) -> st.SearchStrategy[h5s.SpaceID]:
    """Any selection of elements of an extent without empty axes."""
    return st.one_of(slabs(shape), unions(shape), points(shape))
