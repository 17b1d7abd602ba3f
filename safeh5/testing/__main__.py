"""``python -m safeh5.testing``: try to break safeh5, or what is built on it."""

from __future__ import annotations

import sys

from safeh5.testing.harness.command import main

if __name__ == "__main__":
    sys.exit(main())
