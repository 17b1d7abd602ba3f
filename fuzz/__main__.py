"""``python -m fuzz``: try to break safeh5; see README.md.

The modes are those of ``python -m safeh5.testing``; failures are kept in the
corpus here, which the test suite replays. ``python -m fuzz mutants`` plants bugs
in a copy of the package and says which mode finds them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fuzz.hunt import main as hunt
from safeh5.testing.harness.command import main as harness

CORPUS = Path(__file__).parent / "corpus"
MUTANTS = "`python -m fuzz mutants -h` is about planted bugs: which mode finds which. "


def main(arguments: list[str] | None = None) -> int:
    """Run one mode, or replay what was kept; 1 if anything failed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["mutants"]:
        return hunt(arguments[1:])
    return harness(arguments, program="python -m fuzz", corpus=CORPUS, besides=MUTANTS)


if __name__ == "__main__":
    sys.exit(main())
