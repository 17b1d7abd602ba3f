"""What real packages write through h5py: each scenario as a user of the package would do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scenario:
    """Something that a package writes.

    Attributes
    ----------
    needs : tuple of str
        Modules that must be there.
    write : callable
        Gets an open `h5py.File`, or a path.
    by_path : bool
        Which of the two; with a path the package opens the file itself.
    ignore_attrs, ignore_paths : tuple of str
        Attributes and datasets that hold the time or chance.
    """

    needs: tuple[str, ...]
    write: Callable[[Any], None]
    by_path: bool = False
    ignore_attrs: tuple[str, ...] = ()
    ignore_paths: tuple[str, ...] = ()


SCENARIOS: dict[str, Scenario] = {}


def scenario(*needs: str, **options: Any) -> Callable[..., Any]:
    """Register a scenario under its function's name; the options are those of `Scenario`."""

    def register(write: Callable[[Any], None]) -> Callable[[Any], None]:
        SCENARIOS[write.__name__] = Scenario(needs, write, **options)
        return write

    return register


@scenario("h5netcdf", by_path=True)
def h5netcdf_new_api(path: str) -> None:
    """Dimensions, growing ones too, groups, variables with fill values and attributes."""
    import h5netcdf

    with h5netcdf.File(path, "w") as file:
        file.dimensions = {"x": 5, "t": None}
        variable = file.create_variable("hello", ("x",), float, fillvalue=-1.0)
        variable[:] = np.arange(5.0)
        variable.attrs["units"] = "m"
        group = file.create_group("/group/below")
        group.dimensions["y"] = 3
        group.create_variable("v", ("y", "x"), "i4", data=np.arange(15).reshape(3, 5), compression="gzip")
        grown = file.create_variable("series", ("t", "x"), "f4")
        file.resize_dimension("t", 4)
        grown[:] = np.ones((4, 5))
    with h5netcdf.File(path, "a") as file:
        file.resize_dimension("t", 6)
        file["series"][5] = 7
        file.attrs["title"] = "second visit"


@scenario("h5netcdf.legacyapi", by_path=True)
def h5netcdf_legacy_api(path: str) -> None:
    """The face of netCDF4-python."""
    from h5netcdf import legacyapi

    with legacyapi.Dataset(path, "w") as dataset:
        dataset.createDimension("time", None)
        dataset.createDimension("x", 4)
        variable = dataset.createVariable("t/v", "f8", ("time", "x"))
        variable[0:2] = np.arange(8.0).reshape(2, 4)
        variable.setncattr("units", "K")
        dataset.createVariable("name", str, ("x",))


@scenario("h5netcdf")
def h5netcdf_on_a_handle(file: Any) -> None:
    """On a file that is open already."""
    import h5netcdf

    with h5netcdf.File(file, "w") as inner:
        inner.dimensions["x"] = 3
        inner.create_variable("v", ("x",), "i8", data=[1, 2, 3])


@scenario("xarray", "h5netcdf", by_path=True)
def xarray_to_netcdf(path: str) -> None:
    """A data set with coordinates, times, strings and compression; a group is appended."""
    import xarray

    dataset = xarray.Dataset(
        {
            "temperature": (("time", "x"), np.arange(12.0).reshape(4, 3), {"units": "K"}),
            "label": ("x", np.array(["a", "bb", "ccc"], dtype=object)),
        },
        coords={"time": np.arange("2024-01-01", "2024-01-05", dtype="datetime64[D]"), "x": [10, 20, 30]},
    )
    encoding = {"temperature": {"zlib": True, "complevel": 4, "chunksizes": (2, 3)}}
    dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding, unlimited_dims=["time"])
    dataset.isel(x=0).to_netcdf(path, engine="h5netcdf", group="first", mode="a")


@scenario("silx.io.dictdump")
def silx_dicttoh5(file: Any) -> None:
    """Nested dictionaries into a group, updated and with attributes."""
    from silx.io.dictdump import dicttoh5, dicttonx

    tree = {
        "entry": {
            "title": "scan",
            "data": np.arange(200.0).reshape(20, 10),
            "numbers": [1, 2, 3],
            "below": {"x": np.int16(4), "text": ["a", "b"]},
        }
    }
    dicttoh5(tree, file, h5path="/", create_dataset_args={"compression": "gzip"})
    dicttoh5({"more": np.eye(3), "title": "again"}, file, h5path="/entry", update_mode="modify")
    dicttonx(
        {"@NX_class": "NXdata", "signal": [1.0, 2.0], "signal@units": "V", ">link": "signal"}, file, "/nx"
    )


@scenario("silx.io.dictdump", by_path=True)
def silx_dicttoh5_by_path(path: str) -> None:
    """The same by path, twice."""
    from silx.io.dictdump import dicttoh5

    dicttoh5({"a": {"b": np.arange(5)}}, path, mode="w")
    dicttoh5({"c": "text"}, path, h5path="/a", mode="a", update_mode="add")


@scenario("pyUSID", "sidpy")
def pyusid_main_dataset(file: Any) -> None:
    """A Main dataset with its ancillary datasets, linked by references."""
    import pyUSID as usid

    group = usid.hdf_utils.create_indexed_group(file, "Measurement")
    usid.hdf_utils.write_main_dataset(
        group,
        np.random.default_rng(0).random((15, 7)),
        "Raw_Data",
        "Current",
        "nA",
        [usid.Dimension("X", "um", np.arange(5)), usid.Dimension("Y", "um", np.arange(3))],
        usid.Dimension("Bias", "V", np.linspace(-1, 1, 7)),
    )


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


@scenario("hickle", by_path=True)
def hickle_dump(path: str) -> None:
    """Python objects of many kinds."""
    import hickle

    tree = {"a": np.arange(10), "b": [1, 2.5, "three", None], "c": {"d": (1, 2), "e": b"bytes", 5: True}}
    hickle.dump(tree, path, mode="w", compression="gzip")


@scenario("nexusformat.nexus", by_path=True, ignore_attrs=("file_time", "file_name"))
def nexusformat_tree(path: str) -> None:
    """A NeXus tree, saved and then changed in place."""
    from nexusformat.nexus import NXdata, NXentry, NXfield, NXroot, nxopen

    data = NXdata(NXfield(np.arange(20.0), name="y", units="counts"), NXfield(np.arange(20), name="x"))
    NXroot(NXentry(data, title="scan")).save(path, mode="w")
    with nxopen(path, "rw") as root:
        root["entry/sample"] = NXfield("gold")
        root["entry/data/y"].attrs["note"] = "changed"


@scenario("h5io", by_path=True)
def h5io_write(path: str) -> None:
    """Nested Python objects, as MNE keeps them."""
    import h5io

    h5io.write_hdf5(path, {"a": [1, np.arange(4)], "b": {"c": "text", "d": None, "e": 2.5}}, overwrite=True)
    h5io.write_hdf5(path, np.eye(4), title="second", overwrite="update", compression=4)


@scenario("h5pickle", by_path=True)
def h5pickle_file(path: str) -> None:
    """Its File is a subclass of h5py's."""
    import h5pickle

    with h5pickle.File(path, "w", skip_cache=True) as file:
        file["a/b"] = np.arange(5)
        file["a"].attrs["x"] = 1


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


@scenario("sidpy")
def sidpy_attributes(file: Any) -> None:
    """Nested metadata, and plain attributes of many types."""
    import sidpy.hdf.hdf_utils as utils

    utils.write_simple_attrs(file, {"a": 1, "b": "text", "c": [1.5, 2.5], "d": ["x", "y"]})


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


@scenario("hdf5storage", by_path=True)
def hdf5storage_matlab(path: str) -> None:
    """Files for MATLAB: a user block, references to a group of their own."""
    import hdf5storage

    data = {"a": np.arange(6.0), "text": "abc", "cells": np.array([1, "x"], dtype=object)}
    hdf5storage.writes(mdict=data, filename=path, matlab_compatible=True)


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


@scenario("pandas", "scipp", "scippnexus", by_path=True)
def scippnexus_entry(path: str) -> None:
    """A NeXus entry by scippnexus."""
    import scipp
    import scippnexus

    with scippnexus.File(path, "w") as root:
        entry = root.create_class("entry", "NXentry")
        entry["x"] = scipp.arange("x", 4.0, unit="m")
