"""One run of one competitor, in a process of its own: ``python -m bench.one COMPETITOR WORKLOAD SCALE``.

Runs in the current directory and prints a JSON object.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench import items, trees
from bench.workloads import WORKLOADS, Items, Tree, Workload


@dataclass
class Run:
    """What one run cost.

    Attributes
    ----------
    appended : float
        Seconds until the last item was durable as asked; for a tree, until it was.
    whole : float
        Seconds until the finished file.
    p50, p99, longest : float
        Of the calls that append, those that make durable included, in microseconds.
    cpu : float
        Seconds of processor time, children included.
    written : int
        Bytes given to the storage layer, children included.
    peak, growth : int
        Resident memory at its highest, above what the imports took; and how much of that
        came after the first quarter of the run. Bytes.
    """

    appended: float
    whole: float
    p50: float = 0.0
    p99: float = 0.0
    longest: float = 0.0
    cpu: float = 0.0
    written: int = 0
    peak: int = 0
    growth: int = 0


def main(competitor: str, workload: str, scale: str) -> None:
    """Run, and print what it cost."""
    work = WORKLOADS[workload].scaled(float(scale))
    _touch_memory(work)
    before = _Costs()
    run = _run_items(competitor, work, before) if isinstance(work, Items) else _run_tree(competitor, work)
    run.peak = _peak() - before.peak
    _wait_for_what_goes_on_beside()
    after = _Costs()
    run.cpu, run.written = after.cpu - before.cpu, after.written - before.written
    print(json.dumps(asdict(run)))


def _wait_for_what_goes_on_beside() -> None:
    """Freeing a journal is not waited for by a commit; its processor time counts all the same."""
    for thread in threading.enumerate():
        if thread.name == "safeh5 removal":
            thread.join()


def _run_items(competitor: str, work: Items, before: _Costs) -> Run:
    item, ticks = work.stamped(), np.empty(work.count + 1, np.int64)
    flat, clock, every, quarter = item.reshape(-1), time.perf_counter_ns, work.every, work.count // 4
    begin = clock()
    writer = items.WRITERS[competitor](work)
    if isinstance(writer, items.Raw):
        begin = clock()  # that the file is there is given
    append, durable, left, early = writer.append, writer.durable, every, 0
    ticks[0] = clock()
    for number in range(work.count):
        flat[0] = number
        append(item)
        left -= 1
        if not left:
            durable()
            left = every
        ticks[number + 1] = clock()
        if number == quarter:
            early = _peak()
    durable()
    appended = clock()
    writer.finish()
    whole = clock()
    _check_items(writer, work)
    times = np.diff(ticks) / 1e3
    return Run(
        appended=(appended - ticks[0]) / 1e9,
        whole=(whole - begin) / 1e9,
        p50=float(np.percentile(times, 50)),
        p99=float(np.percentile(times, 99)),
        longest=float(times.max()),
        growth=_peak() - early,
    )


def _check_items(writer: items.Writer, work: Items) -> None:
    """No result without the data: a sample, first and last included."""
    numbers = sorted({*range(0, work.count, max(1, work.count // 20)), work.count - 1})
    found = writer.first_elements(numbers)
    if found != [float(number) for number in numbers]:
        raise AssertionError(f"wrong items: {found} instead of {numbers}")


def _run_tree(competitor: str, work: Tree) -> Run:
    durable, whole = trees.WRITERS[competitor](work)
    trees.check(work)
    return Run(appended=durable, whole=whole)


class _Costs:
    """What this process and its ended children have used so far."""

    def __init__(self) -> None:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        self.cpu = sum(each.ru_utime + each.ru_stime for each in used)
        self.written = self._io()["write_bytes"]
        self.peak = _peak()

    @staticmethod
    def _io() -> dict[str, int]:
        with open("/proc/self/io", encoding="ascii") as file:
            return {name: int(value) for name, value in (line.split(": ") for line in file)}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _touch_memory(work: Workload) -> None:
    """Have the machine's memory ready, so that no competitor waits for pages another one had."""
    size = 2 * work.bytes + (256 << 20)
    # In a child: what it uses must not be this process's peak.
    if os.fork() == 0:
        with mmap.mmap(-1, size) as memory:
            for start in range(0, size, mmap.PAGESIZE):
                memory[start] = 1
        os._exit(0)
    os.wait()


if __name__ == "__main__":
    arguments: list[Any] = sys.argv[1:]
    main(*arguments)
