"""pycroscopy's ``io`` package, as far as programs that write files use it."""

from safeh5.pycroscopy.io import hdf_utils, hdf_writer, io_hdf5, microdata, virtual_data

__all__ = ["hdf_utils", "hdf_writer", "io_hdf5", "microdata", "virtual_data"]
