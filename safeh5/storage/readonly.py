"""Files as libhdf5 reads them through Python: what fails is raised, never read as zeros.

h5py takes an exception in the callback of a file that is open for reading out
of libhdf5 and raises it to whoever asked, whatever they asked for. (While
writing it must not: see `safeh5.storage.staging`.)
"""

from __future__ import annotations

import errno
import gc
from collections.abc import Callable
from typing import Any

from safeh5.storage.staging import StagingFile


class ReadOnlyFile(StagingFile):
    """A file object for h5py, to be read only.

    libhdf5 takes no lock on the file, and the file stays the same one whatever
    happens to its name.
    """

    @property
    def inode(self) -> int:
        """The inode number of the file, whatever its name is now."""
        return self._file.inode

    @property
    def modified(self) -> int:
        """When the file was last written, nanoseconds since the epoch."""
        return self._file.status().st_mtime_ns

    def _guard(self, action: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def without_collecting(argument: Any) -> Any:
            # The last reference to an h5py object, dropped here by the garbage
            # collector, would call libhdf5 in the middle of a call of libhdf5.
            collects = gc.isenabled()
            gc.disable()
            try:
                return action(argument)
            finally:
                if collects:
                    gc.enable()

        return without_collecting

    def _read_into(self, buffer: Any, offset: int) -> int:
        view = memoryview(buffer)
        known = max(0, min(len(view), self._end - offset))
        done = self._file.read_into(view[:known], offset)
        self._complete(view[:known], offset, done)
        # libhdf5 may read past the end of the file and means zeros by that.
        view[known:] = bytes(len(view) - known)
        return len(view)

    def _complete(self, view: memoryview, offset: int, done: int) -> None:
        """Put right what was read; `done` bytes of `view` are filled."""
        if done < len(view):
            raise OSError(
                errno.EIO, f"the file ends at byte {offset + done}, before byte {self._end}", self.path
            )

    def _write(self, buffer: Any) -> int:
        # libhdf5 writes nothing to a file it opened for reading.
        return len(memoryview(buffer))

    def _truncate(self, size: int) -> int:
        return size
