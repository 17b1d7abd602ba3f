"""CRC32C (Castagnoli), the one checksum of the journal.

The C library under `google_crc32c` takes `bytes` and arrays but no writable
memoryview; `crc32c` takes any buffer and copies none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import google_crc32c
import numpy as np
import numpy.typing as npt

extend: Final[Callable[[int, bytes | npt.NDArray[np.uint8]], int]] = google_crc32c.extend
"""``extend(crc, data)``: the CRC32C of what gave `crc` followed by `data` (`bytes` or `uint8` array)."""

_ZEROS: Final = tuple(bytes(n) for n in range(8))


def crc32c(view: memoryview, seed: int = 0) -> int:
    """CRC32C of the bytes in `view`, a C-contiguous view of any kind."""
    if view.nbytes == 0:
        return seed
    return extend(seed, np.frombuffer(view, dtype=np.uint8))


def padding(length: int) -> bytes:
    """The zero bytes that bring `length` to a multiple of 8."""
    return _ZEROS[-length % 8]


def padded(length: int) -> int:
    """`length`, rounded up to a multiple of 8."""
    return length + 7 & -8
