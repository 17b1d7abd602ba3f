"""Groups, datasets, datatypes and links of a plan, in an order in which each can be made.

The order is that of the tree, since HDF5 may keep it; only what needs another
object first (a hard link, a dataset of a committed type) waits for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import h5py
import msgspec
from h5py import h5d, h5i, h5o

from safeh5.errors import InvalidTreeError, InvalidTypeError, ObjectExistsError
from safeh5.microdata.facts import Committed, DatasetFacts, datatype_of
from safeh5.microdata.namespace import Namespace
from safeh5.microdata.nodes import ExternalLink, HardLink, MicroData, MicroDatatype, SoftLink
from safeh5.microdata.place import Action, Step
from safeh5.microdata.references import Resolver
from safeh5.microdata.scratch import about
from safeh5.microdata.stored import Identity, identity_of
from safeh5.microdata.tree import MicroDataGroup, MicroDataset
from safeh5.operations.model import (
    CommitDatatype,
    CreateDataset,
    CreateExternalLink,
    CreateGroup,
    CreateHardLink,
    CreateSoftLink,
    Delete,
    Layout,
    Operation,
    VirtualSource,
)
from safeh5.operations.values import decode_space, decode_type

_TRACKED_AND_INDEXED = 3


@dataclass(slots=True)
class Made:
    """An object that is made: its operation, and the paths of objects to be made before.

    Without `needs` HDF5 refuses the operation; `sibling` only keeps the order
    of a group that tracks it.
    """

    step: Step
    operation: Operation
    needs: tuple[str, ...] = ()
    sibling: str | None = None


class Structure:
    """Turns steps into the operations that make their objects.

    Parameters
    ----------
    facts : mapping of MicroData to DatasetFacts
        What each dataset will be.
    resolver : Resolver
        Says where targets are.
    identities : mapping of Identity to str
        Where each object that the tree was read from goes.
    namespace : Namespace
        The file written to.
    """

    def __init__(
        self,
        facts: Mapping[MicroData, DatasetFacts],
        resolver: Resolver,
        identities: Mapping[Identity, str],
        namespace: Namespace,
    ) -> None:
        self._facts = facts
        self._resolver = resolver
        self._identities = identities
        self._namespace = namespace

    def operations(self, steps: Sequence[Step]) -> list[Operation]:
        """The operations, after all targets are found to be there.

        Raises
        ------
        InvalidTreeError, ObjectExistsError
            If a link has no target, or what is kept is not what the node says.
        """
        with about("/", "the node") as here:
            every = []
            for step in steps:
                here.path = step.path
                every.append(self._made(step))
        waiting: list[Made] = []
        last: dict[str, str] = {}
        for made in every:
            if made.step.exists:
                self._check_kept(made)
            else:
                _wait_in_group(made, last)
                waiting.append(made)
        return list(_in_order(waiting))

    def _made(self, step: Step) -> Made:
        node, path = step.node, step.path
        if isinstance(node, MicroDataGroup):
            return Made(step, _group(node, path))
        if isinstance(node, MicroDataset):
            facts = self._facts[node]
            committed = None if facts.committed is None else self.committed(facts.committed, path)
            operation = CreateDataset(
                path=path,
                type=facts.type,
                space=facts.space,
                layout=self._layout(facts) if facts.layout.virtual else facts.layout,
                committed_type=committed,
            )
            return Made(step, operation, (committed,) if committed else ())
        if isinstance(node, MicroDatatype):
            return Made(step, CommitDatatype(path=path, type=datatype_of(node)))
        if isinstance(node, HardLink):
            target = self._hard_target(node, path)
            return Made(step, CreateHardLink(path=path, target=target), (target,))
        return Made(step, self._link(node, path))

    def _layout(self, facts: DatasetFacts) -> Layout:
        """The layout, with virtual sources in the same file named as they are named there."""
        sources = tuple(self._source(source, facts.owner) for source in facts.layout.virtual)
        return msgspec.structs.replace(facts.layout, virtual=sources)

    def _source(self, source: VirtualSource, owner: h5d.DatasetID) -> VirtualSource:
        if source.file != ".":
            return source
        try:
            found = h5o.open(h5i.get_file_id(owner), source.dataset.encode())
        except (KeyError, OSError, RuntimeError):
            return source  # a source that is not there (yet), or one name for many
        path = self._identities.get(identity_of(found))
        if path is None or path == "/" + source.dataset.strip("/"):
            return source
        return VirtualSource(source.target, source.file, path, source.source)

    def _link(self, node: MicroData, path: str) -> Operation:
        if isinstance(node, SoftLink):
            target = self._resolver.target(node.target, path) if isinstance(node.target, MicroData) else None
            return CreateSoftLink(path=path, target=_text(target or node.target, path))
        if isinstance(node, ExternalLink):
            return CreateExternalLink(
                path=path, filename=_text(node.filename, path), target=_text(node.target, path)
            )
        raise InvalidTypeError(f"{path} is a {type(node).__name__}, which is no HDF5 object", dataset=path)

    def _hard_target(self, node: HardLink, path: str) -> str:
        target, seen = node.target, {id(node)}
        while isinstance(target, HardLink) and id(target) not in seen:
            seen.add(id(target))
            target = target.target
        if isinstance(target, (HardLink, SoftLink, ExternalLink)):
            raise InvalidTreeError(f"{path} is a hard link to a link, {target!r}", dataset=path)
        return self._resolver.target(target, path)

    def committed(self, committed: Committed, where: str) -> str | None:
        """The path of a committed datatype; None when it is not in the file written."""
        if committed is None:
            return None
        if isinstance(committed, (MicroDatatype, h5py.Datatype)):
            return self._resolver.target(committed, where)
        return self._identities.get(committed)

    # --- what stands there and stays ------------------------------------------------

    def _check_kept(self, made: Made) -> None:
        """Raise `ObjectExistsError` unless what stands there is what the node says."""
        step = made.step
        if step.action is not Action.KEEP:
            return
        difference = self._difference(step.path, made.operation)
        if difference is not None:
            raise ObjectExistsError(
                f"what stands at {step.path} does not fit: {difference}",
                dataset=step.path,
                hint="overwrite=True replaces it",
            )

    def _difference(self, path: str, operation: Operation) -> str | None:
        if isinstance(operation, CreateDataset):
            return self._dataset_difference(path, operation)
        if isinstance(operation, CommitDatatype):
            same = self._namespace.datatype(path) == decode_type(operation.type)
            return None if same else "it is another type"
        link = self._namespace.link(path)
        if isinstance(operation, CreateSoftLink):
            return None if link == ("soft", operation.target) else f"it is a {link[0]} link"
        if isinstance(operation, CreateExternalLink):
            same = link == ("external", operation.filename, operation.target)
            return None if same else f"it is a {link[0]} link"
        if isinstance(operation, CreateHardLink):
            return self._hard_difference(path, operation.target)
        return None

    def _hard_difference(self, path: str, target: str) -> str | None:
        there = self._namespace.kind(target) not in (None, "link") and self._namespace.kind(path) != "link"
        return None if there and self._namespace.same(path, target) else f"it is not {target}"

    def _dataset_difference(self, path: str, operation: CreateDataset) -> str | None:
        existing = self._namespace.dataset(path)
        shape = decode_space(operation.space).shape
        if existing.shape != shape:
            return f"its shape is {existing.shape}, not {shape}"
        if existing.get_type() != decode_type(operation.type):
            return "its type is another one"
        return None


def _group(node: MicroDataGroup, path: str) -> CreateGroup:
    if node.stored is not None:
        return CreateGroup(path=path, link_order=node.stored.link_order, attr_order=node.stored.attr_order)
    order = _TRACKED_AND_INDEXED if node.track_order else 0
    return CreateGroup(path=path, link_order=order, attr_order=order)


def _text(value: object, path: str) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise InvalidTypeError(f"{path} links to {value!r}, which is no name", dataset=path)
    return value


def _wait_in_group(made: Made, last: dict[str, str]) -> None:
    """Have `made` wait for its group and, if that tracks the order of links, for the link before it."""
    above = made.step.above
    if above is not None:
        made.needs = (*made.needs, above.path)
        if _tracks(above.node):
            made.sibling = last.get(above.path)
            last[above.path] = made.step.path


def _tracks(node: MicroData) -> bool:
    if node.stored is not None:
        return bool(node.stored.link_order)
    return isinstance(node, MicroDataGroup) and bool(node.track_order)


def _in_order(waiting: list[Made]) -> Iterator[Operation]:
    """The operations, what must wait for others in later rounds.

    Rounds end: groups and datatypes need their group only, and nothing that a
    hard link or a dataset needs is one of those. Where the order of links
    cannot be kept as well, it yields.
    """
    missing, keep_order, replace = {made.step.path for made in waiting}, True, Action.REPLACE
    while waiting:
        later = []
        for made in waiting:
            if not missing.isdisjoint(made.needs) or (keep_order and made.sibling in missing):
                later.append(made)
                continue
            if made.step.action is replace:
                yield Delete(path=made.step.path)
            yield made.operation
            missing.discard(made.step.path)
            keep_order = True
        if len(later) == len(waiting):
            if not keep_order:
                first = later[0].step.path
                raise InvalidTreeError(f"{first} waits for itself to be made", dataset=first)
            keep_order = False
        waiting = later
