"""One life of an acquisition: goes on where the one before was killed, until a file says that it is enough.

``python -m safeh5.testing.modes.acquisition_life TARGET ENOUGH PAUSE``: prints ``at N`` when it goes on with
item N, then how many items are acknowledged, item by item. What an item is depends on its number alone.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import safeh5
from safeh5.options import KIB, MIB

STEP: Final = 100
"""Items between two trees."""
FRAME: Final = (32, 32)


def frame(number: int) -> npt.NDArray[np.uint16]:
    """What the camera sees as item `number`."""
    pixels = np.arange(FRAME[0] * FRAME[1], dtype=np.uint32) * 7 + number
    return (pixels % 65536).astype(np.uint16).reshape(FRAME)


def row(number: int) -> npt.NDArray[np.float64]:
    """What the encoder says at item `number`."""
    return np.array([number, number / 2, -number, 1.0])


def step(number: int) -> str:
    """The group that is written before item `number`."""
    return f"step_{number:08d}"


def main(target: str, enough: str, pause: str) -> None:
    """Acquire until there is a file at `enough`, then commit."""
    limits: dict[str, Any] = {"journal_limit": 8 * MIB, "segment_bytes": MIB, "checkpoint_bytes": 512 * KIB}
    with safeh5.open(target, resume=True, applier="process", lock_timeout=60.0, **limits) as session:
        frames = session.stream("/camera/frames", shape=FRAME, dtype="u2")
        rows = session.stream("/encoder/rows", shape=(4,), dtype="f8")
        if frames.length != rows.length:
            raise AssertionError(f"{frames.length} frames and {rows.length} rows of batches with one of each")
        _tell(f"at {frames.length}")
        while not os.path.exists(enough):
            number = frames.length
            if number % STEP == 0:
                attrs = {"machine_id": None, "timestamp": None, "number": number}
                session.write(safeh5.MicroDataGroup(step(number), attrs=attrs))
            with session.batch():
                frames.append(frame(number))
                rows.append(row(number))
            _tell(str(number + 1))
            time.sleep(float(pause))


def _tell(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
