"""Any pair of selections, of memory and of a dataset, is journaled as HDF5 pairs them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5s
from hypothesis import given
from hypothesis import strategies as st

from safeh5.h5 import journaled_file
from safeh5.h5.selections import gather, slab_of
from safeh5.testing import strategies
from tests.h5.tape import Tape, three_ways

SHAPE = (7, 9)


spaces = strategies.selections(SHAPE)


@given(spaces)
def test_gathering_gives_the_elements_in_the_order_of_hdf5(space: h5s.SpaceID) -> None:
    data = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        file["d"] = data
        expected = np.empty(space.get_select_npoints(), data.dtype)
        file["d"].id.read(h5s.create_simple(expected.shape), space, expected)
    assert np.array_equal(gather(data.reshape(-1), space), expected)


@given(st.lists(st.tuples(spaces, spaces), min_size=1, max_size=4))
def test_a_write_between_any_selections_is_played_as_it_was_done(pairs: list[tuple[Any, Any]]) -> None:
    def scenario(f: h5py.File) -> None:
        d = f.create_dataset("d", SHAPE, "i4", chunks=(3, 4))
        for i, (memory, target) in enumerate(pairs):
            count = target.get_select_npoints()
            if memory.get_select_npoints() != count:
                memory = h5s.create_simple((count,))
            values = np.arange(1000 * i, 1000 * i + np.prod(SHAPE) + 1, dtype="i4")
            d.id.write(memory, target, values)

    with tempfile.TemporaryDirectory() as directory:
        three_ways(scenario, Path(directory))


def test_all_means_what_hdf5_means_by_it(tmp_path: Path) -> None:
    def scenario(f: h5py.File) -> None:
        d = f.create_dataset("d", (4, 5), "i4")
        values = np.arange(20, dtype="i4").reshape(4, 5)
        d.id.write(h5s.ALL, h5s.ALL, values)
        part = d.id.get_space()
        part.select_hyperslab((1, 1), (2, 3))
        d.id.write(h5s.ALL, part, values * 10)
        d.id.write(h5s.create_simple((20,)), h5s.ALL, np.arange(20, dtype="i4"))
        nothing = d.id.get_space()
        nothing.select_none()
        d.id.write(nothing, nothing, values)

    assert len(three_ways(scenario, tmp_path).records) == 4


def test_a_memory_space_larger_than_the_array_is_refused(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "x.h5")
    file = journaled_file(tape)
    d = file.create_dataset("d", (100,), "i4")
    with pytest.raises(ValueError, match="100 elements"):
        d.id.write(h5s.ALL, h5s.ALL, np.zeros(3, "i4"))
    assert tape.kinds == ["CreateDataset"]
    file.close()


def test_an_unshifted_slab_is_described_as_it_is() -> None:
    space = h5s.create_simple((10,))
    space.select_hyperslab((2,), (3,), (2,), (1,))
    slab = slab_of(space)
    assert slab is not None and slab.slices() == (slice(2, 7, 2),) and not slab.is_box
