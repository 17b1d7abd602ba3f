"""The file objects below open HDF5 files, for whoever reads values past HDF5."""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

from h5py import h5f

from safeh5.storage.staging import StagingFile

_files: WeakValueDictionary[Any, StagingFile] = WeakValueDictionary()


def note(file_id: h5f.FileID, below: StagingFile) -> None:
    """`below` is what HDF5 reads and writes `file_id` by."""
    _files[file_id.fileno] = below


def below_of(file_id: h5f.FileID) -> StagingFile | None:
    """What HDF5 reads and writes a file by; None for a file of another driver."""
    return _files.get(file_id.fileno)
