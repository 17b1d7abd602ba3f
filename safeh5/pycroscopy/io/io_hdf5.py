"""Where pycroscopy had `ioHDF5`."""

from safeh5.pycroscopy.writer import ioHDF5

__all__ = ["ioHDF5"]
