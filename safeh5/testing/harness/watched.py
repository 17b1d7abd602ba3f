"""A process that is watched: one that hangs or is killed by a signal is a failure like any other.

It tells what it begins and how that ended, as ``(kind, news)``:

``begin``
    What is being done from here on: enough to do it again.
``done``, ``fail``
    How it ended.
``end``
    There is nothing left to do.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from safeh5.testing.harness.threads import hear_signals

PATIENCE = 30.0
"""Seconds without news after which the process hangs."""

MEMORY = 1 << 30
"""Bytes of address space that the process may add to what it has when the cases begin."""

Order = TypeVar("Order")
News = dict[str, Any]


class Unfinished(Exception):
    """The process hung or died.

    Attributes
    ----------
    doing : dict
        What it was doing.
    """

    def __init__(self, problem: str, doing: News) -> None:
        super().__init__(problem)
        self.doing = doing


def watch(
    work: Callable[[Order, Connection], None],
    order: Order,
    note: Callable[[str, News], None],
    patience: float = PATIENCE,
    enough: Callable[[], bool] = bool,
) -> None:
    """Do `work` in a process of its own; `note` gets its news, and `enough` is asked after each.

    Raises
    ------
    Unfinished
        It hung, or ended without saying so; it is gone.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_undisturbed, args=(work, order, theirs))
    process.start()
    theirs.close()
    doing: News = {}
    try:
        while ours.poll(patience):
            kind, news = ours.recv()
            if kind == "end":
                return
            note(kind, news)
            if kind != "begin" and enough():
                return
            doing = news if kind == "begin" else {}
        problem = f"nothing was heard for {patience} s"
    except EOFError:
        process.join()
        problem = f"the process ended with {process.exitcode}"
    finally:
        process.kill()
        process.join()
    if not doing:
        raise AssertionError(f"between two cases: {problem}")
    raise Unfinished(problem, doing)


def _undisturbed(work: Callable[[Order, Connection], None], order: Order, news: Connection) -> None:
    """Ctrl-C reaches every process of a terminal; it is for the one that watches."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hear_signals()
    work(order, news)


def bound_memory(more: int = MEMORY) -> None:
    """In the process: no more address space than now and `more` bytes, where the system can do that."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        return
    limit = pages * os.sysconf("SC_PAGESIZE") + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
