"""Objects: h5py's module functions that open, make, copy or annotate them, for journaled files.

Each function has the signature of the h5py function it stands for; `patches`
calls it when an argument is an identifier of a journaled file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from h5py import h5p, h5s, h5t

from safeh5.applier.direct import NewObject
from safeh5.h5 import native, remembered
from safeh5.h5.door import Door, refused
from safeh5.h5.ids import Journaled, adopt, adopt_here
from safeh5.h5.links import charset_of, free_place
from safeh5.h5.lowering import shared_type, try_dataset
from safeh5.h5.paths import Place, object_path, path_of, text
from safeh5.operations import model
from safeh5.operations.properties import read_phase

_PREFIX = ("external storage under a prefix that is not kept in the file", None, "Give whole paths")

# --- opening ----------------------------------------------------------------------


def open_object(loc: Any, name: bytes, lapl: Any = None) -> Any:
    """`h5py.h5o.open`."""
    return adopt_here(native.open_object(loc, name, loc.door.link_access(lapl)), loc)


def open_group(loc: Any, name: bytes) -> Any:
    """`h5py.h5g.open`."""
    return adopt_here(native.open_group(loc, name), loc)


def open_dataset(loc: Any, name: bytes, dapl: Any = None) -> Any:
    """`h5py.h5d.open`."""
    found = adopt_here(native.open_dataset(loc, name, dapl), loc)
    if dapl is not None and dapl.get_efile_prefix() and found.get_create_plist().get_external_count():
        loc.door.refuse(*_PREFIX)
    return found


def open_type(group: Any, name: bytes, tapl: Any = None) -> Any:
    """`h5py.h5t.open`."""
    return adopt_here(native.open_type(group, name, tapl), group)


def dereference(ref: Any, id: Any, oapl: Any = None) -> Any:
    """`h5py.h5r.dereference`."""
    found = native.dereference(ref, id, oapl)
    return None if found is None else adopt_here(found, id)


def iterate_scales(dset: Any, dim: int, func: Callable[[Any], Any], startidx: int = 0) -> Any:
    """`h5py.h5ds.iterate`, whose callback gets journaled identifiers."""
    return native.iterate_scales(dset, dim, lambda scale: func(adopt_here(scale, dset)), startidx)


# --- making -----------------------------------------------------------------------


def create_group(loc: Any, name: bytes | None, lcpl: Any = None, gcpl: Any = None) -> Any:
    """`h5py.h5g.create`."""
    door: Door = loc.door
    if name is None:
        return adopt(native.create_group(loc, None, lcpl=lcpl, gcpl=gcpl), door, loc.number)
    place = _free(loc, name, lcpl)
    if place is None:
        refused(native.create_group, loc, name, lcpl=lcpl, gcpl=gcpl)
    at = _at_hand(place)
    door.record(operation := group_of(place.path, gcpl, charset_of(place.path, lcpl)), at=at)
    remembered.note_group(operation)
    return _adopted(at, place, loc) or adopt(native.open_group(loc, place.path.encode()), door, loc.number)


def group_of(path: str, gcpl: Any, charset: int | None) -> model.CreateGroup:
    """The operation that makes a group with these creation properties."""
    if gcpl is None:
        return model.CreateGroup(path=path, charset=charset)
    return model.CreateGroup(
        path=path,
        charset=charset,
        link_order=gcpl.get_link_creation_order(),
        attr_order=gcpl.get_attr_creation_order(),
        attr_phase=read_phase(gcpl),
        track_times=bool(gcpl.get_obj_track_times()),
    )


_name: tuple[bytes, Any] | None = None
"""What the next nameless dataset is going to be linked as; h5py's lock is held all the while."""


@contextmanager
def naming(name: bytes, lcpl: Any) -> Iterator[None]:
    """Give the dataset that h5py makes without a name inside the block the one it would link it as."""
    global _name
    before, _name = _name, (name, lcpl)
    try:
        yield
    finally:
        _name = before


def create_dataset(
    loc: Any,
    name: bytes | None,
    tid: h5t.TypeID,
    space: h5s.SpaceID,
    dcpl: Any = None,
    lcpl: Any = None,
    dapl: Any = None,
) -> Any:
    """`h5py.h5d.create`."""
    global _name
    door: Door = loc.door
    if name is None and _name is not None:
        (name, lcpl), _name = _name, None
    if name is None:
        return adopt(native.create_dataset(loc, None, tid, space, dcpl, lcpl, dapl), door, loc.number)
    place = _free(loc, name, lcpl)
    if place is None:
        refused(native.create_dataset, loc, name, tid, space, dcpl, lcpl, dapl)
    encoded, committed = shared_type(tid, door)
    dcpl = h5p.create(h5p.DATASET_CREATE) if dcpl is None else dcpl
    layout = try_dataset(encoded, tid, space, dcpl)
    _refuse_prefix(layout, dapl, place.path, door)
    extent = space.encode()
    operation = model.CreateDataset(
        path=place.path,
        charset=charset_of(place.path, lcpl),
        type=encoded,
        space=extent,
        layout=layout,
        committed_type=committed,
    )
    at = _at_hand(place, tid, space, dapl) if committed is None or door.holds(tid) else None
    door.record(operation, at=at)
    made = _adopted(at, place, loc)
    if made is None:
        made = adopt(native.open_dataset(loc, place.path.encode(), dapl), door, loc.number)
    if not layout.virtual:
        made.elsewhere = False
    if dapl is None:
        remembered.note_dataset(layout, space, extent)
    return made


def _at_hand(
    place: Place, tid: h5t.TypeID | None = None, space: h5s.SpaceID | None = None, dapl: Any = None
) -> NewObject | None:
    """The group that gets a new object, if there is one already."""
    return None if place.group is None else NewObject(place.group, place.leaf, tid, space, dapl)


def _adopted(at: NewObject | None, place: Place, loc: Any) -> Any:
    """A journaled identifier of what was made at hand; None if it was made from the journal."""
    if at is None or at.made is None:
        return None
    made = adopt(at.made, loc.door, loc.number)
    made.known = loc.door.recorder.epoch, place.path
    return made


def _refuse_prefix(layout: model.Layout, dapl: Any, path: str, door: Door) -> None:
    """Refuse raw data in files whose place only the identifier at hand knows."""
    if layout.external and dapl is not None and dapl.get_efile_prefix():
        what, _, hint = _PREFIX
        door.refuse(what, path, hint)


def commit_type(loc: Any, name: bytes, tid: h5t.TypeID, lcpl: Any = None) -> None:
    """What `h5py.h5t.TypeID.commit` does, for ``group[name] = dtype``."""
    place = _free(loc, name, lcpl)
    if place is None:
        refused(tid.copy().commit, loc, name, lcpl=lcpl)
    charset = charset_of(place.path, lcpl)
    loc.door.record(model.CommitDatatype(path=place.path, charset=charset, type=tid.encode()))


def _free(loc: Any, name: bytes, lcpl: Any) -> Place | None:
    """Where a new object goes; None if HDF5 would refuse it."""
    return free_place(loc, name, lcpl, loc.door, "an object", "Link the group first")


# --- copying and annotating ---------------------------------------------------------


def set_comment(loc: Any, comment: bytes, *, obj_name: bytes = b".", lapl: Any = None) -> None:
    """`h5py.h5o.set_comment`."""
    path = object_path(loc, obj_name, loc.door)
    if path is None:
        native.set_comment(loc, comment, obj_name=obj_name)
    else:
        loc.door.record(model.SetComment(path=path, comment=text(comment, loc.door)))


# --- dimension scales ---------------------------------------------------------------


def set_scale(dset: Any, dimname: bytes = b"") -> None:
    """`h5py.h5ds.set_scale`."""
    path = path_of(dset, dset.door)
    if path is None:
        native.set_scale(dset, dimname)
    else:
        dset.door.record(model.MakeScale(path=path, name=text(dimname, dset.door)))


def attach_scale(dset: Any, dscale: Any, idx: int) -> None:
    """`h5py.h5ds.attach_scale`."""
    path, scale = _scale_paths(dset, dscale)
    dset.door.record(model.AttachScale(path=path, axis=int(idx), scale=scale))


def detach_scale(dset: Any, dscale: Any, idx: int) -> None:
    """`h5py.h5ds.detach_scale`."""
    path, scale = _scale_paths(dset, dscale)
    dset.door.record(model.DetachScale(path=path, axis=int(idx), scale=scale))


def _scale_paths(dset: Any, dscale: Any) -> tuple[str, str]:
    door: Door = (dset if isinstance(dset, Journaled) else dscale).door
    if not (door.holds(dset) and door.holds(dscale)):
        door.refuse("a dimension scale of another file")
    path, scale = path_of(dset, door), path_of(dscale, door)
    if path is None or scale is None:
        door.refuse("a dimension scale that is not in the file", hint="Link the dataset first")
    return path, scale


def set_label(dset: Any, idx: int, label: bytes) -> None:
    """`h5py.h5ds.set_label`."""
    path = path_of(dset, dset.door)
    if path is None:
        native.set_label(dset, idx, label)
    elif not 0 <= int(idx) < dset.rank:
        refused(native.set_label, dset, idx, label)
    else:
        dset.door.record(model.LabelAxis(path=path, axis=int(idx), label=text(label, dset.door)))
