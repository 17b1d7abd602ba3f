"""What a reference in a tree means in the file that the tree becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import h5py
from h5py import h5d, h5r

from safeh5.errors import InvalidTreeError, InvalidTypeError
from safeh5.events import logger
from safeh5.microdata.namespace import Namespace, dereference
from safeh5.microdata.nodes import MicroData, Reference
from safeh5.microdata.scratch import Scratch
from safeh5.microdata.stored import Identity, identity_of, name_of
from safeh5.operations.values import Describe, StoredReference

Shape = Callable[[str], "tuple[int, ...] | None"]
"""The shape that the dataset at a path will have."""


class Resolver:
    """Turns references into paths, once every node has its path.

    Parameters
    ----------
    paths : mapping of MicroData to str
        Where each node of the tree goes.
    identities : mapping of Identity to str
        Where each object that the tree was read from goes.
    namespace : Namespace
        The file written to.
    scratch : Scratch
        Encodes regions.
    shape : callable
        See `Shape`.
    """

    def __init__(
        self,
        paths: Mapping[MicroData, str],
        identities: Mapping[Identity, str],
        namespace: Namespace,
        scratch: Scratch,
        shape: Shape,
    ) -> None:
        self._paths = paths
        self._written = frozenset(paths.values())
        self._identities = identities
        self._namespace = namespace
        self._scratch = scratch
        self._shape = shape

    def describe(self, where: str, owner: Any = None) -> Describe:
        """What `pack` asks about each reference.

        Parameters
        ----------
        where : str
            Path of the node that holds the references, for messages.
        owner : h5py identifier, optional
            Object in whose file h5py's references are meant; the file written to when None.
        """

        def described(value: Any) -> StoredReference | None:
            if isinstance(value, h5r.Reference):
                return self._of_file(value, where) if owner is None else self._of_source(value, owner, where)
            if isinstance(value, Reference) and value.region is not None:
                return self._region(value, where)
            target = value.target if isinstance(value, Reference) else value
            return None if target is None or _is_zero(target) else StoredReference(self.target(target, where))

        return described

    def target(self, target: Any, where: str) -> str:
        """The path of a node, of an object of the file, or of one given by path.

        Raises
        ------
        InvalidTreeError
            If there is no such object, neither in the tree nor in the file.
        """
        if isinstance(target, MicroData):
            path = self._paths.get(target)
            if path is None:
                raise InvalidTreeError(
                    f"{where} refers to {target!r}, which is not in the tree that is written", dataset=where
                )
            return path
        if isinstance(target, (h5py.Group, h5py.Dataset, h5py.Datatype)):
            return self._object(target.id, where)
        if not isinstance(target, str):
            raise InvalidTypeError(f"{where} refers to a {type(target).__name__}", dataset=where)
        path = "/" + target.strip("/")
        if path not in self._written and self._namespace.kind(path) in (None, "link"):
            raise InvalidTreeError(
                f"{where} refers to {path}, which is neither in the tree nor in the file", dataset=where
            )
        return path

    def _object(self, object_id: Any, where: str) -> str:
        """The path of an h5py object: of its copy in the tree, or its own."""
        path = self._identities.get(identity_of(object_id)) or self._namespace.path_of(object_id)
        if path is not None:
            return path
        name = name_of(object_id)
        if name is not None and self._namespace.kind(name) not in (None, "link"):
            return name
        raise InvalidTreeError(
            f"{where} refers to {name or 'an object without a name'} of another file,"
            " and the file that is written has no such object",
            dataset=where,
            hint="Write a tree that includes the object",
        )

    def _of_file(self, reference: h5r.Reference, where: str) -> StoredReference | None:
        stored = self._namespace.describe(reference)
        if stored is None and reference:
            raise InvalidTreeError(
                f"{where} has a reference to nothing in the file that is written", dataset=where
            )
        return stored

    def _of_source(self, reference: h5r.Reference, owner: Any, where: str) -> StoredReference | None:
        found = dereference(reference, owner)
        if found is None:
            if reference:
                logger.warning("%s: a dangling reference is written as a null reference", where)
            return None
        object_id, region = found
        if region is not None and not isinstance(object_id, h5d.DatasetID):
            return None
        return StoredReference(self._object(object_id, where), region)

    def _region(self, reference: Reference, where: str) -> StoredReference:
        path = self.target(reference.target, where)
        try:
            region = self._scratch.region(self._shape(path), reference.region)
        except (TypeError, ValueError, IndexError) as error:
            raise InvalidTreeError(
                f"{where} refers to a region that {path} does not have: {error}", dataset=where
            ) from error
        return StoredReference(path, region)


def _is_zero(value: Any) -> bool:
    """h5py fills unset references with 0."""
    return isinstance(value, int) and value == 0
