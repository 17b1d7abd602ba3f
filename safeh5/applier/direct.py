"""Operations applied to objects that the caller has open already, with his own types and values.

What is in the journal says everything, and the applier can do with that alone; it
does in recovery. Here is the same for those who change a file through h5py's
objects: they hold the object, the type, the dataspace and the array that the
operation was made from, so nothing is looked up, decoded or unpacked.

h5py's functions are taken when this is imported: the layer above replaces them,
for the very objects that are at hand here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

from h5py import h5a, h5d, h5g, h5p, h5s

from safeh5.applier import scattered
from safeh5.applier.context import Context
from safeh5.applier.filters import load_filters
from safeh5.operations import model
from safeh5.operations.properties import make_dcpl, make_gcpl

_exists, _delete, _create_attribute = h5a.exists, h5a.delete, h5a.create
_create_group, _create_dataset = h5g.create, h5d.create
_write, _set_extent, _write_chunk = (
    h5d.DatasetID.write, h5d.DatasetID.set_extent, h5d.DatasetID.write_direct_chunk,
)  # fmt: skip
_write_attribute = h5a.AttrID.write
_unlink, _ALL = h5g.GroupID.unlink, h5s.ALL


class AtHand(Protocol):
    """What the caller has open of an operation."""

    def apply(self, context: Context, operation: Any) -> None:
        """Apply the operation to it; the same comes out as from the operation alone."""


class Attribute:
    """An attribute that is to be made, in the place of one of that name.

    Parameters
    ----------
    owner : h5py identifier
        The object that gets it.
    name : bytes
        Its name.
    stored, space : TypeID, SpaceID
        Its type and extent.
    values, memory : ndarray and TypeID, or None
        As `h5py.h5a.AttrID.write` takes them; None for an attribute without extent.
    """

    __slots__ = ("memory", "name", "owner", "space", "stored", "values")

    def __init__(self, owner: Any, name: bytes, stored: Any, space: Any, values: Any, memory: Any) -> None:
        self.owner, self.name, self.stored, self.space = owner, name, stored, space
        self.values, self.memory = values, memory

    def apply(self, context: Context, operation: model.SetAttribute) -> None:
        """Replace the attribute."""
        owner, name = self.owner, self.name
        if _exists(owner, name):
            _delete(owner, name)
        made = _create_attribute(owner, name, self.stored, self.space)
        try:
            if self.values is not None:
                made.write(self.values, self.memory)
        except BaseException:
            _delete(owner, name)
            raise


class AttributeValues:
    """Values for an attribute that is open.

    Parameters
    ----------
    attribute : AttrID
        The attribute.
    values, memory
        As `h5py.h5a.AttrID.write` takes them.
    """

    __slots__ = ("attribute", "memory", "values")

    def __init__(self, attribute: Any, values: Any, memory: Any) -> None:
        self.attribute, self.values, self.memory = attribute, values, memory

    def apply(self, context: Context, operation: model.WriteAttribute) -> None:
        """Write them."""
        _write_attribute(self.attribute, self.values, self.memory)


class Values:
    """Values for a dataset that is open.

    Parameters
    ----------
    dataset : DatasetID
        The dataset.
    mspace, fspace, values, memory
        As `h5py.h5d.DatasetID.write` takes them.
    """

    __slots__ = ("dataset", "fspace", "memory", "mspace", "values")

    def __init__(self, dataset: Any, mspace: Any, fspace: Any, values: Any, memory: Any) -> None:
        self.dataset, self.mspace, self.fspace = dataset, mspace, fspace
        self.values, self.memory = values, memory

    def apply(self, context: Context, operation: model.WriteData) -> None:
        """Write them."""
        given = self.dataset, self.mspace, self.fspace, self.values, self.memory
        if not scattered.write(*given):
            _write(*given)


class Extent:
    """A dataset that is open and gets a new extent."""

    __slots__ = ("dataset",)

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def apply(self, context: Context, operation: model.Resize) -> None:
        """Set it."""
        _set_extent(self.dataset, operation.shape)


class Chunk:
    """A whole chunk, as it is stored, for a dataset that is open."""

    __slots__ = ("data", "dataset")

    def __init__(self, dataset: Any, data: Any) -> None:
        self.dataset, self.data = dataset, data

    def apply(self, context: Context, operation: model.WriteChunk) -> None:
        """Store it."""
        _write_chunk(self.dataset, operation.offset, self.data, operation.filter_mask)


class NewObject:
    """A group or dataset that is to be made in a group that is open.

    Parameters
    ----------
    group : GroupID
        The group.
    leaf : bytes
        The new object's name in it.
    stored, space : TypeID, SpaceID
        A dataset's type and extent.
    access : PropDAID or None
        How it is to be opened.

    Attributes
    ----------
    made : GroupID or DatasetID or None
        The object, once it is made.
    """

    __slots__ = ("access", "group", "leaf", "made", "space", "stored")

    def __init__(
        self, group: Any, leaf: bytes, stored: Any = None, space: Any = None, access: Any = None
    ) -> None:
        self.group, self.leaf, self.stored, self.space, self.access = group, leaf, stored, space, access
        self.made: Any = None

    def apply(self, context: Context, operation: model.CreateGroup | model.CreateDataset) -> None:
        """Make it."""
        lcpl = context.lcpl(operation)
        if isinstance(operation, model.CreateGroup):
            self.made = _create_group(self.group, self.leaf, lcpl=lcpl, gcpl=make_gcpl(operation))
            return
        load_filters(operation.layout.filters)
        dcpl = _dcpl(operation.layout)
        self.made = _create_dataset(
            self.group, self.leaf, self.stored, self.space, dcpl, lcpl=lcpl, dapl=self.access
        )


class NewDataset:
    """A dataset that is to be made in a group that is open, with all of its values or none.

    Parameters
    ----------
    group : GroupID
        The group.
    leaf : bytes
        The dataset's name in it.
    stored, space, dcpl : TypeID, SpaceID, PropDCID
        Its type, extent and creation properties.
    values, memory : ndarray and TypeID, or None
        As `h5py.h5d.DatasetID.write` takes them.

    Attributes
    ----------
    made : DatasetID or None
        The dataset, once it is made.
    """

    __slots__ = ("dcpl", "group", "leaf", "made", "memory", "space", "stored", "values")

    def __init__(
        self,
        group: Any,
        leaf: bytes,
        stored: Any,
        space: Any,
        dcpl: Any,
        values: Any = None,
        memory: Any = None,
    ) -> None:
        self.group, self.leaf, self.stored, self.space, self.dcpl = group, leaf, stored, space, dcpl
        self.values, self.memory = values, memory
        self.made: Any = None

    def apply(self, context: Context, operation: model.CreateDataset | model.Many) -> None:
        """Make it; if HDF5 does not take the values there is no dataset either."""
        create: Any = operation.operations[0] if isinstance(operation, model.Many) else operation
        lcpl = context.lcpl(create)
        made = _create_dataset(self.group, self.leaf, self.stored, self.space, self.dcpl, lcpl=lcpl)
        try:
            if self.values is not None:
                _write(made, _ALL, _ALL, self.values, self.memory)
        except BaseException:
            _unlink(self.group, self.leaf)
            raise
        self.made = made


@lru_cache(maxsize=256)
def _dcpl(layout: model.Layout) -> h5p.PropDCID:
    """Creation properties of datasets; shared, since HDF5 only reads them."""
    return make_dcpl(layout)
