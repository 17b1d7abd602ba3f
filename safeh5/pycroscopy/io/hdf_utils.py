"""Small helpers around the h5py objects that a written tree became.

They work on any h5py object; on those of a journaled file what they change is
journaled.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import h5py
import numpy as np

from safeh5.errors import InvalidTypeError

_OBJECTS = (h5py.Group, h5py.Dataset)


def get_h5_obj_refs(obj_names: str | Iterable[str], h5_refs: Any) -> list[Any]:
    """The objects of a list that have one of the given names.

    Parameters
    ----------
    obj_names : str or iterable of str
        Names, without the groups they are in.
    h5_refs : h5py object or iterable of them
        Where to look, as `ioHDF5.write_data` returns it.

    Returns
    -------
    list of h5py.Group and h5py.Dataset
        In the order of the names; all that have the name.
    """
    names = [obj_names] if isinstance(obj_names, str) else list(obj_names)
    objects = [h5_refs] if isinstance(h5_refs, _OBJECTS) else list(h5_refs)
    found = [obj for obj in objects if isinstance(obj, _OBJECTS)]
    return [obj for name in names for obj in found if _short_name(obj) == name]


def get_group_refs(group_name: str, h5_refs: Iterable[Any]) -> list[h5py.Group]:
    """The groups of a list whose name begins with `group_name`, index left out or not."""
    return [obj for obj in h5_refs if isinstance(obj, h5py.Group) and _short_name(obj).startswith(group_name)]


def find_dataset(h5_group: h5py.Group, dset_name: str) -> list[h5py.Dataset]:
    """All datasets below a group whose path ends in `dset_name`."""
    found: list[h5py.Dataset] = []

    def look(name: str, obj: Any) -> None:
        if isinstance(obj, h5py.Dataset) and name.endswith(dset_name):
            found.append(obj)

    h5_group.visititems(look)
    return found


def get_attr(h5_object: Any, attr_name: str) -> Any:
    """The value of an attribute; bytes as text, arrays of text as lists.

    Raises
    ------
    KeyError
        If there is no such attribute.
    """
    if attr_name not in h5_object.attrs:
        raise KeyError(f"'{attr_name}' is not an attribute of '{h5_object.name}'")
    value = h5_object.attrs[attr_name]
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, np.ndarray) and value.dtype.kind in "SO":
        return [item.decode("utf-8") if isinstance(item, bytes) else item for item in value.reshape(-1)]
    return value


def get_attributes(h5_object: Any, attr_names: str | Iterable[str] | None = None) -> dict[str, Any]:
    """Attributes by name, all of them when no names are given; see `get_attr`."""
    if attr_names is None:
        attr_names = list(h5_object.attrs)
    names = [attr_names] if isinstance(attr_names, str) else attr_names
    return {name: get_attr(h5_object, name) for name in names}


def get_auxiliary_datasets(
    h5_object: Any, aux_dset_name: str | Iterable[str] | None = None
) -> list[h5py.Dataset]:
    """The datasets that attributes of an object refer to, by the names of the attributes."""
    found = []
    for value in get_attributes(h5_object, aux_dset_name).values():
        if isinstance(value, h5py.Reference) and not isinstance(value, h5py.RegionReference):
            target = h5_object.file[value]
            if isinstance(target, h5py.Dataset):
                found.append(target)
    return found


def get_region(h5_dset: h5py.Dataset, reg_ref_name: str) -> Any:
    """The elements of a dataset that one of its labels names, axes of length 1 left out."""
    return np.squeeze(h5_dset[h5_dset.attrs[reg_ref_name]])


def link_h5_objects_as_attrs(src: Any, h5_objects: Any) -> None:
    """Write references to objects as attributes of `src`, each under the object's own name."""
    for obj in [h5_objects] if isinstance(h5_objects, _OBJECTS) else h5_objects:
        link_h5_obj_as_alias(src, obj, _short_name(obj))


def link_h5_obj_as_alias(h5_main: Any, h5_ancillary: Any, alias_name: str) -> None:
    """Write a reference to `h5_ancillary` as attribute `alias_name` of `h5_main`."""
    if not isinstance(h5_main, _OBJECTS) or not isinstance(h5_ancillary, _OBJECTS):
        raise InvalidTypeError("only groups and datasets can be linked")
    if h5_main.file != h5_ancillary.file:
        raise InvalidTypeError(f"{h5_ancillary.name} is in another file than {h5_main.name}")
    h5_main.attrs[alias_name] = h5_ancillary.ref


def copy_attributes(source: Any, dest: Any, skip_refs: bool = True) -> Any:
    """Write the attributes of one object to another, references left out unless wanted."""
    for name, value in source.attrs.items():
        if not (skip_refs and isinstance(value, h5py.Reference)):
            dest.attrs[name] = value
    return dest


def write_simple_attrs(
    h5_obj: Any, attrs: Mapping[str, Any], obj_type: str = "", verbose: bool = False
) -> None:
    """Write attributes from a mapping; those that are None are left out."""
    for name, value in attrs.items():
        if value is None:
            continue
        if verbose:
            sys.stdout.write(f"Writing attribute: {name} with value: {value}\n")
        h5_obj.attrs[name] = value
    if verbose:
        sys.stdout.write(f"Wrote all (simple) attributes to {obj_type}: {_short_name(h5_obj)}\n\n")


def print_tree(parent: h5py.Group, rel_paths: bool = False) -> None:
    """Print what is in a group: names set in by their depth, or relative paths."""

    def show(name: str, obj: Any) -> None:
        depth = name.count("/")
        short = name.rsplit("/", 1)[-1]
        lines = [name] if rel_paths else ["  " * depth + "├ " + short]
        if isinstance(obj, h5py.Group) and not rel_paths:
            lines.append("  " * (depth + 1) + "-" * len(short))
        sys.stdout.writelines(f"{line}\n" for line in lines)

    sys.stdout.write(f"{parent.name}\n")
    parent.visititems(show)


def _short_name(obj: Any) -> str:
    return str(obj.name).rsplit("/", 1)[-1]


getH5DsetRefs = get_h5_obj_refs
getDataSet = find_dataset
getAuxData = get_auxiliary_datasets
linkRefs = link_h5_objects_as_attrs
linkRefAsAlias = link_h5_obj_as_alias
copyAttributes = copy_attributes
