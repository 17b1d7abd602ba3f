"""A tree becomes operations: checked whole first, then read block by block.

`plan_write` looks at every node and finds every error it can without reading
the data. The plan then yields structure, data and attributes, in this order:
an object is there before anything is written into it, and everything is there
before anything refers to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from h5py import h5t

from safeh5._typing import Buffer
from safeh5.errors import InvalidTreeError
from safeh5.microdata.attributes import Decorations
from safeh5.microdata.facts import DatasetFacts, facts_of
from safeh5.microdata.namespace import Namespace
from safeh5.microdata.nodes import MicroData
from safeh5.microdata.place import Action, Placement, Step
from safeh5.microdata.references import Resolver
from safeh5.microdata.scratch import Scratch, about
from safeh5.microdata.sources import ArraySource, Sink
from safeh5.microdata.stored import Identity
from safeh5.microdata.stored_source import StoredSource
from safeh5.microdata.structure import Structure
from safeh5.microdata.tree import MicroDataset
from safeh5.microdata.values import check_values
from safeh5.operations.model import Operation
from safeh5.operations.values import decode_type, is_plain
from safeh5.options import JournalOptions

FRAME_BYTES = JournalOptions().frame_bytes


def plan_write(
    root: MicroData | Sequence[MicroData],
    namespace: Namespace,
    *,
    exist_ok: bool = False,
    overwrite: bool = False,
) -> WritePlan:
    """Check a tree against the file it is to be written into.

    Parameters
    ----------
    root : MicroData or sequence of MicroData
        The root group (named ``'/'``), or nodes that are attached at their `parent`.
    namespace : Namespace
        The file.
    exist_ok : bool
        Keep a dataset, datatype or link that stands where a like node is to be
        written (same shape and type, same target), and write data and
        attributes into it.
    overwrite : bool
        Replace a dataset, datatype or link that stands there; goes before
        `exist_ok`. Groups are merged with, never replaced.

    Returns
    -------
    WritePlan
        What will be done. Nothing has been written, and no node has changed.

    Raises
    ------
    InvalidTreeError
        If something in the tree is wrong; names the path of the node.
    InvalidTypeError
        If a value or a data type is one that HDF5 cannot hold.
    ObjectExistsError
        If something else stands at the path of a node.
    """
    steps = tuple(Placement(namespace, exist_ok=exist_ok, overwrite=overwrite).steps(root))
    scratch = Scratch(namespace.libver)
    facts: dict[MicroData, DatasetFacts] = {}
    with about("/", "the dataset") as here:
        for step in steps:
            if isinstance(step.node, MicroDataset):
                here.path = step.path
                facts[step.node] = facts_of(step.node, scratch)
    return WritePlan(steps, facts, namespace, scratch)


class WritePlan:
    """A checked tree, ready to be journaled.

    Attributes
    ----------
    steps : tuple of Step
        The nodes with their places, each group before its children.
    paths : dict of MicroData to str
        The absolute path of each node in the file, in the same order.
    """

    def __init__(
        self,
        steps: tuple[Step, ...],
        facts: Mapping[MicroData, DatasetFacts],
        namespace: Namespace,
        scratch: Scratch,
    ) -> None:
        self.steps = steps
        self.paths: dict[MicroData, str] = {step.node: step.path for step in steps}
        self._facts = facts
        self._shapes = {self.paths[node]: each.shape for node, each in facts.items()}
        self._namespace = namespace
        self._resolver = Resolver(self.paths, self._identities(), namespace, scratch, self._shape)
        self._structure = self._made(self._identities())
        self._check_values()
        self._decorations = self._decorated(self._identities(), scratch)

    def operations(self, frame_bytes: int = FRAME_BYTES) -> Iterator[tuple[Operation, Buffer]]:
        """The operations with their payloads, data read as they are asked for.

        Parameters
        ----------
        frame_bytes : int
            Size of a payload, about.

        Yields
        ------
        (Operation, buffer)
            The payload is valid until the next one is asked for.

        Raises
        ------
        InvalidTreeError
            If data that are read late do not fit; the operations yielded so
            far must then be taken back.
        """
        for operation in self._structure:
            yield operation, b""
        for step in self.steps:
            if isinstance(step.node, MicroDataset):
                yield from self._data(step, frame_bytes)
        yield from self._decorations

    # --- the parts --------------------------------------------------------------------

    def _identities(self) -> dict[Identity, str]:
        return {node.stored.identity: path for node, path in self.paths.items() if node.stored is not None}

    def _shape(self, path: str) -> tuple[int, ...] | None:
        if path in self._shapes:
            return self._shapes[path]
        if self._namespace.kind(path) != "dataset":
            return None
        shape: tuple[int, ...] | None = self._namespace.dataset(path).shape
        return shape

    def _made(self, identities: Mapping[Identity, str]) -> list[Operation]:
        return Structure(self._facts, self._resolver, identities, self._namespace).operations(self.steps)

    def _decorated(
        self, identities: Mapping[Identity, str], scratch: Scratch
    ) -> list[tuple[Operation, Buffer]]:
        decorations = Decorations(
            self.steps, self._facts, self._resolver, identities, self._namespace, scratch
        )
        out: list[tuple[Operation, Buffer]] = []
        for step in self.steps:
            decorations.attributes(step, out)
        for step in self.steps:
            if isinstance(step.node, MicroDataset):
                out += [(operation, b"") for operation in decorations.scales(step)]
        return out

    def _data(self, step: Step, frame_bytes: int) -> Iterator[tuple[Operation, Buffer]]:
        facts = self._facts[step.node]
        source = facts.source
        if source is None:
            return
        if isinstance(source, StoredSource) and step.action is Action.KEEP:
            source = StoredSource(source.dataset)
        try:
            yield from source.operations(self._sink(step), frame_bytes)
        except InvalidTreeError as error:
            # Name the node; errors of the user's own objects pass.
            if error.dataset is None:
                text = f"the data of {step.path} cannot be written: {error.message}"
                raise type(error)(text, dataset=step.path) from error
            raise

    def _sink(self, step: Step) -> Sink:
        facts = self._facts[step.node]
        describe = self._resolver.describe(step.path, facts.owner)
        return Sink(step.path, facts.type, facts.layout.chunks, describe)

    def _check_values(self) -> None:
        """Look at those values now that HDF5 might refuse when they are journaled."""
        for step in self.steps:
            facts = self._facts.get(step.node)
            if facts is None or is_plain(facts.type):
                continue
            sink = self._sink(step)
            with about(step.path, "the data"):
                if isinstance(facts.source, ArraySource) and isinstance(facts.source.data, np.ndarray):
                    check_values(facts.source.data, decode_type(sink.type), sink.describe)
                elif isinstance(facts.source, StoredSource) and _refers(facts):
                    for _ in facts.source.operations(sink, FRAME_BYTES):
                        pass


def _refers(facts: DatasetFacts) -> bool:
    return bool(decode_type(facts.type).detect_class(h5t.REFERENCE))
