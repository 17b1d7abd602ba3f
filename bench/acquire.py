#!/usr/bin/env python3
"""What safety costs: whole acquisitions by safeh5 and by its competitors, side by side.

    python -m bench.acquire [--workload NAME ...] [--only COMPETITOR ...]
                            [--rounds N] [--scale S] [--directory DIR] [--json]

Every run is a process of its own. In each round every competitor runs once, in
a new order; the figures are medians over the rounds, the ratios are medians of
the ratios within a round. See docs/reference/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __package__ in (None, ""):
    sys.path.insert(0, str(ROOT))

from bench import items, trees  # noqa: E402
from bench.child import figures_of  # noqa: E402
from bench.workloads import MIB, WORKLOADS, Items, Workload  # noqa: E402

Figures = dict[str, float]


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for and print tables, or JSON."""
    asked = _parser().parse_args(arguments)
    results = {}
    for name in asked.workload or WORKLOADS:
        work = WORKLOADS[name].scaled(asked.scale)
        rounds = _rounds(name, work, asked)
        results[name] = _summary(rounds)
        if not asked.json:
            _print(work, results[name])
    if asked.json:
        print(json.dumps(results, indent=2))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.acquire", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS))
    parser.add_argument("--only", action="append", help="competitors; raw and h5py always run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the items; 1 is what is published")
    parser.add_argument("--directory", type=Path, help="where to write; on the disk that is to be measured")
    parser.add_argument("--json", action="store_true")
    return parser


def _rounds(name: str, work: Workload, asked: argparse.Namespace) -> list[dict[str, Figures]]:
    known = list(items.WRITERS if isinstance(work, Items) else trees.WRITERS)
    chosen = [each for each in known if not asked.only or each in ("raw", "h5py", *asked.only)]
    rounds = []
    for number in range(asked.rounds):
        order = random.Random(number).sample(chosen, len(chosen))
        rounds.append({each: _one(each, name, asked) for each in order})
        print(f"{name}: round {number + 1} of {asked.rounds}", file=sys.stderr)
    return rounds


def _one(competitor: str, workload: str, asked: argparse.Namespace) -> Figures:
    return figures_of("bench.one", [competitor, workload, str(asked.scale)], asked.directory)


def _summary(rounds: list[dict[str, Figures]]) -> dict[str, Figures]:
    """Medians over the rounds, and of the ratios to raw and to h5py within each round."""
    summary = {}
    for competitor in rounds[0]:
        figures: Figures = {
            field: statistics.median(each[competitor][field] for each in rounds)
            for field in rounds[0][competitor]
        }
        for field in ("appended", "whole"):
            for other in ("raw", "h5py"):
                ratios = [each[competitor][field] / each[other]["whole"] for each in rounds]
                if field == "appended":
                    ratios = [each[competitor][field] / each[other][field] for each in rounds]
                figures[f"{field} by {other}"] = statistics.median(ratios)
        figures["durable by h5py whole"] = statistics.median(
            each[competitor]["appended"] / each["h5py"]["whole"] for each in rounds
        )
        summary[competitor] = figures
    return summary


def _print(work: Workload, summary: dict[str, Figures]) -> None:
    print(f"\n## {work.name}: {work.text}\n")
    is_tree = not isinstance(work, Items)
    head = ["", "durable s" if is_tree else "append s", "x raw", "whole s", "x raw", "x h5py"]
    head += ["durable / h5py"] if is_tree else ["p50 us", "p99 us", "max ms"]
    _row([*head, "CPU s", "MiB written", "peak MiB", "grown MiB"])
    _row(["---", *["---:"] * (len(head) + 3)])
    for competitor in sorted(summary, key=lambda each: list(_known(work)).index(each)):
        figures = summary[competitor]
        cells: list[Any] = [competitor, f"{figures['appended']:.2f}", f"{figures['appended by raw']:.2f}"]
        cells += [
            f"{figures['whole']:.2f}",
            f"{figures['whole by raw']:.2f}",
            f"{figures['whole by h5py']:.2f}",
        ]
        if is_tree:
            cells.append(f"{figures['durable by h5py whole']:.2f}")
        else:
            cells += [f"{figures['p50']:.1f}", f"{figures['p99']:.1f}", f"{figures['longest'] / 1e3:.1f}"]
        cells += [f"{figures['cpu']:.2f}", round(figures["written"] / MIB)]
        _row([*cells, round(figures["peak"] / MIB), round(figures["growth"] / MIB)])


def _known(work: Workload) -> Iterable[str]:
    return items.WRITERS if isinstance(work, Items) else trees.WRITERS


def _row(cells: list[Any]) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
