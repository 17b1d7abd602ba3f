"""Creation properties of datasets: HDF5's property list <-> `Layout`.

h5py shows no encoding for property lists, so the properties are read one by
one and set one by one. Properties that stand at HDF5's default are left out.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5d, h5p, h5r, h5s, h5t, string_dtype

from safeh5.errors import InvalidTypeError
from safeh5.operations.model import CreateGroup, ExternalSegment, FillValue, Filter, Layout, VirtualSource
from safeh5.operations.values import decode_space, decode_type, encode_type, is_plain, pack, unpack

_DEFAULT_ALLOC_TIME = {
    h5d.CONTIGUOUS: h5d.ALLOC_TIME_LATE,
    h5d.CHUNKED: h5d.ALLOC_TIME_INCR,
    h5d.COMPACT: h5d.ALLOC_TIME_EARLY,
    h5d.VIRTUAL: h5d.ALLOC_TIME_INCR,
}
_DEFAULT_PHASE = (8, 6)
_DEFAULT_FILL_TIME = h5d.FILL_TIME_IFSET


# --- property list to layout ------------------------------------------------------


def read_layout(dcpl: h5p.PropDCID, dtype: h5t.TypeID) -> Layout:
    """The `Layout` that makes a dataset of type `dtype` as `dcpl` would."""
    kind = dcpl.get_layout()
    alloc_time, fill_time = dcpl.get_alloc_time(), dcpl.get_fill_time()
    return Layout(
        chunks=tuple(dcpl.get_chunk()) if kind == h5d.CHUNKED else None,
        compact=kind == h5d.COMPACT,
        filters=read_filters(dcpl),
        fill=read_fill(dcpl, dtype),
        fill_time=None if fill_time == _DEFAULT_FILL_TIME else fill_time,
        alloc_time=None if alloc_time in (_DEFAULT_ALLOC_TIME[kind], h5d.ALLOC_TIME_DEFAULT) else alloc_time,
        track_times=bool(dcpl.get_obj_track_times()),
        attr_order=dcpl.get_attr_creation_order(),
        attr_phase=read_phase(dcpl),
        external=tuple(_read_external(dcpl, i) for i in range(dcpl.get_external_count())),
        virtual=_read_virtual(dcpl) if kind == h5d.VIRTUAL else (),
        virtual_empty=kind == h5d.VIRTUAL and dcpl.get_virtual_count() == 0,
    )


def read_phase(plist: h5p.PropOCID) -> tuple[int, int] | None:
    """Where attributes go over into dense storage and back; None for HDF5's default."""
    most, least = plist.get_attr_phase_change()
    return None if (most, least) == _DEFAULT_PHASE else (int(most), int(least))


def read_filters(dcpl: h5p.PropDCID) -> tuple[Filter, ...]:
    """The filter pipeline of a property list, in order."""
    steps = (dcpl.get_filter(i) for i in range(dcpl.get_nfilters()))
    return tuple(Filter(code, flags, tuple(values)) for code, flags, values, _ in steps)


def read_fill(dcpl: h5p.PropDCID, dtype: h5t.TypeID) -> FillValue | None:
    """The user's fill value in type `dtype`, or None when there is none."""
    if dcpl.fill_value_defined() != h5d.FILL_VALUE_USER_DEFINED:
        return None
    value = np.zeros(1, dtype=_fill_dtype(dtype))
    dcpl.get_fill_value(value)
    return make_fill(value, dtype)


def make_fill(value: npt.NDArray[Any], dtype: h5t.TypeID) -> FillValue:
    """The `FillValue` of one element `value` (array of size 1) of type `dtype`."""
    encoded = encode_type(dtype)
    if is_plain(encoded):
        return FillValue(encoded, np.ascontiguousarray(value).tobytes())
    return FillValue(encoded, pack(value.reshape(1), encoded, _no_reference), packed=True)


def _fill_dtype(dtype: h5t.TypeID) -> np.dtype[Any]:
    try:
        found: np.dtype[Any] = dtype.dtype
    except TypeError as error:
        raise InvalidTypeError(f"h5py has no NumPy type for a fill value: {error}") from error
    return found


def _no_reference(value: Any) -> None:
    """A fill value holds no reference: HDF5 stores null there."""


def _read_external(dcpl: h5p.PropDCID, index: int) -> ExternalSegment:
    name, offset, size = dcpl.get_external(index)
    return ExternalSegment(_text(name), int(offset), int(size))


def _read_virtual(dcpl: h5p.PropDCID) -> tuple[VirtualSource, ...]:
    return tuple(
        VirtualSource(
            dcpl.get_virtual_vspace(i).encode(),
            _text(dcpl.get_virtual_filename(i)),
            _text(dcpl.get_virtual_dsetname(i)),
            _source_space(dcpl, i).encode(),
        )
        for i in range(dcpl.get_virtual_count())
    )


def _source_space(dcpl: h5p.PropDCID, index: int) -> h5s.SpaceID:
    """What is selected of a source; all of it in one dimension where the file does not tell its shape.

    HDF5 takes the shape from the source when it reads, but wants as many elements here as there.
    """
    space = dcpl.get_virtual_srcspace(index)
    if space.get_select_type() == h5s.SEL_ALL:
        elements = _elements_of_one(dcpl.get_virtual_vspace(index))
        if space.get_select_npoints() != elements:
            return h5s.create_simple((elements,))
    return space


def _elements_of_one(target: h5s.SpaceID) -> int:
    """How many elements of a virtual dataset come from one source; of an unlimited selection, from each."""
    if target.get_select_type() == h5s.SEL_HYPERSLABS and target.is_regular_hyperslab():
        _, _, counts, blocks = target.get_regular_hyperslab()
        return prod(b if c == h5s.UNLIMITED else b * c for c, b in zip(counts, blocks, strict=True))
    return int(target.get_select_npoints())


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")


# --- layout to property list ------------------------------------------------------


def make_dcpl(layout: Layout) -> h5p.PropDCID:
    """The property list that `read_layout` read, as far as a `Layout` says it."""
    dcpl = h5p.create(h5p.DATASET_CREATE)
    dcpl.set_obj_track_times(layout.track_times)
    if layout.attr_order:
        dcpl.set_attr_creation_order(layout.attr_order)
    if layout.attr_phase:
        dcpl.set_attr_phase_change(*layout.attr_phase)
    if layout.chunks is not None:
        dcpl.set_chunk(layout.chunks)
    elif layout.compact:
        dcpl.set_layout(h5d.COMPACT)
    for step in layout.filters:
        dcpl.set_filter(step.id, step.flags, step.values)
    _set_times(dcpl, layout)
    if layout.fill is not None:
        dcpl.set_fill_value(_fill_array(layout.fill))
    for segment in layout.external:
        dcpl.set_external(segment.name.encode(), segment.offset, segment.size)
    if layout.virtual or layout.virtual_empty:
        dcpl.set_layout(h5d.VIRTUAL)
    for source in layout.virtual:
        dcpl.set_virtual(
            decode_space(source.target),
            source.file.encode(),
            source.dataset.encode(),
            decode_space(source.source),
        )
    return dcpl


def make_gcpl(op: CreateGroup) -> h5p.PropGCID:
    """The property list that a group is made with; shared, since HDF5 only reads it."""
    return _gcpl(op.link_order, op.attr_order, op.attr_phase, op.track_times)


@lru_cache(maxsize=64)
def _gcpl(link_order: int, attr_order: int, attr_phase: tuple[int, int] | None, times: bool) -> h5p.PropGCID:
    gcpl = h5p.create(h5p.GROUP_CREATE)
    # h5py's default, and not HDF5's: replaying later writes another time into the file.
    gcpl.set_obj_track_times(times)
    if link_order:
        gcpl.set_link_creation_order(link_order)
    if attr_order:
        gcpl.set_attr_creation_order(attr_order)
    if attr_phase:
        gcpl.set_attr_phase_change(*attr_phase)
    return gcpl


def _set_times(dcpl: h5p.PropDCID, layout: Layout) -> None:
    if layout.alloc_time is not None:
        dcpl.set_alloc_time(layout.alloc_time)
    if layout.fill_time is not None:
        dcpl.set_fill_time(layout.fill_time)


def _fill_array(fill: FillValue) -> npt.NDArray[Any]:
    if fill.packed:
        return unpack(fill.value, fill.type, (1,), lambda stored: h5r.Reference())
    value = np.frombuffer(fill.value, dtype=decode_type(fill.type).dtype, count=1)
    # h5py hands a fixed-length string to HDF5 by the wrong pointer; a
    # variable-length one arrives, and HDF5 converts it to the dataset's type.
    return value if value.dtype.kind != "S" else np.array([value[0]], dtype=string_dtype())
