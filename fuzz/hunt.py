"""``python -m fuzz mutants``: plants each bug in turn and says which mode finds it, and how fast."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from fuzz.mutants import ROOT, Mutant, copy_package, mutants
from safeh5.testing.harness.places import quick_directory
from safeh5.testing.harness.registry import MODES

BUDGET = 60.0
"""Seconds that a mode may take to find a bug."""

PAGE = ROOT / "fuzz" / "README.md"
HEADING = "| mutant | what it breaks | found by |"
"""Where the table of all of them is kept, and how it begins."""

GRACE = 60.0
"""Seconds more, for a mode to start and to end."""


@dataclass(frozen=True)
class Catch:
    """What a mode made of a mutant.

    Attributes
    ----------
    mutant, mode : str
        Their names.
    caught : bool
        Whether the mode failed.
    seconds : float
        How long that took, start of the process included.
    cases : int or None
        How many cases were tried by then; None when the mode did not come to say so.
    """

    mutant: str
    mode: str
    caught: bool
    seconds: float
    cases: int | None = None


def main(arguments: list[str] | None = None) -> int:
    """Hunt the mutants that are asked for; 1 if one gets away."""
    given = _parser().parse_args(arguments)
    chosen = [m for m in mutants() if not given.names or m.name in given.names]
    unknown = set(given.names) - {m.name for m in chosen}
    if unknown:
        sys.stderr.write(f"python -m fuzz mutants: there is no mutant {', '.join(sorted(unknown))}\n")
        return 2
    found: dict[str, list[Catch]] = {}
    for mutant in chosen:
        found[mutant.name] = list(
            hunt(mutant, given.modes or mutant.modes, given.seed, given.seconds, given.all)
        )
        if not given.json:
            print(row(mutant, found[mutant.name]), flush=True)
        if given.write:
            write_row(mutant, found[mutant.name])
    if given.json:
        print(json.dumps([asdict(catch) for catches in found.values() for catch in catches]))
    escaped = [name for name, catches in found.items() if not any(catch.caught for catch in catches)]
    if not given.json:
        print(
            f"\n{len(chosen) - len(escaped)} of {len(chosen)} caught"
            + "".join(f"\nescaped: {n}" for n in escaped)
        )
    return 1 if escaped else 0


def hunt(
    mutant: Mutant, modes: Iterable[str], seed: int, seconds: float = BUDGET, every: bool = False
) -> Iterator[Catch]:
    """Run modes against a copy of the package with the bug in it, up to the first that finds it."""
    with tempfile.TemporaryDirectory(prefix="mutant-", dir=quick_directory()) as path:
        root = copy_package(Path(path))
        mutant.apply(root)
        for mode in modes:
            if mode not in MODES:
                continue
            catch = _run(mutant, mode, seed, seconds, root)
            yield catch
            if catch.caught and not every:
                return


def _run(mutant: Mutant, mode: str, seed: int, seconds: float, root: Path) -> Catch:
    """One mode; it stops at its first failure."""
    command = [sys.executable, "-m", "safeh5.testing", mode, "--seconds", str(seconds), "--seed", str(seed)]
    command += ["--json", "--first", "--no-shrink", "--corpus", str(root / "corpus")]
    if mode in mutant.only:
        command += ["--only", *mutant.only[mode]]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    started = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=seconds + GRACE
        )
        # An exit code alone proves nothing: a mode that cannot even begin has one too.
        found = json.loads(done.stdout)
        caught, cases = bool(found["failures"]), int(found["cases"])
    except (subprocess.TimeoutExpired, ValueError):
        caught, cases = False, None
    return Catch(mutant.name, mode, caught, round(time.monotonic() - started, 1), cases)


def row(mutant: Mutant, catches: list[Catch]) -> str:
    """One line of the table in Markdown."""
    tried = ", ".join(_words(catch) for catch in catches) or "no mode was run"
    return f"| {mutant.name} | {mutant.breaks} | {tried} |"


def write_row(mutant: Mutant, catches: list[Catch], page: Path = PAGE) -> None:
    """Put its line into the table of a page, in the place of the one that it has, or at the end."""
    lines = page.read_text(encoding="utf-8").splitlines()
    begin = lines.index(HEADING) + 2
    rows = {line.split("|")[1].strip(): line for line in itertools.takewhile(bool, lines[begin:])}
    end = begin + len(rows)
    rows[mutant.name] = row(mutant, catches)
    known = [other.name for other in mutants()]
    lines[begin:end] = [rows[name] for name in known if name in rows]
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _words(catch: Catch) -> str:
    if not catch.caught:
        why = "it did not come to an end" if catch.cases is None else f"{catch.cases} cases"
        return f"not by {catch.mode} ({catch.seconds:.0f} s, {why})"
    cases = "" if catch.cases is None else f", {catch.cases} cases"
    return f"**{catch.mode}** in {catch.seconds:.0f} s{cases}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fuzz mutants", description="Plant bugs and find them.")
    parser.add_argument("names", nargs="*", help="which mutants; all of them if none is named")
    parser.add_argument("--modes", nargs="+", choices=list(MODES), help="instead of those of each mutant")
    parser.add_argument("--all", action="store_true", help="try every mode, not only up to the first catch")
    parser.add_argument("--seconds", type=float, default=BUDGET, help="for each mode (default: 60)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the lines into the table of fuzz/README.md")
    parser.add_argument("--json", action="store_true")
    return parser
