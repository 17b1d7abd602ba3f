"""The identifiers of journaled files: h5py's own classes, with the mutating methods recorded.

h5py's high-level objects (`h5py.Dataset`, `h5py.Group`, `h5py.File`) hold an
identifier and do all work through it. So the objects stay exactly h5py's and
only their identifiers are of a subclass; whatever a program builds from them
(``Group(x.id)``, ``x.parent``, ``x.dims``) is journaled too.

An object without a path (anonymous, or unlinked while open) is not a part of
the file: it is changed without a record, and recorded whole when it is linked.
"""

from __future__ import annotations

import os
from typing import Any, cast

from h5py import h5a, h5d, h5f, h5g, h5l, h5p, h5s, h5t

from safeh5.applier import scattered
from safeh5.h5 import extents, links, native, virtual, writing
from safeh5.h5.door import Door, Handle
from safeh5.h5.native import phil
from safeh5.h5.paths import object_path, path_of, text
from safeh5.h5.recorder import Recorder
from safeh5.operations import model


class Journaled:
    """What the identifiers of journaled files have in common.

    Attributes
    ----------
    door : Door
        The file's way to its journal.
    number : int
        HDF5's number of the file identifier that it was opened through; 0 if that is not known.
    known : tuple of int and str, if set
        An epoch, and the object's path in it: see `safeh5.h5.paths.path_of`.
    """

    __slots__ = ()
    door: Door
    number: int
    known: tuple[int, str]

    @property
    def recorder(self) -> Recorder:
        """What takes the changes of this file."""
        return self.door.recorder

    def __copy__(self) -> Any:
        made: Any = cast(Any, type(self))(native.handle(self))
        native.inc_ref(made)
        made.door, made.number = self.door, self.number
        return made


class DatasetID(Journaled, h5d.DatasetID):  # type: ignore[misc]
    """Identifier of a dataset of a journaled file."""

    __slots__ = (
        "chunks", "contiguous", "door", "elsewhere", "extent", "known", "limits", "number", "numeric",
        "reader", "stored",
    )  # fmt: skip

    @property
    def id(self) -> int:
        """HDF5's own number; compiled code that takes it may write past the journal: see `exposed`."""
        with phil:
            if self.valid:
                self.door.exposed.note(self)
            return int(native.handle(self))

    def get_space(self) -> h5s.SpaceID:
        """As `h5py.h5d.DatasetID.get_space`; an unlimited virtual dataset is as large as its sources."""
        return virtual.space(self)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """As `h5py.h5d.DatasetID.shape`."""
        return extents.shape(self)

    def read(
        self, mspace: h5s.SpaceID, fspace: h5s.SpaceID, arr_obj: Any, mtype: Any = None, dxpl: Any = None
    ) -> None:
        """As `h5py.h5d.DatasetID.read`; also where other files are the sources of a virtual dataset."""
        with phil:
            if not virtual.is_to_be_stood_in(self):
                try:
                    if not scattered.read(self, mspace, fspace, arr_obj, mtype):
                        super().read(mspace, fspace, arr_obj, mtype, dxpl)
                except OSError:
                    if not virtual.is_to_be_stood_in(self):
                        raise
                else:
                    if not virtual.is_to_be_stood_in(self):
                        return
            virtual.stand_in(self).read(mspace, fspace, arr_obj, mtype, dxpl)

    def write(
        self, mspace: h5s.SpaceID, fspace: h5s.SpaceID, arr_obj: Any, mtype: Any = None, dxpl: Any = None
    ) -> None:
        """As `h5py.h5d.DatasetID.write`, journaled."""
        with phil:
            path = path_of(self, self.door)
            if path is None:
                self.door.note_unrecorded()
                super().write(mspace, fspace, arr_obj, mtype, dxpl=dxpl)
            else:
                writing.write(self, path, mspace, fspace, arr_obj, mtype)

    def set_extent(self, shape: tuple[int, ...]) -> None:
        """As `h5py.h5d.DatasetID.set_extent`, journaled."""
        with phil:
            writing.resize(self, tuple(shape), super().set_extent)

    def extend(self, shape: tuple[int, ...]) -> None:
        """As `h5py.h5d.DatasetID.extend`, journaled."""
        with phil:
            now = self.shape or ()
            if len(shape) != len(now):
                super().extend(shape)
            wanted = tuple(max(int(a), b) for a, b in zip(shape, now, strict=True))
            if wanted != now:
                writing.resize(self, wanted, super().set_extent)

    def write_direct_chunk(self, offsets: Any, data: Any, filter_mask: int = 0, dxpl: Any = None) -> None:
        """As `h5py.h5d.DatasetID.write_direct_chunk`, journaled."""
        with phil:
            writing.write_chunk(self, tuple(offsets), data, filter_mask, super().write_direct_chunk)

    def flush(self) -> None:
        """Make everything recorded so far durable, this dataset's changes among it."""
        with phil:
            self.door.flush()

    def get_create_plist(self) -> h5p.PropDCID:
        """As `h5py.h5d.DatasetID.get_create_plist`.

        Whether times are tracked is known to HDF5 only through the identifier
        that the dataset was made with, which was the applier's; here it is told
        by whether there is a time.
        """
        with phil:
            plist = super().get_create_plist()
            plist.set_obj_track_times(native.get_objinfo(self).mtime != 0)
            return plist

    def get_type(self) -> h5t.TypeID:
        """As `h5py.h5d.DatasetID.get_type`; a committed type is journaled as well."""
        found = h5d.DatasetID.get_type(self)
        return adopt(found, self.door, self.number) if found.committed() else found


class AttrID(Journaled, h5a.AttrID):  # type: ignore[misc]
    """Identifier of an attribute of a journaled file.

    Attributes
    ----------
    owner : h5py identifier, if set
        The object that holds the attribute; when that is not known HDF5 is
        asked for its path.
    """

    __slots__ = ("door", "known", "number", "owner")

    def write(self, arr: Any, mtype: Any = None) -> None:
        """As `h5py.h5a.AttrID.write`, journaled."""
        with phil:
            path = self._owner_path()
            if path is None:
                super().write(arr, mtype)
            else:
                writing.write_attribute(self, path, arr, mtype)

    def _owner_path(self) -> str | None:
        owner = getattr(self, "owner", None)
        if owner is not None:
            return path_of(owner, self.door)
        # Not by the name that HDF5 has for it: that may be out of date.
        return path_of(native.open_object(self, b"."), self.door)


class Links(h5l.LinkProxy):  # type: ignore[misc]
    """The links of a group of a journaled file."""

    __slots__ = ("_group",)

    def __init__(self, group: GroupID) -> None:
        super().__init__(group.id)
        self._group = group

    def create_hard(
        self, new_name: bytes, cur_loc: Any, cur_name: bytes, lcpl: Any = None, lapl: Any = None
    ) -> None:
        """As `h5py.h5l.LinkProxy.create_hard`, journaled."""
        with phil:
            links.create_hard(self._group, new_name, cur_loc, cur_name, lcpl, super().create_hard)

    def create_soft(self, new_name: bytes, target: bytes, lcpl: Any = None, lapl: Any = None) -> None:
        """As `h5py.h5l.LinkProxy.create_soft`, journaled."""
        with phil:
            links.create_soft(self._group, new_name, target, lcpl, super().create_soft)

    def create_external(
        self, link_name: bytes, file_name: bytes, obj_name: bytes, lcpl: Any = None, lapl: Any = None
    ) -> None:
        """As `h5py.h5l.LinkProxy.create_external`, journaled."""
        with phil:
            links.create_external(self._group, link_name, file_name, obj_name, lcpl, super().create_external)

    def move(
        self, src_name: bytes, dst_loc: Any, dst_name: bytes, lcpl: Any = None, lapl: Any = None
    ) -> None:
        """As `h5py.h5l.LinkProxy.move`, journaled."""
        with phil:
            links.move(self._group, src_name, dst_loc, dst_name, lcpl, super().move)


class GroupID(Journaled, h5g.GroupID):  # type: ignore[misc]
    """Identifier of a group of a journaled file."""

    __slots__ = ("door", "known", "number", "proxy")

    @property
    def links(self) -> Links:
        """The links of the group."""
        return Links(self)

    def link(
        self, current_name: bytes, new_name: bytes, link_type: int = h5g.LINK_HARD, remote: Any = None
    ) -> None:
        """As `h5py.h5g.GroupID.link`, journaled."""
        group = self if remote is None else remote
        if link_type == h5g.LINK_SOFT:
            group.links.create_soft(new_name, current_name)
        else:
            group.links.create_hard(new_name, self, current_name)

    def unlink(self, name: bytes) -> None:
        """As `h5py.h5g.GroupID.unlink`, journaled."""
        with phil:
            links.unlink(self, name, super().unlink)

    def move(self, current_name: bytes, new_name: bytes, remote: Any = None) -> None:
        """As `h5py.h5g.GroupID.move`, journaled."""
        self.links.move(current_name, self if remote is None else remote, new_name)

    def set_comment(self, name: bytes, comment: bytes) -> None:
        """As `h5py.h5g.GroupID.set_comment`, journaled."""
        with phil:
            path = object_path(self, name, self.door)
            if path is None:
                super().set_comment(name, comment)
            else:
                self.door.record(model.SetComment(path=path, comment=text(comment, self.door)))


class FileID(GroupID, h5f.FileID):  # type: ignore[misc]
    """Identifier of a journaled file; its `number` is its own, which h5py forgets when the file is closed."""

    __slots__ = ()

    @property
    def name(self) -> bytes:
        """The path that the file was opened by."""
        return os.fsencode(self.door.handle(self.number).name)

    @property
    def valid(self) -> bool:
        """Whether there is something to close: not before the session has ended in an orderly way.

        A session that met a full disk drops the HDF5 file, and this identifier
        with it. ``File.close()`` must still commit then, or say why it cannot,
        and not take the file for closed.
        """
        if not self.is_lost:
            return True
        return self.door.is_lost and not (self.recorder.ended or self.door.handle(self.number).closed)

    @property
    def is_lost(self) -> bool:
        """Whether HDF5 has closed the file under this identifier."""
        return not super().valid

    def _close_open_objects(self, types: int) -> None:
        """What `h5py.File.close` calls before `close`: here is where the session commits.

        h5py calls it twice, for the objects and then for the file. All is done in
        the second.
        """
        if types & h5f.OBJ_FILE:
            self.door.release(self, objects=True)

    def close(self) -> None:
        """As `h5py.h5f.FileID.close`; commits if nothing of the file is open any more."""
        with phil:
            if self.valid:
                self.door.release(self, objects=False)

    def get_access_plist(self) -> h5p.PropFAID:
        """As `h5py.h5f.FileID.get_access_plist`, with the driver that was asked for.

        What is opened with it is opened by HDF5 itself, and not through the file
        object of the staging file.
        """
        plist = super().get_access_plist()
        getattr(plist, _DRIVERS.get(self.door.handle(self.number).driver, "set_fapl_sec2"))()
        return plist

    def reopen(self) -> Any:
        """Another identifier of the same file."""
        with phil:
            made, handle = adopt(super().reopen(), self.door), self.door.handle(self.number)
            self.door.handles[made.id] = Handle(handle.name, handle.driver)
            return made

    def start_swmr_write(self) -> None:
        """Refused: readers see the file at commit, whole."""
        self.door.refuse("single-writer/multiple-reader mode", hint="Readers see the file after close()")


_DRIVERS: dict[str | None, str] = {"core": "set_fapl_core", "stdio": "set_fapl_stdio"}

_CLASSES: dict[type, type[Any]] = {
    h5d.DatasetID: DatasetID,
    h5a.AttrID: AttrID,
    h5g.GroupID: GroupID,
    h5f.FileID: FileID,
}


def _class_for(kind: type) -> type[Any]:
    """The journaled class for an h5py identifier class; those of datatypes are made when first met."""
    found = _CLASSES.get(kind)
    if found is not None:
        return found
    if issubclass(kind, Journaled):
        return kind
    if not issubclass(kind, h5t.TypeID):
        raise TypeError(f"{kind} is not an identifier of something in a file")
    members = {
        "__slots__": ("door", "known", "number"),
        "__doc__": "Identifier of a committed datatype of a journaled file.",
    }
    made = _CLASSES[kind] = type(kind.__name__, (Journaled, kind), members)
    return made


def adopt(oid: Any, door: Door, number: int = 0) -> Any:
    """A journaled identifier in the place of `oid`, which nobody else has.

    HDF5 counts one user of the handle, as before. Every object that is opened comes by here, which
    is why all is done in few steps.
    """
    kind = _CLASSES.get(type(oid)) or _class_for(type(oid))
    made = kind(native.handle(oid))
    oid.locked = 1  # so that h5py does not close the handle with it
    made.door = door
    made.number = made.id if kind is FileID else number
    return made


def adopt_attribute(attribute: Any, owner: Any) -> Any:
    """A journaled identifier of an attribute of `owner`."""
    made = adopt(attribute, owner.door)
    made.owner = owner
    return made


def adopt_here(oid: Any, loc: Any) -> Any:
    """`oid`, opened through `loc`, as a journaled identifier if it is in the same file; else as it is."""
    door = loc.door
    # As `Door.holds`, for every object that is opened.
    return adopt(oid, door, loc.number) if oid.fileno == door.fileno else oid
