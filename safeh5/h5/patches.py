"""Everything of h5py that is replaced, in one place.

Each function below is replaced in its h5py module by a dispatcher: when an
argument is an identifier of a journaled file the function of the layer runs,
else h5py's own. Nothing is replaced before the first journaled file is opened.

====================  ===========================================  =================================
in h5py               replaced                                     because
====================  ===========================================  =================================
``h5o``               open                                         makes identifiers
``h5g``               open                                         makes identifiers
``h5d``               open                                         makes identifiers
``h5t``               open                                         makes identifiers
``h5a``               open                                         makes identifiers
``h5r``               dereference                                  makes identifiers
``h5i``               get_file_id, wrap_identifier                 makes identifiers
``h5f``               get_obj_ids                                  makes identifiers
``h5ds``              iterate                                      makes identifiers
``h5g``, ``h5d``      create                                       changes the file
``h5a``               create, delete, rename                       changes the file
``h5o``               link, copy, set_comment                      changes the file
``h5ds``              set_scale, attach_scale, detach_scale,       changes the file
                      set_label
``h5f``               open, create                                 joins or refused beside a session
``h5f``               flush                                        is a promise of durability
``h5f``               get_name                                     names the target, not the staging
``h5f``               mount, unmount                               refused
``Group``             ``__setitem__``                              see `highlevel`
``Group``             create_dataset, create_group                 see `making`
``AttributeManager``  create                                       see `highlevel`
``File``              ``__exit__``                                 see `highlevel`
``_selector``         Reader                                       reads past identifiers: see `reading`
``File``              ``session`` (added)                          the session of a journaled file
====================  ===========================================  =================================

The methods of identifiers are not replaced but overridden, in `ids`:
``DatasetID.write``, ``set_extent``, ``extend``, ``write_direct_chunk``,
``flush``; ``AttrID.write``; ``GroupID.link``, ``unlink``, ``move``,
``set_comment``, ``links``; ``LinkProxy.create_hard``, ``create_soft``,
``create_external``, ``move``; ``FileID.reopen``, ``start_swmr_write`` and the
hook of ``File.close``.

What becomes of every call of h5py, the few that are refused among them, stands
in docs/reference/h5py-roads.md. The constructor of ``File`` is replaced as well,
but only on demand: see `installing`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

from h5py import AttributeManager, File, Group, h5a, h5d, h5ds, h5f, h5g, h5i, h5o, h5r, h5t

from safeh5.h5 import attributes, copying, files, highlevel, links, making, native, objects, reading, sessions
from safeh5.h5.ids import Journaled
from safeh5.h5.lost import H5PY_ERRORS, explain_any
from safeh5.h5.native import phil

Function = Callable[..., Any]


class Patch(NamedTuple):
    """One replaced function.

    Attributes
    ----------
    owner : module or class
        Where it stands.
    name : str
        Its name there.
    ours : callable
        What runs for journaled files.
    arguments : tuple of str
        The first parameters' names, as far as any may be an identifier.
    always : bool
        Whether ours runs for every call: identifiers are found by their file.
    dispatch : callable, optional
        Makes the dispatcher, where every read of every file comes by: one that takes what the function
        takes costs less than one that takes anything.
    """

    owner: Any
    name: str
    ours: Function
    arguments: tuple[str, ...] = ("loc",)
    always: bool = False
    dispatch: Callable[[Function, Function], Function] | None = None


def _by_location(theirs: Function, ours: Function) -> Function:
    def dispatch(loc: Any, name: Any, lapl: Any = None) -> Any:
        if not isinstance(loc, Journaled):
            return theirs(loc, name, lapl)
        try:
            return ours(loc, name, lapl)
        except H5PY_ERRORS as error:
            explain_any(error, (loc,))
            raise

    return dispatch


def _by_object(theirs: Function, ours: Function) -> Function:
    def dispatch(obj: Any) -> Any:
        return (ours if isinstance(obj, Journaled) else theirs)(obj)

    return dispatch


def _by_owner(theirs: Function, ours: Function) -> Function:
    def dispatch(loc: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(loc, Journaled):
            return theirs(loc, *args, **kwargs)
        try:
            return ours(loc, *args, **kwargs)
        except H5PY_ERRORS as error:
            explain_any(error, (loc,))
            raise

    return dispatch


PATCHES = (
    Patch(h5o, "open", objects.open_object, dispatch=_by_location),
    Patch(h5g, "open", objects.open_group),
    Patch(h5d, "open", objects.open_dataset),
    Patch(h5t, "open", objects.open_type, ("group",)),
    Patch(h5a, "open", attributes.open, dispatch=_by_owner),
    Patch(h5r, "dereference", objects.dereference, ("ref", "id")),
    Patch(h5i, "get_file_id", files.get_file_id, ("obj",), dispatch=_by_object),
    Patch(h5i, "wrap_identifier", files.wrap_identifier, ("ident",), always=True),
    Patch(h5f, "get_obj_ids", files.get_obj_ids, ("where",), always=True),
    Patch(h5ds, "iterate", objects.iterate_scales, ("dset",)),
    Patch(h5g, "create", objects.create_group),
    Patch(h5d, "create", objects.create_dataset),
    Patch(h5a, "create", attributes.create),
    Patch(h5a, "delete", attributes.delete),
    Patch(h5a, "rename", attributes.rename),
    Patch(h5o, "link", links.link, ("obj", "loc")),
    Patch(h5o, "copy", copying.copy, ("src_loc", "src_name", "dst_loc")),
    Patch(h5o, "set_comment", objects.set_comment),
    Patch(h5ds, "set_scale", objects.set_scale, ("dset",)),
    Patch(h5ds, "attach_scale", objects.attach_scale, ("dset", "dscale")),
    Patch(h5ds, "detach_scale", objects.detach_scale, ("dset", "dscale")),
    Patch(h5ds, "set_label", objects.set_label, ("dset",)),
    Patch(h5f, "open", sessions.open_file, ("name",), always=True),
    Patch(h5f, "create", sessions.create_file, ("name",), always=True),
    Patch(h5f, "flush", files.flush, ("obj",)),
    Patch(h5f, "get_name", files.get_name, ("obj",)),
    Patch(h5f, "mount", files.refuse_mount, ("loc", "name", "fid")),
    Patch(h5f, "unmount", files.refuse_mount),
)

METHODS: tuple[tuple[Any, str, Function, Function], ...] = (
    (Group, "create_dataset", making.create_dataset, attrgetter("_id")),
    (Group, "create_group", making.create_group, attrgetter("_id")),
    (Group, "__setitem__", highlevel.group_setitem, attrgetter("id")),
    (AttributeManager, "create", attributes.create_folded, attrgetter("_id")),
    (File, "__exit__", highlevel.file_exit, attrgetter("id")),
)

_replaced: list[tuple[Any, str, Any]] = []


def install() -> None:
    """Replace h5py's functions, once; without effect on files that are not journaled."""
    with phil:
        if _replaced:
            return
        for patch in PATCHES:
            _replace(patch.owner, patch.name, _dispatcher(patch))
        for owner, name, ours, identifier in METHODS:
            _replace(owner, name, _method(getattr(owner, name), ours, identifier))
        _replace(File, "session", property(highlevel.file_session))
        _replace(native.selector, "Reader", reading.reader)


def uninstall() -> None:
    """Put h5py's functions back; no journaled file may be open."""
    with phil:
        while _replaced:
            owner, name, original = _replaced.pop()
            if original is None:
                delattr(owner, name)
            else:
                setattr(owner, name, original)


def _replace(owner: Any, name: str, replacement: Any) -> None:
    _replaced.append((owner, name, getattr(owner, name, None)))
    setattr(owner, name, replacement)


def _explained(ours: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return ours(*args, **kwargs)
    except H5PY_ERRORS as error:
        explain_any(error, (*args, *kwargs.values()))
        raise


def _dispatcher(patch: Patch) -> Function:
    theirs: Function = getattr(patch.owner, patch.name)
    ours, places = patch.ours, tuple(enumerate(patch.arguments))
    first = patch.arguments[0]
    if patch.dispatch is not None:
        return functools.wraps(theirs)(patch.dispatch(theirs, ours))

    def always(*args: Any, **kwargs: Any) -> Any:
        with phil:
            return ours(*args, **kwargs)

    def by_first(*args: Any, **kwargs: Any) -> Any:
        if isinstance(args[0] if args else kwargs.get(first), Journaled):
            with phil:
                return _explained(ours, args, kwargs)
        return theirs(*args, **kwargs)

    def by_any(*args: Any, **kwargs: Any) -> Any:
        given = (args[i] if i < len(args) else kwargs.get(name) for i, name in places)
        if any(isinstance(value, Journaled) for value in given):
            with phil:
                return _explained(ours, args, kwargs)
        return theirs(*args, **kwargs)

    chosen = always if patch.always else by_first if len(places) == 1 else by_any
    return functools.wraps(theirs)(chosen)


def _method(theirs: Function, ours: Function, identifier: Callable[[Any], Any]) -> Function:
    @functools.wraps(theirs)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(identifier(self), Journaled):
            return theirs(self, *args, **kwargs)
        try:
            return ours(self, *args, **kwargs)
        except H5PY_ERRORS as error:
            explain_any(error, (identifier(self),))
            raise

    return method
