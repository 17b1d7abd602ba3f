"""Trees, operations, batches that are cancelled."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from safeh5.errors import ApplyError
from safeh5.microdata import MicroDataGroup, MicroDataset
from safeh5.operations.model import WriteData
from safeh5.operations.values import encode_type
from safeh5.testing import plain, strategies
from safeh5.testing.machine.base import MachineBase

_NOWHERE = WriteData(path="/nowhere", type=encode_type("<i4"))


class Cancelled(Exception):
    """Leaves a batch, which is then cancelled."""


class Changes(MachineBase):
    """Changes of the file."""

    @precondition(MachineBase.is_open)
    @rule(tree=strategies.trees(name="tree", max_nodes=5))
    def write(self, tree: MicroDataGroup) -> None:
        """A tree."""
        assert self.session is not None
        tree.name = self.fresh("t")
        self.session.write(tree)
        self.done(lambda file: plain.write_tree(file, tree))

    @precondition(MachineBase.is_open)
    @rule(array=strategies.arrays())
    def overwrite(self, array: Any) -> None:
        """A dataset in the place of another."""
        assert self.session is not None
        self.session.write(MicroDataset("again", array), overwrite=True)

        def change(file: h5py.File) -> None:
            if "again" in file:
                del file["again"]
            file.create_dataset("again", data=array)

        self.done(change)

    @precondition(MachineBase.is_open)
    @rule(steps=strategies.operations(), together=st.booleans())
    def record(self, steps: list[strategies.Step], together: bool) -> None:
        """Operations, each a batch of its own or all of them one."""
        assert self.session is not None
        steps = _renamed(steps, "/" + self.fresh("o"))
        if together:
            with self.session.batch():
                for step in steps:
                    self.session.record(*step)
            self.done(lambda file: plain.apply_operations(file, steps))
            return
        for step in steps:
            self.session.record(*step)
            self.done(lambda file, step=step: plain.apply_operation(file, *step))  # type: ignore[misc]

    @precondition(MachineBase.is_open)
    @rule(
        tree=strategies.trees(name="tree", max_nodes=3), steps=strategies.operations(), refused=st.booleans()
    )
    def cancel(self, tree: MicroDataGroup, steps: list[strategies.Step], refused: bool) -> None:
        """A batch that is cancelled, by an exception of the caller or of HDF5."""
        assert self.session is not None
        lengths = {path: stream.length for path, stream in self.streams.items()}
        tree.name = self.fresh("t")
        try:
            with self.session.batch():
                self.session.write(tree)
                for step in _renamed(steps, "/" + self.fresh("o")):
                    self.session.record(*step)
                for stream in self.streams.values():
                    stream.append(np.zeros(stream.shape, stream.dtype))
                if not refused:
                    raise Cancelled
                self.session.record(_NOWHERE)
        except (Cancelled, ApplyError) as error:
            assert isinstance(error, ApplyError) == refused
        assert {path: stream.length for path, stream in self.streams.items()} == lengths


def _renamed(steps: list[strategies.Step], top: str) -> list[strategies.Step]:
    """The same operations below another group than ``/ops``."""
    renamed: list[strategies.Step] = []
    for operation, payload in steps:
        paths = {
            name: top + value.removeprefix("/ops")
            for name in ("path", "source", "target")
            if isinstance(value := getattr(operation, name, None), str) and value.startswith("/ops")
        }
        renamed.append((_replaced(operation, paths), payload))
    return renamed


def _replaced(operation: Any, fields: dict[str, str]) -> Any:
    import msgspec

    return msgspec.structs.replace(operation, **fields)
