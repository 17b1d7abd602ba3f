"""Where the demonstration's frames come from: a simulated microscope, or a dataset of a file.

Frame `i` is always the same, so that the result can be compared with the
source, in another process, element by element.
"""

from __future__ import annotations

import math
import os
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt

from safeh5.errors import InvalidOptionError, NotHDF5Error, TargetNotFoundError

SIMULATED_FRAMES = 400
FEW_FRAMES = 200
"""A dataset with fewer frames than this is taken pixel by pixel where it has the axes for it."""


class FrameSource(Protocol):
    """What can be acquired.

    Attributes
    ----------
    name : str
        What it is, for people.
    count : int
        How many frames there are.
    shape : tuple of int
        Shape of a frame.
    dtype : dtype
        Type of its elements.
    """

    name: str
    count: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def frame(self, index: int) -> npt.NDArray[Any]:
        """Frame `index`: C-contiguous, of `shape` and `dtype`."""
        ...


class SimulatedMicroscope:
    """Atoms of a lattice that drifts, seen by a noisy camera of 256 x 256 pixels."""

    shape: tuple[int, ...] = (256, 256)
    dtype: np.dtype[Any] = np.dtype("<u2")

    def __init__(self, count: int = SIMULATED_FRAMES) -> None:
        self.name = "a simulated microscope"
        self.count = count
        self._y, self._x = np.mgrid[0:256, 0:256] * (2 * math.pi / 16)

    def frame(self, index: int) -> npt.NDArray[Any]:
        """Frame `index`; see `FrameSource`."""
        random = np.random.default_rng(index)
        atoms = np.cos(self._x + index / 9) * np.cos(self._y + index / 13)
        counts = 1200 + 900 * atoms + random.normal(0, 60, self.shape)
        return np.ascontiguousarray(counts, dtype=self.dtype)


class FileSource:
    """Frames of the largest numeric dataset of a file that has two axes or more.

    Axis 0 counts the frames. A dataset of three axes or more with few frames
    is taken pixel by pixel: its first two axes count them.
    """

    def __init__(self, path: str | os.PathLike[str], count: int | None = None) -> None:
        if not os.path.exists(path):
            raise TargetNotFoundError("the source file is not there", path=path)
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise NotHDF5Error(f"the source file does not open: {error}", path=path) from error
        self._data = _largest(self._file, path)
        by_pixel = self._data.ndim > 2 and self._data.shape[0] < FEW_FRAMES
        self._axes = 2 if by_pixel else 1
        available = math.prod(self._data.shape[: self._axes])
        self.name = f"{os.fspath(path)}:{self._data.name} ({'pixels' if by_pixel else 'frames'})"
        self.count = available if count is None else min(count, available)
        self.shape = tuple(self._data.shape[self._axes :])
        self.dtype = np.dtype(self._data.dtype)

    def frame(self, index: int) -> npt.NDArray[Any]:
        """Frame `index`; see `FrameSource`."""
        place = np.unravel_index(index, self._data.shape[: self._axes])
        return np.ascontiguousarray(self._data[tuple(int(i) for i in place)])


def open_source(path: str | os.PathLike[str] | None, count: int | None) -> FrameSource:
    """The source at `path`, or the simulated microscope, with at most `count` frames."""
    if count is not None and count < 2:
        raise InvalidOptionError("the demonstration needs two frames at least")
    if path is None:
        return SimulatedMicroscope(count or SIMULATED_FRAMES)
    source = FileSource(path, count)
    if source.count < 2:
        raise InvalidOptionError("the demonstration needs a source of two frames at least", path=path)
    return source


def _largest(file: h5py.File, path: str | os.PathLike[str]) -> h5py.Dataset:
    found: list[h5py.Dataset] = []

    def look(_: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim >= 2 and item.dtype.kind in "biufc" and item.size:
            found.append(item)

    file.visititems(look)
    if not found:
        raise InvalidOptionError("the source file has no numeric dataset of two axes or more", path=path)
    return max(found, key=lambda data: int(data.nbytes))
