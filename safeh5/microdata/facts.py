"""What a dataset will be: its type, space, layout and where its values come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter, is_
from types import NoneType
from typing import Any, Final, Union

import h5py
import msgspec
import numpy as np
from h5py import h5d, h5t

from safeh5.errors import InvalidTreeError, InvalidTypeError
from safeh5.microdata.dataset import MicroDataset
from safeh5.microdata.extent import Extent, Shape, axes, extent_of
from safeh5.microdata.filters import repeatable
from safeh5.microdata.nodes import MicroDatatype
from safeh5.microdata.payloads import check_dtype, converts, objects, payload_of
from safeh5.microdata.scratch import Scratch
from safeh5.microdata.sources import ArraySource, Blocks, BlockSource, Source, item_weight
from safeh5.microdata.stored import Identity, encoded_type
from safeh5.microdata.stored_source import StoredSource
from safeh5.microdata.values import REFERENCES, reference_array
from safeh5.operations.model import Layout
from safeh5.operations.properties import read_layout
from safeh5.operations.values import decode_space, decode_type, encode_shape, encode_type, is_plain

_FILL_TIMES = {
    "alloc": h5d.FILL_TIME_ALLOC,
    "never": h5d.FILL_TIME_NEVER,
    "ifset": h5d.FILL_TIME_IFSET,
}

Committed = Union[MicroDatatype, h5py.Datatype, Identity, None]


@dataclass(slots=True)
class DatasetFacts:
    """Everything about a dataset but its attributes.

    Attributes
    ----------
    type, space : bytes
        As HDF5 encodes them.
    layout : Layout
        Creation properties.
    source : Source or None
        The values; None leaves the fill value everywhere.
    committed : MicroDatatype, h5py.Datatype, Identity or None
        The committed datatype that it shares: a node, or an object of a file.
    owner : h5py identifier or None
        Object in whose file references among the values are meant.
    """

    type: bytes
    space: bytes
    layout: Layout
    source: Source | None = None
    committed: Committed = None
    owner: Any = None

    @property
    def shape(self) -> Shape | None:
        """The shape when the dataset is made; None for a null dataspace."""
        return _shape_of(self.space)


@lru_cache(maxsize=1024)
def _shape_of(space: bytes) -> Shape | None:
    shape: Shape | None = decode_space(space).shape
    return shape


def facts_of(node: MicroDataset, scratch: Scratch) -> DatasetFacts:
    """The facts of a dataset node.

    Raises
    ------
    TypeError, ValueError, OSError, InvalidTreeError
        If its parts do not fit each other or HDF5; to be named by the caller.
    """
    if node.stored is not None and node.stored.layout is not None:
        return _stored_facts(node, scratch)
    key = _key(node)
    if key is None:
        return _new_facts(node, scratch)
    known = scratch.known.get(key)
    if known is None:
        known = scratch.known[key] = _new_facts(node, scratch)
        _note_whole(known)
    # All but the values themselves depends on the key alone.
    like = known.source
    assert isinstance(like, ArraySource)
    source = ArraySource(node.data, like.shape, like.item_bytes, like.sliced, like.whole)
    return DatasetFacts(known.type, known.space, known.layout, source)


def _note_whole(facts: DatasetFacts) -> None:
    """Note the type of the values' bytes if these can be written as they lie in memory."""
    source = facts.source
    if isinstance(source, ArraySource) and source.data.size:
        made = payload_of(np.empty(0, source.data.dtype), facts.type, lambda reference: None)
        if encode_type(source.data.dtype) == made.type:
            source.whole = made.type


_OPTIONS: Final = (
    *("shape", "maxshape", "scaleoffset", "fillvalue", "fill_time", "resizable", "dtype", "compression"),
    *("chunking", "compression_opts", "shuffle", "fletcher32", "track_times", "track_order"),
)
_options_of: Final = attrgetter(*_OPTIONS)
_DEFAULTS: Final = _options_of(MicroDataset("", None))


def _key(node: MicroDataset) -> Any:
    """What the facts of a dataset of plain numbers depend on; None for other datasets.

    Values that are equal and mean different things (1 and True) are left to h5py.
    """
    data = node.data
    if type(data) is not np.ndarray or data.dtype.kind not in "iuf" or data.dtype.metadata:
        return None
    if all(map(is_, _options_of(node), _DEFAULTS)):
        return data.dtype, data.shape
    for value in (node.shape, node.maxshape, node.scaleoffset, node.fillvalue, node.fill_time):
        if value is not None:
            return None
    if node.resizable or not (node.dtype is None or _is_number(node.dtype)):
        return None
    if not isinstance(node.compression, str | None) or not isinstance(node.chunking, tuple | None):
        return None
    options = (node.compression_opts, node.shuffle, node.fletcher32, node.track_times, node.track_order)
    for option in options:
        if type(option) not in (NoneType, bool, int):
            return None
    return (data.dtype, data.shape, node.dtype, node.compression, node.chunking, *map(repr, options))


def _is_number(dtype: Any) -> bool:
    """Whether this means bare numbers; an enum is equal to the numbers that it is stored as."""
    return isinstance(dtype, np.dtype) and dtype.kind in "iuf" and not dtype.metadata


def _new_facts(node: MicroDataset, scratch: Scratch) -> DatasetFacts:
    """The facts of a dataset that h5py makes to see what becomes of it."""
    kind, committed = type_of(node.dtype)
    data = _ready(node, kind)
    if kind is None:
        kind = _type_of_data(node, data)
    encoded = encode_type(kind)
    if isinstance(data, h5py.Empty) or (isinstance(data, h5py.Dataset) and data.shape is None):
        made = scratch.dataset(data=h5py.Empty(kind.dtype), **_options(node))
        return DatasetFacts(encoded, encode_shape(None), _layout(made, kind, node), None, committed)
    extent = extent_of(node, data)
    source = _source(data, extent, encoded)
    options = {"shape": extent.shape, "dtype": h5py.Datatype(kind), "maxshape": extent.limits}
    options |= _options(node)
    made = scratch.dataset(**options)
    layout = _layout(made, kind, node)
    if layout.filters:
        layout = msgspec.structs.replace(layout, filters=scratch.filters(**options))
    owner = data.id if isinstance(data, h5py.Dataset) else None
    return DatasetFacts(encoded, made.get_space().encode(), layout, source, committed, owner)


def _stored_facts(node: MicroDataset, scratch: Scratch) -> DatasetFacts:
    """The facts of a dataset that was read from a file, as they were there."""
    stored = node.stored
    if stored is None or stored.layout is None:
        raise InvalidTreeError("the node was not read from a dataset")
    layout = repeatable(scratch, stored.type, stored.space, stored.layout)
    elsewhere = stored.layout.external or stored.layout.virtual
    source = None if elsewhere else StoredSource(node.data.id, as_stored=True)
    return DatasetFacts(stored.type, stored.space, layout, source, stored.committed, node.data.id)


def _layout(made: Any, kind: h5t.TypeID, node: MicroDataset) -> Layout:
    layout = read_layout(made.get_create_plist(), kind)
    if node.fill_time is None:
        return layout
    if node.fill_time not in _FILL_TIMES:
        raise InvalidTreeError(f"fill_time {node.fill_time!r} is not one of {', '.join(_FILL_TIMES)}")
    return msgspec.structs.replace(layout, fill_time=_FILL_TIMES[node.fill_time])


def _options(node: MicroDataset) -> dict[str, Any]:
    """What of the node is an argument of `create_dataset`, defaults left to h5py."""
    chunks = node.chunking if isinstance(node.chunking, bool) else axes(node.chunking, "chunking")
    options = {
        "chunks": chunks,
        "compression": node.compression,
        "compression_opts": node.compression_opts,
        "shuffle": node.shuffle,
        "fletcher32": node.fletcher32,
        "scaleoffset": node.scaleoffset,
        "fillvalue": node.fillvalue,
        "track_times": node.track_times,
        "track_order": node.track_order,
    }
    if isinstance(node.compression, Mapping):
        # hdf5plugin's filters are mappings of create_dataset's arguments.
        options |= dict(node.compression)
    return {name: value for name, value in options.items() if value is not None}


# --- types ------------------------------------------------------------------------


def type_of(dtype: Any) -> tuple[h5t.TypeID | None, Committed]:
    """The HDF5 type that `dtype` says, and the committed datatype it stands for."""
    if dtype is None:
        return None, None
    if isinstance(dtype, MicroDatatype):
        return decode_type(datatype_of(dtype)), dtype
    if isinstance(dtype, h5py.Datatype):
        return decode_type(encode_type(dtype.id)), dtype
    if isinstance(dtype, h5t.TypeID):
        return decode_type(encode_type(dtype)), None
    return decode_type(encode_type(_string_aware(np.dtype(dtype)))), None


def datatype_of(node: MicroDatatype) -> bytes:
    """The encoded type of a committed datatype node."""
    if node.stored is not None:
        return node.stored.type
    kind, _ = type_of(node.dtype)
    if kind is None or isinstance(node.dtype, MicroDatatype):
        raise InvalidTypeError(f"{node.dtype!r} is no data type to commit")
    return encode_type(kind)


def _string_aware(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """NumPy's own strings become variable-length ones, as Python's do in h5py."""
    strings: np.dtype[Any] = h5py.string_dtype()
    return strings if dtype.kind in "UT" else dtype


def _type_of_data(node: MicroDataset, data: Any) -> h5t.TypeID:
    if isinstance(data, Blocks):
        data = data.peek()
    nothing = isinstance(node.data, (list, tuple)) and not node.data and node.maxshape is not None
    if data is None or nothing:
        raise InvalidTreeError("there are no data, and no dtype says what to allocate")
    if isinstance(data, h5py.Dataset):
        return decode_type(encoded_type(data.id.get_type())[0])
    dtype = data.dtype
    if dtype.kind == "O" and not dtype.metadata:
        dtype = _guessed(data)
    return decode_type(encode_type(_string_aware(dtype)))


def _guessed(data: Any) -> np.dtype[Any]:
    """The dtype of an array of objects, if all are strings."""
    if isinstance(data, np.ndarray) and data.size and all(isinstance(item, str) for item in data.flat):
        strings: np.dtype[Any] = h5py.string_dtype()
        return strings
    raise InvalidTypeError(
        "an array of Python objects has no HDF5 type; give a dtype,"
        " such as h5py.string_dtype() or h5py.vlen_dtype()"
    )


# --- values -----------------------------------------------------------------------


def _ready(node: MicroDataset, kind: h5t.TypeID | None) -> Any:
    """The node's data as something with shape and dtype, `Blocks`, or None; lazy ones stay lazy."""
    data = node.data
    if isinstance(data, Iterator) and not isinstance(data, Blocks):
        # The node keeps the first block that is looked at here: were it
        # dropped, a tree that is refused now would be written without it later.
        data = node.data = Blocks(data)
    if data is None or isinstance(data, (Blocks, h5py.Dataset, h5py.Empty)):
        return data
    references = reference_array(data, REFERENCES)
    if references is not None:
        return references
    if isinstance(data, np.ndarray):
        return data if kind is None or not data.dtype.hasobject else _converted(data, kind)
    if _has_facts(data):
        return data
    if kind is not None and not (isinstance(data, (list, tuple)) and not data):
        return _converted(data, kind)
    if isinstance(data, (str, bytes)):
        return np.array(data, dtype=h5py.string_dtype("utf-8" if isinstance(data, str) else "ascii"))
    return np.asarray(data)


def _has_facts(data: Any) -> bool:
    """Whether shape and dtype are known without making an array of `data`."""
    dtype = getattr(data, "dtype", None)
    if not isinstance(dtype, np.dtype) or not hasattr(data, "shape"):
        return False
    if isinstance(data, np.generic) or (dtype.kind == "O" and not dtype.metadata):
        return False
    return hasattr(data, "__array__") or hasattr(data, "__getitem__")


def _converted(data: Any, kind: h5t.TypeID) -> Any:
    """Lists, scalars and arrays of objects as an array of the type that is wanted."""
    encoded = encode_type(kind)
    if not is_plain(encoded):
        return objects(data, encoded)
    if kind.get_class() == h5t.STRING or (isinstance(data, np.ndarray) and data.dtype.kind in "UT"):
        return np.asarray(data)
    return np.asarray(data, dtype=kind.dtype)


def _source(data: Any, extent: Extent, encoded: bytes) -> Source | None:
    if isinstance(data, Blocks):
        first = data.peek()
        if first is not None:
            check_dtype(first.dtype, encoded)
        return BlockSource(data, extent.shape[1:], extent.room, extent.exact)
    if extent.data is None:
        return None
    if isinstance(data, h5py.Dataset):
        own = encode_type(data.id.get_type())
        if own == encoded or (not is_plain(own) and converts(decode_type(own), decode_type(encoded))):
            return StoredSource(data.id)
    check_dtype(data.dtype, encoded)
    sliced = isinstance(data, (np.ndarray, h5py.Dataset)) or hasattr(data, "chunks")
    return ArraySource(data, extent.data, item_weight(data.dtype), sliced)
