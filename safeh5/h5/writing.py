"""Changes of what datasets and attributes hold, from h5py's arguments to operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np
from h5py import h5d, h5s, h5t

from safeh5._typing import Buffer
from safeh5.applier.direct import AttributeValues, Chunk, Extent, Values
from safeh5.h5 import extents
from safeh5.h5.door import refused
from safeh5.h5.memory import Memory, read_memory
from safeh5.h5.paths import path_of, text
from safeh5.h5.plain import is_plain_dtype, kept
from safeh5.h5.selections import box_within, file_selection, gather, is_everything
from safeh5.h5.virtual import leads_elsewhere
from safeh5.operations import model
from safeh5.operations.values import is_plain

_NUMBERS: Final = "iuf"

Native = Callable[..., None]
"""h5py's own method, for objects without a path and for its errors."""


def write(dataset: Any, path: str, mspace: Any, fspace: Any, array: Any, memory_type: Any) -> None:
    """Record one call of `DatasetID.write`.

    Parameters
    ----------
    dataset : DatasetID
        The dataset.
    path : str
        Its path.
    mspace, fspace, array, memory_type
        As h5py takes them.

    Raises
    ------
    TypeError, ValueError, OSError
        As h5py, where HDF5 would refuse the write; and where it would not but
        should, since it reads and writes past the end.
    """
    _refuse_elsewhere(dataset, path)
    if _write_numbers(dataset, path, mspace, fspace, array, memory_type):
        return
    # As h5py gave them to HDF5, if the array means to it what it means to us.
    at = None if array.dtype.kind == "T" else Values(dataset, mspace, fspace, array, memory_type)
    memory = _memory(array, memory_type, _stored_type(dataset))
    shape = dataset.shape
    fspace, mspace = _spaces(dataset, mspace, fspace)
    if shape is None or not _fits(fspace, shape):
        raise OSError(f"Can't write data (the selection is not within the extent {shape} of {path})")
    chosen = gather(memory.elements, mspace)
    selection, count = file_selection(fspace, shape)
    if len(chosen) != count:
        raise OSError(f"Can't write data ({len(chosen)} elements are selected in memory, {count} in {path})")
    if count == 0:
        return
    encoded, payload = memory.payload(chosen, dataset.door)
    operation = model.WriteData(path=path, type=encoded, selection=selection, packed=memory.packed)
    dataset.door.record(operation, payload, at if memory.exact else None)


def _stored_type(dataset: Any) -> h5t.TypeID:
    """The type of a dataset, asked for once: it never changes."""
    try:
        known: h5t.TypeID = dataset.stored
    except AttributeError:
        known = dataset.stored = h5d.DatasetID.get_type(dataset)
    return known


def _write_numbers(dataset: Any, path: str, mspace: Any, fspace: Any, array: Any, memory_type: Any) -> bool:
    """Record a write of a whole array of numbers to a dataset of numbers; whether it is such a one."""
    dtype = array.dtype
    if memory_type is not None or dtype.kind not in _NUMBERS or not array.flags.c_contiguous:
        return False
    # An enum's dtype is equal to that of the numbers, and another type for HDF5.
    if not (dtype.metadata is None and array.nbytes and _is_numeric(dataset)):
        return False
    chosen, selection = _where_all_goes(dataset, mspace, fspace, array)
    if not chosen:
        return False
    memory_type, encoded = _memory_type(dtype)
    operation = model.WriteData(path=path, type=encoded, selection=selection)
    at = Values(dataset, mspace, fspace, array, memory_type)
    shape = dataset.shape
    dataset.door.record(operation, as_bytes(array), at)
    extents.note(dataset, shape)
    return True


def _where_all_goes(
    dataset: Any, mspace: Any, fspace: Any, array: Any
) -> tuple[bool, model.Selection | None]:
    """Whether all of `array` is written, in its order; and the selection that it is written to."""
    shape = dataset.shape
    if is_everything(fspace):
        return is_everything(mspace) and shape == array.shape, None
    if is_everything(mspace) or mspace.get_select_type() != h5s.SEL_ALL:
        return False, None
    if mspace.get_select_npoints() != array.size or shape is None:
        return False, None
    box = box_within(fspace, shape)
    if box is not None:
        return math.prod(box.count) == array.size, box
    if not _fits(fspace, shape):
        return False, None
    selection, count = file_selection(fspace, shape)
    return count == array.size, selection


def _is_numeric(dataset: Any) -> bool:
    """Whether HDF5 converts any number to the type of a dataset."""
    try:
        known: bool = dataset.numeric
    except AttributeError:
        known = dataset.numeric = _stored_type(dataset).get_class() in (h5t.INTEGER, h5t.FLOAT)
    return known


@lru_cache(maxsize=64)
def _memory_type(dtype: np.dtype[Any]) -> tuple[h5t.TypeID, bytes]:
    """What HDF5 is told of numbers in memory, and its encoding; shared."""
    tid = h5t.py_create(dtype)
    return tid, tid.encode()


def _memory(array: Any, memory_type: Any, stored: h5t.TypeID) -> Memory:
    if not array.flags.c_contiguous:
        raise TypeError("Array must be C-contiguous")
    memory = read_memory(array, memory_type, stored)
    if memory is None:
        # h5py converts what holds pointers itself.
        kind = OSError if is_plain(stored.encode()) else TypeError
        raise kind(f"Can't write data (HDF5 has no conversion from {array.dtype} to the stored type)")
    return memory


def _spaces(dataset: Any, mspace: Any, fspace: Any) -> tuple[Any, Any]:
    """File and memory space with HDF5's meaning of ``ALL`` put in.

    ``ALL`` in the file is the whole dataset; in memory it is the file space,
    selection included.
    """
    if is_everything(fspace):
        fspace = dataset.get_space()
    return fspace, fspace if is_everything(mspace) else mspace


def _fits(fspace: h5s.SpaceID, shape: tuple[int, ...]) -> bool:
    kind = fspace.get_simple_extent_type()
    if kind == h5s.NULL:
        return False
    if kind == h5s.SCALAR or fspace.get_select_npoints() == 0:
        return True
    if len(fspace.shape) != len(shape):
        return False
    _, last = fspace.get_select_bounds()
    return all(int(a) < b for a, b in zip(last, shape, strict=True))


def _refuse_elsewhere(dataset: Any, path: str) -> None:
    """Refuse to write through a virtual dataset into other files."""
    if leads_elsewhere(dataset):
        dataset.door.refuse(
            f"a write through the virtual dataset {path} into other files", path, "Write to the source itself"
        )


def resize(dataset: Any, shape: tuple[int, ...], native_set_extent: Native) -> None:
    """Record one call of `DatasetID.set_extent`."""
    path = path_of(dataset, dataset.door)
    if path is None or shape == dataset.shape:
        dataset.door.note_unrecorded()
        native_set_extent(shape)
        return
    if not _can_be(dataset, shape):
        refused(native_set_extent, shape)
    shape = tuple(int(n) for n in shape)
    dataset.door.record(model.Resize(path=path, shape=shape), at=Extent(dataset))
    extents.note(dataset, shape)


def _can_be(dataset: Any, shape: tuple[int, ...]) -> bool:
    limits = _limits(dataset)
    if not limits or len(shape) != len(limits):
        return False
    return all(
        int(n) >= 0 and (limit == h5s.UNLIMITED or int(n) <= limit)
        for n, limit in zip(shape, limits, strict=True)
    )


def _limits(dataset: Any) -> tuple[int, ...]:
    """How far a dataset can grow, asked for once: that never changes; nothing if it cannot be resized."""
    known: tuple[int, ...] | None = getattr(dataset, "limits", None)
    if known is None:
        dcpl = h5d.DatasetID.get_create_plist(dataset)
        resizable = dcpl.get_layout() in (h5d.CHUNKED, h5d.VIRTUAL) or dcpl.get_external_count()
        known = dataset.limits = (dataset.get_space().get_simple_extent_dims(True) or ()) if resizable else ()
    return known


def write_chunk(dataset: Any, offsets: tuple[int, ...], data: Any, mask: int, native_write: Native) -> None:
    """Record one call of `DatasetID.write_direct_chunk`."""
    path = path_of(dataset, dataset.door)
    if path is None:
        dataset.door.note_unrecorded()
        native_write(offsets, data, mask)
        return
    dcpl = dataset.get_create_plist()
    if dcpl.get_layout() != h5d.CHUNKED or not _is_chunk(offsets, dcpl.get_chunk(), dataset.shape):
        refused(native_write, offsets, data, mask)
    operation = model.WriteChunk(path=path, offset=tuple(int(n) for n in offsets), filter_mask=int(mask))
    payload = as_bytes(data)
    dataset.door.record(operation, payload, Chunk(dataset, payload))


def _is_chunk(offsets: tuple[int, ...], chunk: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    if len(offsets) != len(shape):
        return False
    return all(int(o) % c == 0 and 0 <= int(o) < n for o, c, n in zip(offsets, chunk, shape, strict=True))


def as_bytes(data: Any) -> Buffer:
    """The memory behind a buffer, in the order in which it lies there."""
    view = memoryview(data)
    if view.nbytes and view.c_contiguous:
        return np.frombuffer(view, np.uint8).data
    return view.tobytes("A")


def write_attribute(attribute: Any, path: str, array: Any, memory_type: Any) -> None:
    """Record one call of `AttrID.write`."""
    if memory_type is None and _write_number_attribute(attribute, path, array):
        return
    memory = _memory(array, memory_type, attribute.get_type())
    space = attribute.get_space()
    if space.get_simple_extent_type() == h5s.NULL:
        raise OSError("Can't write data (the attribute has no extent)")
    count = space.get_simple_extent_npoints()
    if len(memory.elements) < count:
        raise TypeError(f"the attribute has {count} elements, the array {len(memory.elements)}")
    encoded, payload = memory.payload(memory.elements[:count], attribute.door)
    name = text(attribute.get_name(), attribute.door)
    operation = model.WriteAttribute(path=path, name=name, type=encoded, packed=memory.packed)
    same = len(memory.elements) == count and array.dtype.kind != "T" and memory.exact
    at = AttributeValues(attribute, array, memory_type) if same else None
    attribute.door.record(operation, payload, at)


def _write_number_attribute(attribute: Any, path: str, array: Any) -> bool:
    """Record a write of numbers to an attribute of numbers; whether it is such a one."""
    if not (array.dtype.kind in _NUMBERS and is_plain_dtype(array.dtype) and array.size):
        return False
    if not array.flags.c_contiguous or attribute.shape != array.shape:
        return False
    if attribute.get_type().get_class() not in (h5t.INTEGER, h5t.FLOAT):
        return False
    known = kept(array.dtype)
    name = text(attribute.get_name(), attribute.door)
    operation = model.WriteAttribute(path=path, name=name, type=known.encoded)
    attribute.door.record(operation, array.tobytes(), AttributeValues(attribute, array, known.memory))
    return True
