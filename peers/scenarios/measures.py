"""Numbers with units, meshes, time series, frames: packages of one laboratory each."""

from __future__ import annotations

import numpy as np

from peers.scenarios.registry import scenario


@scenario("unyt", by_path=True)
def unyt_arrays(path: str) -> None:
    """Arrays with units, one written again in place."""
    import unyt

    length = unyt.unyt_array(np.arange(5.0), "km")
    length.write_hdf5(path, dataset_name="length", info={"by": "Ada", "run": 3})
    for factor in (1, 2):
        density = unyt.unyt_array(np.arange(6.0) * factor, "g/cm**3")
        density.write_hdf5(path, dataset_name="density", group_name="/gas/cold")


@scenario("meshio", by_path=True)
def meshio_mesh(path: str) -> None:
    """A mesh as MED keeps it."""
    import meshio

    points = [[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]
    cells = [("triangle", [[0, 1, 2], [1, 3, 2]])]
    values = {"u": np.arange(4.0)}
    meshio.write(path, meshio.Mesh(points, cells, point_data=values), file_format="med")


@scenario("gwpy", by_path=True)
def gwpy_series(path: str) -> None:
    """Time series, appended to a file, and flags that are replaced."""
    from gwpy.segments import DataQualityFlag
    from gwpy.timeseries import TimeSeries

    series = TimeSeries(np.arange(200.0) % 7, sample_rate=16, unit="m", name="X1:A", t0=10)
    series.write(path, path="data", format="hdf5", overwrite=True)
    series.write(path, path="group/packed", format="hdf5", append=True, compression="gzip")
    flag = DataQualityFlag("X1:F:1", active=[(1, 2), (3, 4)], known=[(0, 10)])
    for _ in range(2):
        flag.write(path, path="flag", format="hdf5", append=True, overwrite=True)


@scenario("pint", "nxtomo", by_path=True)
def nxtomo_scan(path: str) -> None:
    """A tomography with its virtual datasets."""
    import pint
    from nxtomo.application.nxtomo import NXtomo

    scan = NXtomo()
    scan.title, scan.sample.name = "scan", "sample"
    scan.instrument.detector.image_key_control = [2, 1, 0]
    scan.instrument.detector.data = np.arange(192, dtype="f4").reshape(3, 8, 8)
    scan.sample.rotation_angle = np.linspace(0, 180, 3) * pint.get_application_registry().degree
    for entry in ("entry0000", "entry0001"):
        scan.save(path, data_path=entry, overwrite=True)
