"""pycroscopy's classes for writing files, over safeh5 sessions.

``import safeh5.pycroscopy as px`` in the place of ``import pycroscopy as px``
is all that a program of pycroscopy's MicroData tutorial needs: what it writes
is journaled, and the file is in place, whole, when it is closed.

=====================================  ========================================
pycroscopy                             here
=====================================  ========================================
``MicroDataset``, ``MicroDataGroup``   the trees of `safeh5`
``VirtualDataset``, ``VirtualGroup``   the same under their later names
``ioHDF5(path).write_data(tree)``      one atomic batch of a session
``HDFwriter(path).write(tree)``        the same under its later name
``hdf.file.flush()``                   everything written is on disk
``hdf.file.close()``                   commit: the file is put in its place
=====================================  ========================================
"""

from safeh5.pycroscopy import io
from safeh5.pycroscopy.tree import (
    EmptyMicroDataset,
    ExpandableMicroDataset,
    MicroData,
    MicroDataGroup,
    MicroDataset,
    VirtualData,
    VirtualDataset,
    VirtualGroup,
)
from safeh5.pycroscopy.writer import HDFwriter, ioHDF5

__all__ = [
    "EmptyMicroDataset",
    "ExpandableMicroDataset",
    "HDFwriter",
    "MicroData",
    "MicroDataGroup",
    "MicroDataset",
    "VirtualData",
    "VirtualDataset",
    "VirtualGroup",
    "io",
    "ioHDF5",
]
