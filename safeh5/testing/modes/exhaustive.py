"""Every bit and every truncation of small journals.

Each is looked at as recovery looks at it (`looking`). One in `FULL` is recovered
and salvaged too, and some of these are shown by the command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from safeh5.testing.damage import Damage, Kind

FULL = 61
"""Of so many damages one is recovered for real."""


def every_damage(sidecar: Path) -> Iterator[Damage]:
    """Each bit of each segment, and each length that it may be cut to."""
    for path in sorted(sidecar.glob("journal-*.log")):
        size = path.stat().st_size
        for offset in range(size):
            for bit in range(8):
                yield Damage(Kind.FLIP, path.name, offset=offset, bit=bit)
        for offset in range(size):
            yield Damage(Kind.TRUNCATE, path.name, offset=offset)
