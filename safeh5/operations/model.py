"""The operation set: every change that can be made to an HDF5 file, as data.

An operation says everything that the applier needs, in HDF5's own words:
datatypes and dataspaces are the library's encodings (`h5t`/`h5s` ``encode()``),
paths are absolute, names are final. Values do not stand in the operation but
in its payload, raw bytes beside it, so that an array goes to disk from its
own memory. Applying the same operations in the same order to the same file
gives the same file: that is what makes the journal the truth.

Invariants
----------
1. Every path is absolute, normalised, and meant at the moment of the operation.
2. Nothing depends on the clock, the machine or what else is in the process.
3. `type` with ``packed=False`` describes the payload's bytes exactly; with
   ``packed=True`` the payload is the packed form of `operations.values`.
"""

from __future__ import annotations

from typing import Union

import msgspec


def _snake(name: str) -> str:
    """``CreateGroup`` -> ``create_group``: the name in the journal."""
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


class Operation(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="op",
    tag=_snake,
    omit_defaults=True,
    forbid_unknown_fields=True,
):
    """Base of all operations; `path` is the object that is changed or made."""

    path: str


# --- the parts of operations ----------------------------------------------------


class Box(msgspec.Struct, frozen=True, tag_field="sel", tag="box", forbid_unknown_fields=True):
    """A contiguous hyperslab: elements ``start[i] : start[i] + count[i]`` of each axis."""

    start: tuple[int, ...]
    count: tuple[int, ...]


class Space(msgspec.Struct, frozen=True, tag_field="sel", tag="space", forbid_unknown_fields=True):
    """Any other selection, as HDF5 encodes a dataspace with its selection."""

    encoded: bytes


Selection = Union[Box, Space]


class Filter(msgspec.Struct, frozen=True, array_like=True):
    """One step of a filter pipeline: HDF5 filter id, flags and client data."""

    id: int
    flags: int = 0
    values: tuple[int, ...] = ()


class FillValue(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A fill value: its type as encoded, its bytes (or its packed form)."""

    type: bytes
    value: bytes
    packed: bool = False


class ExternalSegment(msgspec.Struct, frozen=True, array_like=True):
    """A piece of raw data kept in another file."""

    name: str
    offset: int
    size: int


class VirtualSource(msgspec.Struct, frozen=True, array_like=True):
    """One mapping of a virtual dataset; the selections are encoded dataspaces."""

    target: bytes
    file: str
    dataset: str
    source: bytes


class Layout(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a dataset is stored: its creation properties, except type and space.

    HDF5 has no encoding for property lists that h5py shows, so they are
    written out by name. Defaults are HDF5's own.
    """

    chunks: tuple[int, ...] | None = None
    compact: bool = False
    filters: tuple[Filter, ...] = ()
    fill: FillValue | None = None
    fill_time: int | None = None
    alloc_time: int | None = None
    track_times: bool = False
    attr_order: int = 0
    attr_phase: tuple[int, int] | None = None
    external: tuple[ExternalSegment, ...] = ()
    virtual: tuple[VirtualSource, ...] = ()
    virtual_empty: bool = False  # virtual, and without a source


# --- objects and links ----------------------------------------------------------


class NewLink(Operation, frozen=True, kw_only=True):
    """Base of the operations that make a link at `path`.

    `charset` is how the name is marked in the file, an ``H5T_CSET_*``; None
    where the path says it: ASCII if all of it is, else UTF-8.
    """

    charset: int | None = None


class CreateGroup(NewLink, frozen=True):
    """Make a group; the orders are ``H5P_CRT_ORDER_*`` flags of links and attributes.

    `attr_phase` is where attributes go over into dense storage and back, None
    for HDF5's default.
    """

    link_order: int = 0
    attr_order: int = 0
    attr_phase: tuple[int, int] | None = None
    track_times: bool = False


class CreateDataset(NewLink, frozen=True):
    """Make a dataset; `committed_type` names the committed datatype it shares."""

    type: bytes
    space: bytes
    layout: Layout = Layout()
    committed_type: str | None = None


class CommitDatatype(NewLink, frozen=True):
    """Make a committed (named) datatype."""

    type: bytes


class CreateSoftLink(NewLink, frozen=True):
    """Make a soft link to `target`, which need not exist."""

    target: str


class CreateHardLink(NewLink, frozen=True):
    """Give the object at `target` a second name."""

    target: str


class CreateExternalLink(NewLink, frozen=True):
    """Make a link to `target` in the HDF5 file `filename`."""

    filename: str
    target: str


class Delete(Operation, frozen=True):
    """Remove the link at `path`; the object goes with its last link."""


class Move(NewLink, frozen=True):
    """Rename the link at `source` to `path`."""

    source: str


class Copy(NewLink, frozen=True):
    """Copy the object at `source` to `path`; `flags` are ``H5O_COPY_*``."""

    source: str
    flags: int = 0


class CopyIn(NewLink, frozen=True):
    """Copy ``copied``, an object of the HDF5 file that is the payload, to `path`.

    What was copied from another file, or by way of one, cannot be looked up
    again; so the file image holds all of it. Whatever else is in its root group
    is pointed to by references, and goes to the root group.
    """


class SetComment(Operation, frozen=True):
    """Set the comment of an object."""

    comment: str


# --- data -----------------------------------------------------------------------


class WriteData(Operation, frozen=True):
    """Write the payload to `selection` of a dataset (all of it when None)."""

    type: bytes
    selection: Selection | None = None
    packed: bool = False


class AppendData(Operation, frozen=True):
    """Grow axis 0 to ``start + count`` and write the payload there.

    `start` is journaled, not looked up, so that applying twice is applying once.
    """

    type: bytes
    start: int
    count: int
    packed: bool = False


class WriteChunk(Operation, frozen=True):
    """Store the payload as the chunk at `offset`, past the filter pipeline."""

    offset: tuple[int, ...]
    filter_mask: int = 0


class Resize(Operation, frozen=True):
    """Set the extent of a chunked dataset."""

    shape: tuple[int, ...]


# --- attributes -----------------------------------------------------------------


class SetAttribute(Operation, frozen=True):
    """Create attribute `name`, replacing one of that name; the payload is its value."""

    name: str
    type: bytes
    space: bytes
    packed: bool = False
    committed_type: str | None = None


class WriteAttribute(Operation, frozen=True):
    """Write a new value, given in memory type `type`, to an existing attribute."""

    name: str
    type: bytes
    packed: bool = False


class DeleteAttribute(Operation, frozen=True):
    """Remove attribute `name`."""

    name: str


class RenameAttribute(Operation, frozen=True):
    """Rename attribute `name` to `new_name`."""

    name: str
    new_name: str


# --- dimension scales -------------------------------------------------------------


class MakeScale(Operation, frozen=True):
    """Turn the dataset at `path` into a dimension scale."""

    name: str = ""


class AttachScale(Operation, frozen=True):
    """Attach the scale at `scale` to axis `axis`."""

    axis: int
    scale: str


class DetachScale(Operation, frozen=True):
    """Detach the scale at `scale` from axis `axis`."""

    axis: int
    scale: str


class LabelAxis(Operation, frozen=True):
    """Set the label of axis `axis`."""

    axis: int
    label: str


SingleOperation = Union[
    CreateGroup,
    CreateDataset,
    CommitDatatype,
    CreateSoftLink,
    CreateHardLink,
    CreateExternalLink,
    Delete,
    Move,
    Copy,
    CopyIn,
    SetComment,
    WriteData,
    AppendData,
    WriteChunk,
    Resize,
    SetAttribute,
    WriteAttribute,
    DeleteAttribute,
    RenameAttribute,
    MakeScale,
    AttachScale,
    DetachScale,
    LabelAxis,
]


# --- many in one record -------------------------------------------------------------


class Many(Operation, frozen=True):
    """Several small operations in one record, one after the other; `path` is what all are about or below.

    The payload is that of each, end to end; `sizes` says how long each is. A
    tree of thousands of small objects is some tens of records this way.
    """

    operations: tuple[SingleOperation, ...]
    sizes: tuple[int, ...]


AnyOperation = Union[SingleOperation, Many]
