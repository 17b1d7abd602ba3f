"""netCDF-4 by way of h5py."""

from __future__ import annotations

from typing import Any

import numpy as np

from peers.scenarios.registry import scenario


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
