"""Every branch of the code that commits, checkpoints and recovers is taken by a test, or excused by a reason.

    python tests/coverage_gate.py build/coverage/report.json

``coverage-exceptions.toml`` beside this file names what no test takes, by the
text of the line (numbers would be wrong after the next edit), and why. The exit
code is 1 if anything else is left out, or if an excuse is for a line that is
not there any more.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
EXCEPTIONS = Path(__file__).with_name("coverage-exceptions.toml")


class Excuse(NamedTuple):
    """Lines of one text that no test runs, or from which no test goes every way: so many of them."""

    file: str
    code: str
    reason: str
    times: int


class Left(NamedTuple):
    """Something that no test takes: a line, or the branch from it to another (0 for none)."""

    file: str
    line: int
    to: int
    code: str

    def __str__(self) -> str:
        way = f" never goes to {'the end' if self.to < 0 else f'line {self.to}'}" if self.to else ""
        return f"{self.file}:{self.line}{way}: {self.code}"


def excuses(path: Path) -> list[Excuse]:
    """What is excused."""
    found = tomllib.loads(path.read_text(encoding="utf-8")).get("exception", [])
    return [Excuse(entry["file"], entry["code"], entry["reason"], entry.get("times", 1)) for entry in found]


def left_out(report: dict[str, Any], root: Path) -> Iterator[Left]:
    """What a report of coverage.py says is not taken."""
    for file, facts in sorted(report["files"].items()):
        lines = (root / file).read_text(encoding="utf-8").splitlines()
        missing = set(facts["missing_lines"])
        for line in sorted(missing):
            yield Left(file, line, 0, lines[line - 1].strip())
        for line, to in facts.get("missing_branches", []):
            # What follows a line that never runs is not taken either; the line says it all.
            if line not in missing and to not in missing:
                yield Left(file, line, to, lines[line - 1].strip())


def stale(given: list[Excuse], root: Path) -> list[Excuse]:
    """Excuses for lines that are not there any more."""
    return [excuse for excuse in given if not _stands(excuse, root)]


def _stands(excuse: Excuse, root: Path) -> bool:
    path = root / excuse.file
    return path.exists() and excuse.code in map(str.strip, path.read_text(encoding="utf-8").splitlines())


def main(report: Path, root: Path = ROOT, exceptions: Path = EXCEPTIONS) -> int:
    """Print what is neither taken nor excused; the exit code."""
    given = excuses(exceptions)
    excused = {(excuse.file, excuse.code): excuse.times for excuse in given}
    found = json.loads(report.read_text(encoding="utf-8"))
    left = list(left_out(found, root))
    lines = Counter((file, code) for file, _, code in {(one.file, one.line, one.code) for one in left})
    wrong = [str(one) for one in left if lines[one.file, one.code] > excused.get((one.file, one.code), 0)]
    wrong += [
        f"{old.file}: the excuse is for a line that is not there: {old.code}" for old in stale(given, root)
    ]
    totals = found["totals"]
    print(
        f"{totals['covered_branches']} of {totals['num_branches']} branches and {totals['covered_lines']} of"
        f" {totals['num_statements']} lines in {len(found['files'])} files; {len(given)} excuses"
    )
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
