"""``python -m peers``: h5py's test suite on `safeh5.File`; see README.md."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from peers import suite
from peers.suite import Exceptions, Part, Report


def main(arguments: list[str] | None = None) -> int:
    """Run the suite; 1 if anything was found that is not known."""
    given = _parser().parse_args(arguments)
    part = Part(given.share, given.seed, given.match)
    kills = Part(given.kills, given.seed, given.match) if given.kills > 0 else None
    started = time.monotonic()
    report = suite.run(part, kills=kills, workers=given.workers, exceptions=Exceptions.load())
    show = _as_json if given.json else _as_text
    print(show(report, time.monotonic() - started))
    return 0 if report.good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="peers", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="part of h5py's tests to run, 0 to 1")
    parser.add_argument("--kills", type=float, default=1.0, help="part of them to kill as well, 0 to 1")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--match", default="", metavar="EXPRESSION", help="as pytest's -k")
    parser.add_argument("--workers", type=int, default=0, help="processes, with pytest-xdist")
    parser.add_argument("--json", action="store_true", help="the whole report, for programs")
    return parser


def _as_json(report: Report, seconds: float) -> str:
    return json.dumps({"seconds": round(seconds, 1), "h5py": h5py.__version__, **vars(report)}, indent=1)


def _as_text(report: Report, seconds: float) -> str:
    lines = [
        f"h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}, NumPy {np.__version__},"
        f" Python {sys.version.split()[0]}: {seconds:.0f} s",
        f"  plain h5py:   {_counts(report.plain)}",
        f"  safeh5.File:  {_counts(report.journaled)}",
        f"  pass with plain h5py only, as listed: {len(report.listed)}",
    ]
    lines += [f"    {name}: {why}" for name, why in report.listed.items()]
    for form, (compared, differ) in report.files.items():
        lines.append(f"  files compared, {form}: {compared}, of which differ: {differ}")
    lines += [f"NOT LISTED: {line}" for line in report.unlisted]
    lines += [f"LISTED, AND NO EXCEPTION ANY MORE: {name}" for name in report.outlived]
    lines += [
        f"DIFFERS: {x['test']} ({x['form']}, {x['file']}): {x['differences']}" for x in report.differing
    ]
    return "\n".join([*lines, "ok" if report.good else "FAILED"])


def _counts(ended: Mapping[str, dict[str, Any]]) -> str:
    counts = Counter(line["outcome"] for line in ended.values())
    return ", ".join(f"{counts[what]} {what}" for what in sorted(counts)) or "nothing"


if __name__ == "__main__":
    sys.exit(main())
