"""Payloads in memory that is not ours, which another thread may change while they are written.

A checksum taken from such memory need not be that of the bytes which the system then copies into the
file, even when the memory looks the same before and after. So no checksum is: a payload of up to
`COPIED` bytes is copied first, and a larger one is summed where nobody else writes, in the file. See
docs/decisions/0024.
"""

from __future__ import annotations

import errno
from typing import Final

import numpy as np

from safeh5.journal.checksum import extend, padding
from safeh5.storage.handles import AppendFile

COPIED: Final = 256 << 10
"""A payload of so many bytes is copied in less time than it takes to read it back."""
_WINDOW: Final = 256 << 10
"""What the processor's own cache holds: there it is read to, and summed."""


def copied(payload: memoryview) -> tuple[bytes, int]:
    """A copy of a payload with its padding, and the checksum of both."""
    body = payload.tobytes() + padding(len(payload))
    return body, extend(0, body)


class ReadBack:
    """Sums what was written to a file; not for several threads at once."""

    def __init__(self) -> None:
        self._window = np.empty(0, np.uint8)

    def checksum(self, file: AppendFile, start: int, end: int) -> int:
        """The CRC32C of the bytes from `start` to `end` as they are in the file.

        Raises
        ------
        OSError
            They cannot be read, or somebody has cut them off.
        """
        if not len(self._window):
            self._window = np.empty(_WINDOW, np.uint8)
        crc, window = 0, self._window
        while start < end:
            part = window[: end - start]
            if file.read_into(part.data, start) < len(part):
                raise OSError(errno.EIO, "the end of the file is not there any more", file.path)
            crc = extend(crc, part)
            start += len(part)
        return crc
