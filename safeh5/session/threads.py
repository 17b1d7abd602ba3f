"""Threads of a session: started so that who waits for them is safe, and gone when the interpreter goes.

A daemon thread that still runs when the interpreter ends is stopped wherever it
next needs Python's lock. If it then has h5py's lock, or waits for it, nobody gets
that lock any more, and the last h5py object that the interpreter lets go of waits
for ever. So the end of the program waits for those that were told to end.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final

from safeh5.storage.interrupts import Uncollected

_END_SECONDS: Final = 5.0
"""How long the end of the program waits; one of these may be busy with a disk that does not answer."""

_ending: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def start(run: Callable[[], object], name: str) -> threading.Thread:
    """Run something in a thread that does not keep the program from ending."""
    thread = threading.Thread(target=run, name=name, daemon=True)
    # The caller waits until it runs, and may hold h5py's lock.
    with Uncollected():
        thread.start()
    return thread


def told_to_end(thread: threading.Thread) -> None:
    """Have the end of the program wait for a thread that is about to end."""
    _ending.add(thread)


def _at_exit() -> None:
    """Runs after the handlers registered later, which end the sessions that are open, or seal them."""
    deadline = time.monotonic() + _END_SECONDS
    for thread in list(_ending):
        thread.join(max(0.0, deadline - time.monotonic()))


atexit.register(_at_exit)
