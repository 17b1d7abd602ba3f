"""Arrays and tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from peers.scenarios.registry import scenario


@scenario("dask.array")
def dask_store(file: Any) -> None:
    """A chunked array, stored block by block from several threads."""
    import dask.array as da

    array = da.from_array(np.arange(10000.0).reshape(100, 100), chunks=(30, 40)) * 2
    target = file.create_dataset("x", array.shape, array.dtype, chunks=(30, 40), compression="lzf")
    da.store(array, target, scheduler="threads")
    da.store(
        [array[:10], array[10:20]], [file.create_dataset("a", (10, 100)), file.create_dataset("b", (10, 100))]
    )


@scenario("dask.array", by_path=True)
def dask_to_hdf5(path: str) -> None:
    """By path; dask opens the file itself."""
    import dask.array as da

    da.to_hdf5(path, {"/x": da.ones((40, 40), chunks=20), "/g/y": da.arange(100, chunks=10)})


@scenario("astropy.table", by_path=True)
def astropy_table(path: str) -> None:
    """Tables with units and metadata, a second one appended and overwritten."""
    from astropy import units
    from astropy.table import QTable, Table

    table = QTable({"a": [1, 2, 3] * units.m, "b": [4.0, 5.0, 6.0], "c": ["x", "yy", "z"]})
    table.meta["comment"] = "kept"
    table.write(path, path="data", format="hdf5", serialize_meta=True, compression=True)
    Table({"n": np.arange(50)}).write(path, path="more/deep", format="hdf5", append=True)
    Table({"n": np.arange(5)}).write(path, path="more/deep", format="hdf5", append=True, overwrite=True)


@scenario("astropy.table")
def astropy_table_on_a_handle(file: Any) -> None:
    """Into a group of an open file."""
    from astropy.table import Table

    Table({"n": np.arange(50), "s": ["t"] * 50}).write(file.create_group("g"), path="t", serialize_meta=True)


@scenario("h5pickle", by_path=True)
def h5pickle_file(path: str) -> None:
    """Its File is a subclass of h5py's."""
    import h5pickle

    with h5pickle.File(path, "w", skip_cache=True) as file:
        file["a/b"] = np.arange(5)
        file["a"].attrs["x"] = 1


@scenario("versioned_hdf5", ignore_attrs=("timestamp",))
def versioned_hdf5_stages(file: Any) -> None:
    """Three versions of a dataset: virtual datasets over one raw one."""
    from datetime import UTC, datetime

    from versioned_hdf5 import VersionedHDF5File

    versions = VersionedHDF5File(file)
    for number in range(3):
        with versions.stage_version(
            f"r{number}", timestamp=datetime(2024, 1, 1 + number, tzinfo=UTC)
        ) as group:
            if number == 0:
                group.create_dataset("values", data=np.arange(1000), chunks=(100,), maxshape=(None,))
            else:
                group["values"].resize((1000 + 50 * number,))
                group["values"][-10:] = number


@scenario("h5sparse", by_path=True)
def h5sparse_matrix(path: str) -> None:
    """A sparse matrix in a group, and rows appended to it."""
    import h5sparse
    import scipy.sparse

    with h5sparse.File(path, "w") as file:
        matrix = scipy.sparse.random(20, 6, density=0.4, format="csr", random_state=1)
        made = file.create_dataset("m", data=matrix, chunks=(10,), maxshape=(None,))
        made.append(matrix[:5])
