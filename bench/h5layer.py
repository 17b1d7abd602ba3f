#!/usr/bin/env python3
"""What journaling costs a program that uses h5py: the same code by `h5py.File` and by `safeh5.File`.

h5py puts nothing on the disk by itself, so a third is measured beside them: h5py with an fsync after
each flush, which is durable where the program flushes, and not journaled. And where a program writes large
amounts, the floor: its bytes alone, once, in a plain file that is on the disk at each flush. Whatever keeps
a second, durable copy of what is written takes that long at least.

    python -m bench.h5layer [--workload NAME ...] [--rounds N] [--scale S] [--directory DIR] [--json]

Every run is a process of its own; the two take turns. The file is flushed
where the program would, and closed at the end, which for safeh5 is a commit;
the figures are medians of the ratios within a round. See docs/reference/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
if __package__ in (None, ""):
    sys.path.insert(0, str(ROOT))

import h5py  # noqa: E402
import numpy as np  # noqa: E402

from bench.child import figures_of  # noqa: E402
from safeh5 import File  # noqa: E402

Seconds = dict[str, float]
Work = Callable[[Any, float], Seconds]
FRAME: Final = (1024, 1024)


class Clock:
    """Notes how long the parts of a run take."""

    def __init__(self) -> None:
        self.parts: Seconds = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a block as the part `name`."""
        begin = time.perf_counter()
        yield
        self.parts[name] = time.perf_counter() - begin


def datasets(kind: Any, scale: float) -> Seconds:
    """10,000 small datasets, each with two attributes, in 100 groups."""
    clock, values = Clock(), np.random.default_rng(1).random((100, 64))
    with clock.part("whole"), kind("run.h5", "w") as file, clock.part("work"):
        for number in range(round(10_000 * scale)):
            group = file.require_group(f"group_{number // 100:03d}")
            dataset = group.create_dataset(f"data_{number:05d}", data=values[number % 100])
            dataset.attrs["units"] = "V"
            dataset.attrs["number"] = number
        file.flush()
    with h5py.File("run.h5", "r") as file:
        last = round(10_000 * scale) - 1
        found = file[f"group_{last // 100:03d}/data_{last:05d}"]
        assert found.attrs["number"] == last and np.array_equal(found[:], values[last % 100])
    return clock.parts


def attributes(kind: Any, scale: float) -> Seconds:
    """100,000 writes of attributes of 100 groups: made once, then changed."""
    clock, count = Clock(), round(100_000 * scale)
    with clock.part("whole"), kind("run.h5", "w") as file, clock.part("work"):
        groups = [file.create_group(f"group_{number}") for number in range(100)]
        for number in range(count):
            groups[number % 100].attrs[f"name_{number // 100 % 10}"] = number
        file.flush()
    with h5py.File("run.h5", "r") as file:
        last = count - 1
        assert file[f"group_{last % 100}"].attrs[f"name_{last // 100 % 10}"] == last
    return clock.parts


def chunks(kind: Any, scale: float) -> Seconds:
    """2 GiB in chunks of 2 MiB, flushed every 64 MiB."""
    clock, count = Clock(), max(64, round(1024 * scale))
    frame = np.random.default_rng(1).integers(0, 4000, FRAME).astype("u2")
    with clock.part("whole"), kind("run.h5", "w") as file, clock.part("work"):
        data = file.create_dataset("frames", (count, *FRAME), "u2", chunks=(1, *FRAME))
        for number in range(count):
            frame[0, 0] = number
            data[number] = frame
            if number % 32 == 31:
                file.flush()
    if kind is not Bytes:
        with h5py.File("run.h5", "r") as file:
            assert np.array_equal(file["frames"][:, 0, 0], np.arange(count))
    return clock.parts


def rows(kind: Any, scale: float) -> Seconds:
    """1,000,000 rows of 8 doubles, appended in blocks of 1,000."""
    clock, blocks = Clock(), round(1000 * scale)
    block = np.random.default_rng(1).random((1000, 8))
    with clock.part("whole"), kind("run.h5", "w") as file, clock.part("work"):
        data = file.create_dataset("rows", (0, 8), "f8", maxshape=(None, 8), chunks=(1000, 8))
        for number in range(blocks):
            block[0, 0] = number
            data.resize(data.shape[0] + 1000, axis=0)
            data[-1000:] = block
        file.flush()
    if kind is not Bytes:
        with h5py.File("run.h5", "r") as file:
            assert np.array_equal(file["rows"][::1000, 0], np.arange(blocks))
    return clock.parts


def reading(kind: Any, scale: float) -> Seconds:
    """Reading through a file that is open for writing: flushed, and with a change that is not flushed."""
    clock, values = Clock(), np.random.default_rng(1).random((200, 1000))
    with kind("run.h5", "w") as file:
        for number in range(200):
            file.create_dataset(f"g{number % 10}/d{number}", data=values[number]).attrs["number"] = number
        large = file.create_dataset("large", (64, *FRAME), "u2", chunks=(1, *FRAME))
        large[:] = 7
        for when in ("", ", not flushed"):
            file.flush()
            if when:
                file.attrs["changed"] = True
            for _ in range(2):  # the first round warms the caches
                _read(file, clock, when, max(1, round(20 * scale)))
    return clock.parts


def _read(file: Any, clock: Clock, when: str, times: int) -> None:
    """Values, slices and attributes of small datasets; the tree; whole chunks."""
    with clock.part("small" + when):
        total = 0.0
        for _ in range(times):
            for number in range(200):
                dataset = file[f"g{number % 10}/d{number}"]
                total += dataset[5] + dataset[10:20].sum() + dataset.attrs["number"]
    with clock.part("walk" + when):
        for _ in range(times):
            file.visititems(lambda _name, _object: None)
    large = file["large"]
    with clock.part("large" + when):
        for number in range(64):
            assert large[number][0, 0] == 7


WORKLOADS: Final[dict[str, Work]] = {
    work.__name__: work for work in (datasets, attributes, chunks, rows, reading)
}


class Synced(h5py.File):  # type: ignore[misc]
    """`h5py.File` with what h5py leaves out: an fsync when it is flushed, and when it is closed.

    What it has written survives a power cut after a flush, and nothing else is
    promised: between two flushes a kill may still cost the file.
    """

    def flush(self) -> None:
        """Flush, and put it on the disk."""
        super().flush()
        os.fsync(self.id.get_vfd_handle())

    def close(self) -> None:
        """Close, with the file on the disk."""
        if self.id:
            self.flush()
        super().close()


class Bytes:
    """The floor: what is written to a dataset, end to end in a plain file, synced at each flush."""

    def __init__(self, _name: str, _mode: str) -> None:
        self.shape: tuple[int, ...] = ()
        self._file = os.open("bytes.raw", os.O_CREAT | os.O_EXCL | os.O_WRONLY)

    def create_dataset(self, _name: str, shape: tuple[int, ...], *_: Any, **__: Any) -> Bytes:
        """Take what is written to it."""
        self.shape = shape
        return self

    def resize(self, size: int, axis: int) -> None:
        """Note the new extent."""
        self.shape = (*self.shape[:axis], size, *self.shape[axis + 1 :])

    def __setitem__(self, _args: Any, values: Any) -> None:
        os.write(self._file, values)

    def flush(self) -> None:
        """Put it on the disk."""
        os.fdatasync(self._file)

    def __enter__(self) -> Bytes:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        os.close(self._file)


KINDS: Final[dict[str, Any]] = {"h5py": h5py.File, "synced": Synced, "safeh5": File}
FLOORS: Final[dict[str, Any]] = {"bytes": Bytes}
LARGE: Final = ("chunks", "rows")
"""Workloads that write so much that the disk may be what they wait for: with a floor."""


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for and print ratios, or JSON."""
    parser = argparse.ArgumentParser(prog="bench.h5layer", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", choices=[*KINDS, *FLOORS], help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.one:
        kind = {**KINDS, **FLOORS}[asked.one]
        print(json.dumps(WORKLOADS[asked.workload[0]](kind, asked.scale)))
        return 0
    results = {name: _compare(name, asked) for name in asked.workload or WORKLOADS}
    print(json.dumps(results, indent=2) if asked.json else _tables(results))
    return 0


def _compare(name: str, asked: argparse.Namespace) -> dict[str, Seconds]:
    """Medians of both, and of their ratio, for every part of one workload."""
    kinds, rounds = [*KINDS, *(FLOORS if name in LARGE else ())], []
    for number in range(asked.rounds):
        order = random.Random(number).sample(kinds, len(kinds))
        rounds.append({kind: _one(kind, name, asked) for kind in order})
        print(f"{name}: round {number + 1} of {asked.rounds}", file=sys.stderr)
    return {
        part: _medians([{kind: each[kind][part] for kind in kinds} for each in rounds])
        for part in rounds[0]["h5py"]
    }


def _medians(rounds: list[Seconds]) -> Seconds:
    """Of the seconds of each kind, and of the ratios within a round."""
    found = {kind: statistics.median(each[kind] for each in rounds) for kind in rounds[0]}
    ratios = {
        "ratio": ("safeh5", "h5py"),
        "ratio to synced": ("safeh5", "synced"),
        "floor": ("bytes", "h5py"),
    }
    for name, (one, other) in ratios.items():
        if one in found:
            found[name] = statistics.median(each[one] / each[other] for each in rounds)
    return found


def _one(kind: str, workload: str, asked: argparse.Namespace) -> Seconds:
    arguments = ["--one", kind, "--workload", workload, "--scale", str(asked.scale)]
    return figures_of("bench.h5layer", arguments, asked.directory)


def _tables(results: dict[str, dict[str, Seconds]]) -> str:
    lines = [
        "| workload | part | h5py s | h5py with fsync s | safeh5 s | times h5py | times h5py with fsync "
        "| floor, times h5py |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, parts in results.items():
        for part, each in parts.items():
            floor = f"{each['floor']:.2f}" if "floor" in each else ""
            lines.append(
                f"| {name} | {part} | {each['h5py']:.3f} | {each['synced']:.3f} | {each['safeh5']:.3f} "
                f"| {each['ratio']:.2f} | {each['ratio to synced']:.2f} | {floor} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
