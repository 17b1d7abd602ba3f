"""Making and opening the dataset of a stream."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5o

from safeh5.errors import InvalidOptionError, InvalidTreeError, InvalidTypeError
from safeh5.microdata import FileNamespace, MicroData, MicroDataGroup, MicroDataset
from safeh5.options import KIB
from safeh5.session.stream import Stream

if TYPE_CHECKING:
    from safeh5.session.contents import Contents

_CHUNK_BYTES = 64 * KIB
_SETTLED = frozenset({"data", "maxshape", "resizable", "parent", "name"})
_NO_STAMPS = {"machine_id": None, "timestamp": None}


def absolute(path: str) -> str:
    """`path` from the root, without empty parts.

    Raises
    ------
    InvalidTreeError, InvalidTypeError
        If it names nothing, or has a part ``.`` or ``..``, which HDF5 does not resolve, or is no text.
    """
    if not isinstance(path, str):
        raise InvalidTypeError(f"{path!r} is not the path of a dataset: paths are strings")
    parts = [part for part in path.split("/") if part]
    if not parts or any(part in (".", "..") for part in parts):
        raise InvalidTreeError(f"{path!r} is not the path of a dataset", dataset=path)
    if not is_text(path):
        raise InvalidTreeError(f"{path!r} is not the path of a dataset: it has no form in UTF-8")
    return "/" + "/".join(parts)


def is_text(text: str) -> bool:
    """Whether `text` can be written in UTF-8; the name of a file may hold bytes that cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def item_shape(shape: int | tuple[int, ...] | None, path: str) -> tuple[int, ...] | None:
    """The shape of an item as a tuple; a number is that of one axis.

    Raises
    ------
    InvalidTreeError
        If it is no shape.
    """
    if shape is None:
        return None
    try:
        sizes = tuple(operator.index(n) for n in (shape if isinstance(shape, Iterable) else (shape,)))
    except TypeError:
        sizes = (-1,)
    if any(n < 0 for n in sizes):
        raise InvalidTreeError(f"{shape!r} is not the shape of an item", dataset=path)
    return sizes


def item_type(dtype: npt.DTypeLike | None, path: str) -> np.dtype[Any] | None:
    """The type of the elements as HDF5 has it: NumPy's text is there strings of any length.

    Raises
    ------
    InvalidTypeError
        If it is no type.
    """
    if dtype is None:
        return None
    try:
        found = np.dtype(dtype)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(f"{dtype!r} is no type of elements: {error}", dataset=path) from error
    return h5py.string_dtype() if found.kind in "UT" else found


def new_dataset(
    file: h5py.File,
    path: str,
    shape: tuple[int, ...] | None,
    dtype: npt.DTypeLike | None,
    chunks: tuple[int, ...] | bool | None,
    compression: Any,
    attrs: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> MicroData:
    """The node of a dataset without items yet, in the groups that it needs and that are missing.

    Raises
    ------
    InvalidTreeError
        If shape or type are not given.
    """
    if settled := _SETTLED.intersection(options):
        raise InvalidOptionError(
            f"{', '.join(sorted(settled))} of {path} cannot be given: a stream begins without items, "
            "and its first axis has no end"
        )
    if shape is None or dtype is None:
        raise InvalidTreeError("there is no such dataset yet: give shape and dtype of an item", dataset=path)
    parent, _, name = path.rpartition("/")
    node: MicroData = MicroDataset(
        name,
        None,
        dtype,
        compression,
        chunks if chunks not in (None, True) else default_chunks(shape, np.dtype(dtype)),
        parent or "/",
        True,
        (None, *(n or None for n in shape)),  # HDF5 has no chunks for an axis that is 0 for ever
        attrs,
        shape=(0, *shape),
        **options,
    )
    namespace = FileNamespace(file)
    while parent and namespace.kind(parent) is None:
        grand, _, name = parent.rpartition("/")
        node = MicroDataGroup(name, grand or "/", _NO_STAMPS, [node])
        parent = grand
    return node


def default_chunks(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """One item to a chunk, or as many small ones as fill 64 KiB.

    An item that is a chunk is written once and never read again to be changed.
    """
    item = max(1, dtype.itemsize * int(np.prod(shape, dtype=np.int64)))
    return (max(1, _CHUNK_BYTES // item), *(max(1, n) for n in shape))


def open_stream(
    session: Contents, path: str, shape: tuple[int, ...] | None, dtype: npt.DTypeLike | None
) -> Stream:
    """The stream on an existing dataset, once it is known to take such items.

    Raises
    ------
    InvalidTreeError, InvalidTypeError
        If it does not.
    """
    namespace = FileNamespace(session._look())
    if namespace.kind(path) != "dataset":
        raise InvalidTreeError("what stands there is no dataset", dataset=path)
    dataset = namespace.dataset(path)
    if not dataset.shape:
        raise InvalidTreeError("a scalar dataset cannot be streamed to", dataset=path)
    stream = Stream(session, path, dataset)
    require_items(stream, shape, dtype)
    return stream


def has_other_names(file: h5py.File, path: str) -> bool:
    """Whether the object at `path` may be reached by another path too."""
    namespace, parts = FileNamespace(file), path.strip("/").split("/")
    prefixes = ["/" + "/".join(parts[: n + 1]) for n in range(len(parts))]
    return any(
        namespace.link(prefix)[0] != "hard" or h5o.get_info(file.id, prefix.encode()).rc > 1
        for prefix in prefixes
    )


def require_items(stream: Stream, shape: tuple[int, ...] | None, dtype: npt.DTypeLike | None) -> None:
    """Refuse a stream whose items are others than was asked for.

    Raises
    ------
    InvalidTreeError, InvalidTypeError
        If they are.
    """
    path = stream.path
    if shape is not None and tuple(shape) != stream.shape:
        raise InvalidTreeError(f"its items have shape {stream.shape}, not {tuple(shape)}", dataset=path)
    if dtype is not None and not _same(np.dtype(dtype), stream.dtype):
        raise InvalidTypeError(f"its elements are {stream.dtype}, not {np.dtype(dtype)}", dataset=path)


def _same(wanted: np.dtype[Any], found: np.dtype[Any]) -> bool:
    """Whether two types have the same elements; in compounds the places of the fields do not count."""
    if wanted.names is None or found.names is None:
        return wanted == found
    return wanted.names == found.names and all(_same(wanted[name], found[name]) for name in wanted.names)
