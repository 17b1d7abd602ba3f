"""Changes through h5py's own objects: plain values, large ones, attributes; each is a batch."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Final

import h5py
import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from safeh5.h5 import journaled_file
from safeh5.testing import strategies
from safeh5.testing.machine.base import Change, MachineBase

_LARGE: Final = 300_000
"""Bytes that a thread journals while HDF5 takes them, where the durability allows it."""


class Objects(MachineBase):
    """Changes of the file as a program makes them that was written for h5py."""

    @precondition(MachineBase.is_open)
    @rule(array=strategies.arrays(), how=st.sampled_from(["dataset", "group", "attribute"]))
    def through_objects(self, array: Any, how: str) -> None:
        """A dataset with its values, a group, or an attribute of the root."""
        name = self.fresh("h")

        def change(file: h5py.File) -> None:
            if how == "dataset":
                file.create_dataset(name, data=array)
            elif how == "group":
                file.create_group(name)
            else:
                file.attrs[name] = name if self._count % 2 else float(self._count)

        # What is not plain is a record for the dataset and one for its values: a batch makes them one.
        plain = isinstance(array, np.ndarray) and array.dtype.kind in "biuf" and array.size
        self._do(change, together=how == "dataset" and not plain)

    @precondition(MachineBase.is_open)
    @rule(value=st.integers(0, 255))
    def large_values(self, value: int) -> None:
        """Values of a dataset that are many, over those that were there."""
        assert self.session is not None
        if "large" not in self.session.file:
            self._do(lambda file: file.create_dataset("large", (_LARGE,), "u1"))
        values = np.full(_LARGE, value, "u1")
        self._do(lambda file: file["large"].__setitem__(slice(None), values))

    def _do(self, change: Change, together: bool = False) -> None:
        assert self.session is not None
        # Not closed: that would commit. The session ends as the other rules want it.
        with self.session.batch() if together else nullcontext():
            change(journaled_file(self.session))
        self.done(change)
