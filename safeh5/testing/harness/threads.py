"""Work in threads that Ctrl-C and SIGTERM end in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def beside(works: Sequence[Callable[[], None]], stopped: threading.Event) -> Iterator[None]:
    """Do `works`, each in a thread, while the block is done; at its end they are waited for.

    Parameters
    ----------
    works : sequence of callable
        What is done; its first exception is raised at the end.
    stopped : threading.Event
        Set when the block or one of the works ends by an exception: they are to end soon.
    """
    with ThreadPoolExecutor(max(1, len(works))) as pool:
        try:
            # A signal while a thread is being started would make it one that nobody waits for.
            with _held_back():
                running = [pool.submit(work) for work in works]
            yield
            for future in running:
                future.result()
        finally:
            stopped.set()


@contextmanager
def _held_back() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def hear_signals() -> None:
    """In a process that was started by such a thread: signals are heard again."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
