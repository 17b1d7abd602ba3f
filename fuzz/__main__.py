"""``python -m fuzz``: try to break safeh5; see README.md.

The modes are those of ``python -m safeh5.testing``; failures are kept in the
corpus here, which the test suite replays.
"""

from __future__ import annotations

import sys
from pathlib import Path

from safeh5.testing.harness.command import main as harness

CORPUS = Path(__file__).parent / "corpus"


def main(arguments: list[str] | None = None) -> int:
    """Run one mode, or replay what was kept; 1 if anything failed."""
    return harness(arguments, program="python -m fuzz", corpus=CORPUS)


if __name__ == "__main__":
    sys.exit(main())
