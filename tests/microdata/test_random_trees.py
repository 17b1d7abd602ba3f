"""Random trees: what the operations build is what plain h5py builds of the same tree."""

from __future__ import annotations

import tempfile
from pathlib import Path

import h5py
from hypothesis import given, settings

from safeh5.applier import Applier
from safeh5.microdata import MicroDataGroup
from safeh5.operations.codec import decode, encode
from safeh5.testing import plain, strategies
from tests.microdata.writing import assert_equal, write


@given(strategies.trees())
@settings(max_examples=60)
def test_a_random_tree_is_what_plain_h5py_makes_of_it(tree: MicroDataGroup) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours, plainly, again = (Path(folder) / f"{name}.h5" for name in ("ours", "plain", "again"))
        write(tree, ours, frame_bytes=64)
        with h5py.File(plainly, "w") as file:
            plain.write_tree(file, tree)
        assert_equal(ours, plainly, ignore={"order of links"})
        with h5py.File(ours) as file:
            write(MicroDataGroup.from_hdf5(file), again)
        assert_equal(ours, again)


@given(strategies.operations())
@settings(max_examples=60)
def test_random_operations_do_what_plain_h5py_does(steps: list[strategies.Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours, plainly = (Path(folder) / f"{name}.h5" for name in ("ours", "plain"))
        with h5py.File(ours, "w") as file:
            applier = Applier(file.id)
            for operation, payload in steps:
                applier.apply(decode(encode(operation)), payload)
            applier.release()
        with h5py.File(plainly, "w") as file:
            plain.apply_operations(file, steps)
        assert_equal(ours, plainly)
