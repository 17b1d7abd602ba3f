"""HDF5 files that are written through a `StagingFile`."""

from __future__ import annotations

import h5py
import numpy as np

from safeh5.storage import StagingFile

MODES = {"w": StagingFile.create, "r+": StagingFile.open}


def hdf5(staging: StagingFile, mode: str, **kwargs: object) -> h5py.File:
    return h5py.File(repr(staging), mode, driver="fileobj", fileobj=staging, **kwargs)


def fill(file: h5py.File) -> None:
    """Work of every kind: raw data, chunks, filters, metadata, deletion."""
    for number in range(4):
        group = file.create_group(f"g{number}")
        group.attrs["x"] = "some text" * number
        group["d"] = np.arange(1000)
        chunked = group.create_dataset(
            "c", (8, 64, 64), "f4", chunks=(1, 64, 64), maxshape=(None, 64, 64),
            compression="gzip" if number % 2 else None, fletcher32=number == 3,
        )  # fmt: skip
        for index in range(4):
            chunked[index] = np.full((64, 64), index)
        chunked.resize((12, 64, 64))
        group["strings"] = np.array(["a" * number, "b"], dtype=h5py.string_dtype())
        if number == 2:
            del file["g1/d"]
            file.flush()
            assert chunked[2, 0, 0] in (2, 0)  # zeros, once the file is latched
