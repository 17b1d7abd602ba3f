"""Attributes: h5a's functions for journaled files, and how ``attrs[name] = value`` is one record.

HDF5 replaces an attribute in three steps: delete, create, write. h5py's
`AttributeManager.create` does them one by one (up to 3.11 under a temporary
name, renamed at the end). Inside it the steps are collected here and recorded
as one operation when it is done, so that no crash falls between them; an
exception leaves the old attribute as it was. Outside it each step is a record
of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5, h5a, h5p, h5s, h5t

from safeh5.applier.direct import Attribute
from safeh5.h5 import native, plain
from safeh5.h5.door import Door, refused
from safeh5.h5.ids import Journaled, adopt_attribute, adopt_here
from safeh5.h5.lowering import shared_type
from safeh5.h5.memory import Memory, read_memory, zero_payload
from safeh5.h5.paths import path_of, text
from safeh5.operations import model
from safeh5.operations.values import packed_string

# HDF5 keeps attributes of up to 64 KiB in the object header, and larger ones
# only where the file format allows: whether it does is tried out beforehand.
_SURE_SIZE = 32 * 1024
_TRIAL = b"safeh5-trial-of-an-attribute"


class PendingAttribute:
    """An attribute that h5py is in the middle of creating; stands in for its `AttrID`.

    Parameters
    ----------
    name : bytes
        Its name.
    stored, space : TypeID, SpaceID
        Its type and extent.
    """

    def __init__(self, name: bytes, stored: h5t.TypeID, space: h5s.SpaceID) -> None:
        self.name = name
        self.stored = stored
        self.space = space
        self.value: tuple[npt.NDArray[Any], h5t.TypeID | None] | None = None

    def write(self, arr: npt.NDArray[Any], mtype: h5t.TypeID | None = None) -> None:
        """As `h5py.h5a.AttrID.write`: keeps the array until the record is made."""
        self.value = arr, mtype

    def close(self) -> None:
        """As `h5py.h5a.AttrID.close`."""


class Folding:
    """What one ``AttributeManager.create`` has done so far."""

    def __init__(self) -> None:
        self.pending: PendingAttribute | None = None


_folding: Folding | None = None
"""The creation that is going on; h5py's lock is held all the while."""


def create_folded(manager: Any, name: Any, data: Any, shape: Any = None, dtype: Any = None) -> None:
    """`AttributeManager.create` for an object of a journaled file."""
    global _folding
    with native.phil:
        owner = manager._id
        door: Door = owner.door
        path = path_of(owner, door)
        if path is None:
            native.attribute_create(manager, name, data, shape=shape, dtype=dtype)
            return
        if shape is None and _set_plain_value(owner, path, name, data, dtype, door):
            return
        outer, _folding = _folding, (folding := Folding())
        try:
            native.attribute_create(manager, name, data, shape=shape, dtype=dtype)
        finally:
            _folding = outer
        if folding.pending is not None:
            set_attribute(owner, path, folding.pending, door)


def _set_plain_value(owner: Any, path: str, name: Any, data: Any, dtype: Any, door: Door) -> bool:
    """Record an attribute of which nothing needs to be asked; whether it is such a one."""
    kind = type(name)
    if kind is not str and kind is not bytes:
        return False
    if dtype is not None and (dtype := plain.plain_dtype(dtype)) is None:
        return False
    value = plain.plain(data, _SURE_SIZE, dtype)
    if value is None:
        return False
    raw, name = (name.encode(), name) if kind is str else (name, text(name, door))
    if b"\0" in raw:
        return False
    array, kept, payload, packed = value
    space, encoded = plain.space(array.shape)
    operation = model.SetAttribute(path=path, name=name, type=kept.encoded, space=encoded, packed=packed)
    door.record(operation, payload, Attribute(owner, raw, kept.stored, space, array, kept.memory))
    return True


def set_attribute(owner: Any, path: str, made: PendingAttribute, door: Door) -> None:
    """Record an attribute with its value, in the place of one of that name.

    Parameters
    ----------
    owner : h5py identifier
        The object that gets it.
    path : str
        Its path.
    made : PendingAttribute
        The attribute.
    door : Door
        The file.
    """
    name = text(made.name, door)
    encoded, committed = shared_type(made.stored, door)
    if committed is None and (
        _set_plain(owner, path, name, made, encoded, door)
        or _set_string(owner, path, name, made, encoded, door)
    ):
        return
    _try_large(owner, made.stored, made.space)
    written = _written(made, encoded)
    if written is None:
        _set_unwritten(door, path, name, encoded, made.space, committed)
    elif written.packed or same_bytes(written.type, h5t.decode(encoded)):
        _, payload = replace(written, type=h5t.decode(encoded)).payload(written.elements, door)
        operation = model.SetAttribute(
            path=path,
            name=name,
            type=encoded,
            space=made.space.encode(),
            packed=written.packed,
            committed_type=committed,
        )
        array, memory_type = made.value or (None, None)
        at = _at_hand(owner, made, array, memory_type) if written.exact else None
        door.record(operation, payload, at)
    else:
        # HDF5 is to convert the values; that it does when an attribute that is
        # there is written.
        _set_unwritten(door, path, name, encoded, made.space, committed)
        given, payload = written.payload(written.elements, door)
        door.record(model.WriteAttribute(path=path, name=name, type=given), payload)


def _set_plain(owner: Any, path: str, name: str, made: PendingAttribute, encoded: bytes, door: Door) -> bool:
    """Record an attribute whose bytes in memory are those in the file; whether it is such a one."""
    if made.value is None:
        return False
    array, memory_type = made.value
    if memory_type is None or array.dtype.hasobject or array.dtype.kind == "T" or memory_type != made.stored:
        return False
    size = made.stored.get_size() * made.space.get_simple_extent_npoints()
    if size != array.nbytes or size > _SURE_SIZE or not array.flags.c_contiguous:
        return False
    operation = model.SetAttribute(path=path, name=name, type=encoded, space=made.space.encode())
    door.record(operation, array.tobytes(), _at_hand(owner, made, array, memory_type))
    return True


def _set_string(owner: Any, path: str, name: str, made: PendingAttribute, encoded: bytes, door: Door) -> bool:
    """Record an attribute that is one string of any length; whether it is such a one."""
    array, memory_type = made.value or (None, None)
    if array is None or memory_type is None or array.shape != () or array.dtype.kind != "O":
        return False
    value: Any = array[()]
    stored = made.stored
    if not isinstance(value, str) or "\0" in value or len(value) > _SURE_SIZE:
        return False
    if not isinstance(stored, h5t.TypeStringID):
        return False
    if not stored.is_variable_str() or stored.get_cset() != h5t.CSET_UTF8:
        return False
    operation = model.SetAttribute(path=path, name=name, type=encoded, space=made.space.encode(), packed=True)
    door.record(operation, packed_string(value), _at_hand(owner, made, array, memory_type))
    return True


def _at_hand(owner: Any, made: PendingAttribute, array: Any, memory_type: Any) -> Attribute | None:
    """What h5py would make the attribute from; None where it would ask HDF5 for more."""
    if array is not None and (memory_type is None or array.dtype.kind == "T"):
        return None
    return Attribute(owner, made.name, made.stored, made.space, array, memory_type)


def _written(made: PendingAttribute, encoded: bytes) -> Memory | None:
    """What was written to a new attribute, None if nothing was."""
    if made.value is None or made.space.get_simple_extent_type() == h5s.NULL:
        return None
    array, memory_type = made.value
    memory = read_memory(array, memory_type, h5t.decode(encoded))
    if memory is None:
        raise TypeError(f"No conversion path from {array.dtype} to the type of the attribute")
    if len(memory.elements) != made.space.get_simple_extent_npoints():
        raise TypeError(f"the attribute has {made.space.get_simple_extent_npoints()} elements")
    return memory


def same_bytes(memory_type: h5t.TypeID, stored: h5t.TypeID) -> bool:
    """Whether values of one type are, byte for byte, values of the other."""
    if memory_type == stored:
        return True
    try:
        # An enum or a boolean is stored as a type that its dtype means, and
        # given as the bare integers: the same bytes.
        dtype = stored.dtype
        return bool(h5t.py_create(dtype, logical=True) == stored and h5t.py_create(dtype) == memory_type)
    except TypeError:
        return False


def _set_unwritten(
    door: Door, path: str, name: str, encoded: bytes, space: h5s.SpaceID, committed: str | None
) -> None:
    """Record an attribute whose value is still to come."""
    null = space.get_simple_extent_type() == h5s.NULL
    count = 0 if null else space.get_simple_extent_npoints()
    payload, packed = (b"", False) if null else zero_payload(h5t.decode(encoded), count, door)
    operation = model.SetAttribute(
        path=path, name=name, type=encoded, space=space.encode(), packed=packed, committed_type=committed
    )
    door.record(operation, payload)


def _try_large(owner: Any, stored: h5t.TypeID, space: h5s.SpaceID) -> None:
    if space.get_simple_extent_type() == h5s.NULL:
        return
    if stored.get_size() * space.get_simple_extent_npoints() > _SURE_SIZE:
        native.create_attribute(owner, _TRIAL, stored, space).close()
        native.delete_attribute(owner, _TRIAL)


def memory_type_of(dtype: np.dtype[Any]) -> h5t.TypeID:
    """What HDF5 is told to read values of `dtype` as."""
    return h5t.py_create(dtype)


def names_of(owner: Any) -> list[bytes]:
    """The names of an object's attributes, in the order in which they were made if that is kept."""
    plist = owner.get_create_plist()
    kept = plist.get_attr_creation_order() & h5p.CRT_ORDER_TRACKED
    names: list[bytes] = []
    h5a.iterate(owner, names.append, index_type=h5.INDEX_CRT_ORDER if kept else h5.INDEX_NAME)
    return names


# --- h5a -----------------------------------------------------------------------


def create(loc: Any, name: bytes, tid: Any, space: Any, *, obj_name: bytes = b".", lapl: Any = None) -> Any:
    """`h5py.h5a.create`: a record of its own, zeros until it is written."""
    owner = _owner(loc, obj_name, lapl)
    if not isinstance(owner, Journaled):
        return native.create_attribute(owner, name, tid, space)
    if _folding is not None:
        _folding.pending = PendingAttribute(name, tid, space)
        return _folding.pending
    path = path_of(owner, owner.door)
    if path is None or native.attribute_exists(owner, name):
        return adopt_attribute(native.create_attribute(owner, name, tid, space), owner)
    _try_large(owner, tid, space)
    encoded, committed = shared_type(tid, owner.door)
    _set_unwritten(owner.door, path, text(name, owner.door), encoded, space, committed)
    return adopt_attribute(native.open_attribute(owner, name), owner)


def open(
    loc: Any, name: Any = None, index: int = -1, *, obj_name: bytes = b".", lapl: Any = None, **how: Any
) -> Any:
    """`h5py.h5a.open`, which gives identifiers whose writes are journaled."""
    if index < 0 and obj_name == b".":  # as ``attrs[name]`` does
        return adopt_attribute(native.open_attribute(loc, name), loc)
    owner = loc if obj_name == b"." else _owner(loc, obj_name, lapl)
    found = (
        native.open_attribute(owner, name) if index < 0 else native.open_attribute(owner, index=index, **how)
    )
    return adopt_attribute(found, owner) if isinstance(owner, Journaled) else found


def delete(
    loc: Any, name: Any = None, index: int = -1, *, obj_name: bytes = b".", lapl: Any = None, **how: Any
) -> None:
    """`h5py.h5a.delete`."""
    if _folding is not None:
        if _folding.pending is not None and _folding.pending.name == name:
            _folding.pending = None
        return
    owner = _owner(loc, obj_name, lapl)
    if index >= 0 and name is None:
        name = native.open_attribute(owner, index=index, **how).name
    path = path_of(owner, owner.door) if isinstance(owner, Journaled) else None
    if path is None:
        native.delete_attribute(owner, name)
        return
    if not name or name.startswith(b"\0") or not native.attribute_exists(owner, name):
        refused(native.delete_attribute, owner, name)
    owner.door.record(model.DeleteAttribute(path=path, name=text(name, owner.door)))


def rename(loc: Any, name: bytes, new_name: bytes, *, obj_name: bytes = b".", lapl: Any = None) -> None:
    """`h5py.h5a.rename`."""
    if _folding is not None and _folding.pending is not None and _folding.pending.name == name:
        _folding.pending.name = new_name
        return
    owner = _owner(loc, obj_name, lapl)
    path = path_of(owner, owner.door) if isinstance(owner, Journaled) else None
    if path is None:
        native.rename_attribute(owner, name, new_name)
        return
    if not native.attribute_exists(owner, name) or native.attribute_exists(owner, new_name):
        refused(native.rename_attribute, owner, name, new_name)
    names = {"name": text(name, owner.door), "new_name": text(new_name, owner.door)}
    owner.door.record(model.RenameAttribute(path=path, **names))


def _owner(loc: Any, obj_name: bytes, lapl: Any) -> Any:
    """The object that holds the attribute; a plain identifier if it is in another file."""
    if obj_name == b".":
        return loc
    door: Door = loc.door
    found = native.open_object(loc, obj_name, door.link_access(lapl))
    return adopt_here(found, loc)
