"""Arrays in memory as payloads: the type that says what their bytes mean, and the bytes.

h5py writes most arrays as they are, and so does the journal. Arrays of Python
objects (strings, references, sequences) and NumPy's ``StringDType`` have a
memory type of h5py's own that means nothing outside the process; what is meant
is told by the type they are stored as, so that type is journaled, and the
values are packed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from h5py import h5t

from safeh5._typing import Buffer
from safeh5.h5.checking import checked
from safeh5.h5.paths import describe
from safeh5.operations.values import decode_type, is_plain, pack

if TYPE_CHECKING:
    from safeh5.h5.door import Door


@dataclass(frozen=True, slots=True)
class Memory:
    """What a write is given.

    Attributes
    ----------
    elements : ndarray, shape (n,) or (n, ...)
        One element of `type` per row; void for plain values.
    type : TypeID
        What they mean.
    packed : bool
        Whether they hold objects.
    exact : bool
        Whether h5py would make the same of the array as the payload says.
    """

    elements: npt.NDArray[Any]
    type: h5t.TypeID
    packed: bool
    exact: bool = True

    def payload(self, chosen: npt.NDArray[Any], door: Door) -> tuple[bytes, Buffer]:
        """Encoded type and payload of some of the elements."""
        encoded = self.type.encode()
        if not self.packed:
            return encoded, chosen.view(np.uint8).data
        return encoded, pack(chosen, encoded, lambda reference: describe(reference, door))


def read_memory(array: npt.NDArray[Any], memory_type: h5t.TypeID | None, stored: h5t.TypeID) -> Memory | None:
    """What `array` holds, to be written to an object of type `stored`.

    Parameters
    ----------
    array : ndarray
        C-contiguous.
    memory_type : TypeID or None
        What h5py was told that the bytes mean; by default what the dtype says.

    Returns
    -------
    Memory or None
        None if HDF5 has no conversion from the one type to the other.

    Raises
    ------
    ValueError
        For a compound without a member, as h5py; to look for a conversion from it kills the process.
    """
    if array.dtype.kind == "T":
        array, memory_type = _strings(array, stored)
    if memory_type is None:
        memory_type = h5t.py_create(array.dtype)
    if memory_type.get_class() == h5t.COMPOUND and not memory_type.get_nmembers():
        raise ValueError("Size must be positive (no member of the compound is written)")
    if h5t.find(memory_type, stored) is None:
        return None
    if not array.dtype.hasobject:
        return _plain(array, memory_type)
    encoded = _meaning(memory_type.encode(), stored.encode())
    if is_plain(encoded):
        return None
    meant = decode_type(encoded)
    rows = _rows(array, meant)
    return Memory(rows, meant, packed=True, exact=checked(rows.reshape(-1), encoded))


@lru_cache(maxsize=1024)
def _meaning(memory_type: bytes, stored: bytes) -> bytes:
    """What objects of a memory type mean that are stored as another; all encoded."""
    made: bytes = _meant(h5t.decode(memory_type), decode_type(stored)).encode()
    return made


def _plain(array: npt.NDArray[Any], memory_type: h5t.TypeID) -> Memory | None:
    transient = memory_type.copy() if memory_type.committed() else memory_type
    if not is_plain(transient.encode()):
        return None
    raw = array.reshape(-1).view(np.uint8) if array.size else np.empty(0, np.uint8)
    size = transient.get_size()
    return Memory(raw[: len(raw) - len(raw) % size].view(np.dtype((np.void, size))), transient, packed=False)


def _strings(array: npt.NDArray[Any], stored: h5t.TypeID) -> tuple[npt.NDArray[Any], h5t.TypeID | None]:
    """Variable-width NumPy strings as objects, or as bytes of the stored length."""
    # What is missing is written as the empty string.
    texts = [value if isinstance(value, str) else "" for value in array.reshape(-1)]
    if stored.get_class() == h5t.STRING and not stored.is_variable_str():
        encoded = [value.encode("utf-8") for value in texts]
        return np.array(encoded, dtype=f"S{stored.get_size()}").reshape(array.shape), stored.copy()
    return np.array(texts, dtype=object).reshape(array.shape), h5t.PYTHON_OBJECT


def _meant(memory_type: h5t.TypeID, stored: h5t.TypeID) -> h5t.TypeID:
    """`memory_type` with h5py's Python objects replaced by what they are stored as."""
    kind = memory_type.get_class()
    if kind == h5t.OPAQUE:
        return stored.copy() if memory_type == h5t.PYTHON_OBJECT else memory_type
    if kind == h5t.ARRAY and stored.get_class() == h5t.ARRAY:
        return h5t.array_create(
            _meant(memory_type.get_super(), stored.get_super()), memory_type.get_array_dims()
        )
    if kind != h5t.COMPOUND or stored.get_class() != h5t.COMPOUND:
        return memory_type
    by_name = {stored.get_member_name(i): stored.get_member_type(i) for i in range(stored.get_nmembers())}
    members = []
    for i in range(memory_type.get_nmembers()):
        name, member = memory_type.get_member_name(i), memory_type.get_member_type(i)
        members.append((name, _meant(member, by_name[name]) if name in by_name else member))
    return _compound(members)


def _compound(members: list[tuple[bytes, h5t.TypeID]]) -> h5t.TypeID:
    """A compound of these members in a row; the packed form has no gaps to describe."""
    made = h5t.create(h5t.COMPOUND, sum(member.get_size() for _, member in members))
    offset = 0
    for name, member in members:
        made.insert(name, offset, member)
        offset += member.get_size()
    return made


def _rows(array: npt.NDArray[Any], meant: h5t.TypeID) -> npt.NDArray[Any]:
    """`array` with one element of type `meant` per row."""
    kind = meant.get_class()
    if kind == h5t.ARRAY:
        return array.reshape((-1, *meant.get_array_dims()))
    flat = array.reshape(-1)
    if kind == h5t.COMPOUND and array.dtype.names is None:
        # One field of a compound, written from an array of just its values.
        field = meant.get_member_name(0).decode()
        named = np.empty(len(flat), dtype=[(field, array.dtype)])
        named[field] = flat
        return named
    return flat


def zero_payload(stored: h5t.TypeID, count: int, door: Door) -> tuple[Buffer, bool]:
    """The payload of `count` elements that were never written, and whether it is packed."""
    encoded = stored.encode()
    if is_plain(encoded):
        return bytes(count * stored.get_size()), False
    dtype = stored.dtype
    if dtype.subdtype is not None:
        dtype, inner = dtype.subdtype
        count *= int(np.prod(inner))
    return pack(_unset(count, dtype), encoded, lambda reference: describe(reference, door)), True


def _unset(count: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """`count` elements of `dtype`: zeros, and None for what is an object."""
    values = np.zeros(count, dtype=dtype)
    if dtype.names is None:
        return np.full(count, None, dtype=dtype) if dtype.hasobject else values
    for name in dtype.names:
        field = dtype[name]
        if field.hasobject:
            base, inner = field.subdtype or (field, ())
            values[name] = _unset(count * int(np.prod(inner)), base).reshape((count, *inner))
    return values
