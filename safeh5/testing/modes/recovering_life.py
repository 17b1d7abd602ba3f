"""``... life ... module safeh5.testing.modes.recovering_life TARGET``: recovers, when it is let, and ends."""

from __future__ import annotations

import sys
from contextlib import suppress

import safeh5
from safeh5.errors import NothingToRecoverError, WaitError

if __name__ == "__main__":
    with suppress(NothingToRecoverError, WaitError):
        safeh5.recover(sys.argv[1])
