"""NeXus and what synchrotrons write."""

from __future__ import annotations

from typing import Any

import numpy as np

from peers.scenarios.registry import scenario


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


@scenario("nexusformat.nexus", by_path=True, ignore_attrs=("file_time", "file_name"))
def nexusformat_tree(path: str) -> None:
    """A NeXus tree, saved and then changed in place."""
    from nexusformat.nexus import NXdata, NXentry, NXfield, NXroot, nxopen

    data = NXdata(NXfield(np.arange(20.0), name="y", units="counts"), NXfield(np.arange(20), name="x"))
    NXroot(NXentry(data, title="scan")).save(path, mode="w")
    with nxopen(path, "rw") as root:
        root["entry/sample"] = NXfield("gold")
        root["entry/data/y"].attrs["note"] = "changed"


@scenario("pandas", "scipp", "scippnexus", by_path=True)
def scippnexus_entry(path: str) -> None:
    """A NeXus entry by scippnexus."""
    import scipp
    import scippnexus

    with scippnexus.File(path, "w") as root:
        entry = root.create_class("entry", "NXentry")
        entry["x"] = scipp.arange("x", 4.0, unit="m")
