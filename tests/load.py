"""How busy the machine is: for tests of how long something takes, or of what gets done in some time."""

from __future__ import annotations

import time

_PROBE_SECONDS = 0.05


def slowness() -> float:
    """How many times longer work takes now than it would alone on the machine; 1 or more.

    A test that says "within a second" means a second of a machine that has nothing
    else to do: it allows a second times this.
    """
    begun, used = time.perf_counter(), time.thread_time()
    while time.thread_time() - used < _PROBE_SECONDS:
        pass
    return max(1.0, (time.perf_counter() - begun) / _PROBE_SECONDS)
