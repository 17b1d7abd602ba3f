"""``python -m safeh5.testing.modes.deadly_life NTH COUNT ...``: a recorded process that dies at an effect.

For machines without strace: right before the NTH thing that it does to the disk
in its directory (or to its trace) the process kills itself. What follows are
the arguments of `safeh5.testing.states.life`. A process that lives writes into
the file COUNT how many there were.
"""

from __future__ import annotations

import atexit
import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safeh5.testing.crash import die
from safeh5.testing.states import life
from safeh5.testing.states.recorder import Recorder


def install(nth: int, count: Path) -> None:
    """Let this process die before its `nth` effect."""
    numbers, effect, seen = itertools.count(1), Recorder.effect, [0]

    @contextmanager
    def deadly(recorder: Recorder) -> Iterator[None]:
        if not recorder._depth:
            seen[0] = next(numbers)
            if seen[0] == nth:
                die()
        with effect(recorder):
            yield

    Recorder.effect = deadly  # type: ignore[method-assign, assignment]
    atexit.register(lambda: count.write_text(str(seen[0])))


if __name__ == "__main__":
    install(int(sys.argv[1]), Path(sys.argv[2]))
    life.main(*sys.argv[3:])
