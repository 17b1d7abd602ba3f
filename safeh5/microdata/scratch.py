"""A throw-away HDF5 file in memory, to ask h5py what it would do.

What type a value gets, which chunk shape is guessed, whether filter, shape and
type fit: h5py answers all of it by doing it. The answers are read off the
objects it makes, so a tree means here what `h5py.Group.create_dataset` and
``attrs`` mean, and is refused before anything is journaled.
"""

from __future__ import annotations

import uuid
from types import TracebackType
from typing import Any, Self

import h5py
import msgspec
from h5py import h5a, h5d, h5p, h5r

from safeh5.errors import InvalidTreeError, InvalidTypeError
from safeh5.microdata.stored import StoredAttribute, read_attribute
from safeh5.operations.model import Filter, Layout
from safeh5.operations.properties import make_dcpl, read_filters
from safeh5.operations.values import decode_space, decode_type

_ATTRIBUTE = b"a"
_REFUSALS = (ValueError, OSError, RuntimeError, OverflowError, KeyError, IndexError, MemoryError)


class about:
    """Turn what h5py and NumPy raise inside into errors that name the node.

    Parameters
    ----------
    path : str
        The node's path; may be changed inside, from node to node.
    what : str
        Which part of it, as a noun: ``"the data"``.
    """

    __slots__ = ("_what", "path")

    def __init__(self, path: str, what: str) -> None:
        self.path, self._what = path, what

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, InvalidTreeError):
            if error.dataset is None:
                raise type(error)(self._sentence(error.message), dataset=self.path) from error
        elif isinstance(error, TypeError):
            raise InvalidTypeError(self._sentence(error), dataset=self.path) from error
        elif isinstance(error, _REFUSALS):
            raise InvalidTreeError(self._sentence(error), dataset=self.path) from error

    def _sentence(self, cause: object) -> str:
        return f"{self._what} of {self.path} cannot be written: {cause}"


class Scratch:
    """The file in memory.

    Parameters
    ----------
    libver : tuple of str, optional
        Bounds of file format versions of the file that will be written, since
        they decide for example how large an attribute may be.
    """

    def __init__(self, libver: tuple[str, str] | None = None) -> None:
        self.known: dict[Any, Any] = {}
        name = f"safeh5-scratch-{uuid.uuid4().hex}"
        self._file = h5py.File(name, "w", driver="core", backing_store=False, libver=libver)

    def dataset(self, **options: Any) -> h5d.DatasetID:
        """An unnamed dataset made by ``create_dataset(**options)``."""
        return self._file.create_dataset(None, **options).id

    def filters(self, **options: Any) -> tuple[Filter, ...]:
        """The filter pipeline that ``create_dataset(**options)`` asks HDF5 for.

        What a finished dataset tells is what its filters made of that, which
        not every filter accepts when it is asked for again.
        """
        asked = h5p.create(h5p.DATASET_CREATE)
        self._file.create_dataset(None, dcpl=asked, **options)
        return read_filters(asked)

    def made_filters(self, kind: bytes, space: bytes, layout: Layout) -> tuple[Filter, ...]:
        """The filter pipeline of a dataset that HDF5 makes of these."""
        layout = msgspec.structs.replace(layout, alloc_time=None)  # allocate nothing, in memory least of all
        made = h5d.create(self._file.id, None, decode_type(kind), decode_space(space), make_dcpl(layout))
        return read_filters(made.get_create_plist())

    def attribute(self, value: Any) -> StoredAttribute:
        """What ``attrs[name] = value`` stores."""
        self._file.attrs.create(_ATTRIBUTE, value)
        return self._taken()

    def try_attribute(self, attribute: StoredAttribute) -> None:
        """Raise unless an attribute of this type and space can be made."""
        made = h5a.create(
            self._file.id, _ATTRIBUTE, decode_type(attribute.type), decode_space(attribute.space)
        )
        made.close()
        h5a.delete(self._file.id, _ATTRIBUTE)

    def region(self, shape: tuple[int, ...] | None, selection: Any) -> bytes:
        """The encoded dataspace of ``dataset[selection]`` for a dataset of `shape`."""
        if not shape:
            raise ValueError("a region needs a dataset that has axes")
        dataset = self._file.create_dataset(None, shape=shape, dtype="i1")
        return bytes(h5r.get_region(dataset.regionref[selection], dataset.id).encode())

    def _taken(self) -> StoredAttribute:
        """The attribute just made, taken out of the file again."""
        attribute = h5a.open(self._file.id, _ATTRIBUTE)
        try:
            return read_attribute(attribute)
        finally:
            attribute.close()
            h5a.delete(self._file.id, _ATTRIBUTE)
