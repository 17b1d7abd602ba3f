"""Python objects of any kind."""

from __future__ import annotations

import numpy as np

from peers.scenarios.registry import scenario


@scenario("hickle", by_path=True)
def hickle_dump(path: str) -> None:
    """Python objects of many kinds."""
    import hickle

    tree = {"a": np.arange(10), "b": [1, 2.5, "three", None], "c": {"d": (1, 2), "e": b"bytes", 5: True}}
    hickle.dump(tree, path, mode="w", compression="gzip")


@scenario("h5io", by_path=True)
def h5io_write(path: str) -> None:
    """Nested Python objects, as MNE keeps them."""
    import h5io

    h5io.write_hdf5(path, {"a": [1, np.arange(4)], "b": {"c": "text", "d": None, "e": 2.5}}, overwrite=True)
    h5io.write_hdf5(path, np.eye(4), title="second", overwrite="update", compression=4)


@scenario("hdf5storage", by_path=True)
def hdf5storage_matlab(path: str) -> None:
    """Files for MATLAB: a user block, references to a group of their own."""
    import hdf5storage

    data = {"a": np.arange(6.0), "text": "abc", "cells": np.array([1, "x"], dtype=object)}
    hdf5storage.writes(mdict=data, filename=path, matlab_compatible=True)
