"""Cells, genes and neurons."""

from __future__ import annotations

import numpy as np

from peers.scenarios.registry import scenario


@scenario("anndata", by_path=True)
def anndata_write(path: str) -> None:
    """Sparse and dense matrices, data frames with categories, strings."""
    import anndata
    import pandas
    import scipy.sparse

    matrix = scipy.sparse.random(20, 10, density=0.3, format="csr", random_state=0)
    obs = pandas.DataFrame({"kind": pandas.Categorical(list("ab") * 10)}, index=[f"c{i}" for i in range(20)])
    data = anndata.AnnData(matrix, obs=obs, obsm={"pca": np.ones((20, 3))}, uns={"note": "text", "n": 3})
    data.layers["dense"] = np.arange(200.0).reshape(20, 10)
    data.write_h5ad(path, compression="gzip")


@scenario("hdmf.common", by_path=True, ignore_attrs=("object_id",))
def hdmf_dynamic_table(path: str) -> None:
    """A table with a ragged column, written by HDMF."""
    from hdmf.backends.hdf5 import HDF5IO
    from hdmf.common import DynamicTable, VectorData, get_manager

    table = DynamicTable(
        name="table",
        description="of numbers",
        columns=[VectorData(name="n", description="numbers", data=[1, 2, 3])],
    )
    with HDF5IO(path, manager=get_manager(), mode="w") as io:
        io.write(table)


@scenario("loompy", by_path=True, ignore_attrs=("last_modified",), ignore_paths=("/attrs/CreationDate",))
def loompy_create(path: str) -> None:
    """A loom file, with a layer and an attribute added by a second visit."""
    import loompy

    loompy.create(path, np.arange(60.0).reshape(10, 6), {"gene": np.arange(10)}, {"cell": np.arange(6)})
    with loompy.connect(path) as data:
        data.layers["twice"] = data[:, :] * 2
        data.ca["more"] = np.arange(6) * 10


@scenario("mudata", by_path=True)
def mudata_write(path: str) -> None:
    """Two modalities in one file."""
    import anndata
    import mudata

    parts = {name: anndata.AnnData(np.ones((4, 3)) * i) for i, name in enumerate(("rna", "atac"))}
    mudata.MuData(parts).write(path)


@scenario("pynwb", by_path=True, ignore_attrs=("object_id",))
def pynwb_series(path: str) -> None:
    """A neurophysiology file with a time series, chunked and compressed."""
    from datetime import UTC, datetime

    from hdmf.backends.hdf5 import H5DataIO
    from pynwb import NWBHDF5IO, NWBFile, TimeSeries

    began = datetime(2024, 1, 1, tzinfo=UTC)
    file = NWBFile("test", "id", began, file_create_date=began)
    data = H5DataIO(np.arange(100.0), compression="gzip", chunks=(20,), maxshape=(None,))
    file.add_acquisition(TimeSeries(name="series", data=data, unit="V", rate=10.0))
    with NWBHDF5IO(path, "w") as io:
        io.write(file)
