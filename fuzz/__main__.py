"""``python -m fuzz``: try to break safeh5; see README.md."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import safeh5
from fuzz import corpus, damage, kill, model
from fuzz.corpus import CORPUS, Result
from fuzz.places import quick_directory

MODES: dict[str, Any] = {"model": model, "kill": kill, "damage": damage}


def main(arguments: list[str] | None = None) -> int:
    """Run one mode, or replay what was kept; 1 if anything failed."""
    given = _parser().parse_args(arguments)
    if given.mode == "replay":
        return max((_replay(path) for path in given.files or corpus.kept()), default=0)
    seed = random.SystemRandom().randrange(1 << 31) if given.seed is None else given.seed
    seconds = 60.0 if given.seconds is None and given.cases is None else given.seconds
    result = run(given.mode, seed, seconds=seconds, cases=given.cases, kept=given.corpus)
    _show(result, as_json=given.json)
    return 1 if result.failures else 0


def run(mode: str, seed: int, *, seconds: float | None, cases: int | None, kept: Path = CORPUS) -> Result:
    """Run one mode.

    Parameters
    ----------
    mode : str
        One of `MODES`.
    seed : int
        What is tried depends on nothing else.
    seconds, cases : float, int, optional
        When to stop.
    kept : Path
        Where failures are kept.
    """
    result, started = Result(mode, seed), time.monotonic()
    MODES[mode].run(result, seconds=seconds, cases=cases, corpus=kept)
    result.seconds = time.monotonic() - started
    return result


def replay(path: Path) -> None:
    """Do a kept case again; raises what it raised, if it still does."""
    with tempfile.TemporaryDirectory(dir=quick_directory()) as directory:
        place = Path(directory).resolve()
        case = corpus.load(path, place)
        MODES[case["mode"]].replay(case, place)


def _replay(path: Path) -> int:
    try:
        replay(path)
    except Exception:
        traceback.print_exc()
        print(f"{path}: FAILED")
        return 1
    print(f"{path}: ok")
    return 0


def _show(result: Result, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"safeh5": safeh5.__version__, **result.to_dict()}))
        return
    print(f"{result.mode}, seed {result.seed}: {result.cases} cases in {result.seconds:.1f} s")
    for what, count in sorted(result.figures.items()):
        print(f"  {count:8}  {what}")
    for failure in result.failures:
        print(f"\n{failure.what}\nagain: {failure.command}")
    print(f"{len(result.failures)} failures")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Try to break safeh5.")
    modes = parser.add_subparsers(dest="mode", required=True)
    for name, module in MODES.items():
        mode = modes.add_parser(name, help=(module.__doc__ or "").splitlines()[0])
        mode.add_argument("--seconds", type=float, help="stop after so long (60 if nothing is given)")
        mode.add_argument("--cases", type=int, help="stop after so many cases")
        mode.add_argument("--seed", type=int, help="what is tried depends on it alone; else at random")
        mode.add_argument("--json", action="store_true", help="the result as one JSON object")
        mode.add_argument("--corpus", type=Path, default=CORPUS, help="where failures are kept")
    again = modes.add_parser("replay", help="Do kept cases again: the given ones, or all.")
    again.add_argument("files", type=Path, nargs="*")
    return parser


if __name__ == "__main__":
    sys.exit(main())
