"""How far an applier is behind its journal."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

_SAMPLE_BYTES: Final = 1 << 20


class Lag:
    """Bytes written and bytes applied, sampled every MiB; used under its owner's lock."""

    def __init__(self) -> None:
        self._written = 0
        self._done = 0
        self._last = 0
        self._samples: deque[tuple[int, int, float]] = deque()

    def wrote(self, lsn: int, size: int) -> None:
        """The journal has grown to `lsn`, by `size` payload bytes."""
        self._written += size
        self._last = lsn
        last = self._samples[-1][1] if self._samples else self._done
        if self._written - last >= _SAMPLE_BYTES or not self._samples:
            self._samples.append((lsn, self._written, time.monotonic()))

    def applied(self, lsn: int) -> None:
        """Everything up to `lsn` is applied."""
        while self._samples and self._samples[0][0] <= lsn:
            self._done = self._samples.popleft()[1]
        if lsn >= self._last:
            self._done = self._written

    @property
    def bytes(self) -> int:
        """Payload bytes that wait."""
        return self._written - self._done

    @property
    def seconds(self) -> float:
        """How long the oldest of them has been waiting."""
        return time.monotonic() - self._samples[0][2] if self._samples else 0.0
