"""``python -m safeh5.testing.modes.faulty_life NTH KIND FOR_EVER OUTCOME ...``: a recorded life, a bad disk.

The NTH thing that it does to the disk in its directory fails, once or from
there on, before anything of it is done. What follows are the arguments of
`safeh5.testing.states.life`. At its end the process writes into the file OUTCOME
how many there were, and with which error the script ended.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safeh5.errors import SafeH5Error
from safeh5.testing.modes.fault_kinds import fault
from safeh5.testing.states import life
from safeh5.testing.states.recorder import Recorder, real


class _Disk:
    """Counts effects, and fails some."""

    def __init__(self, nth: int, kind: str, for_ever: bool) -> None:
        self.fault = fault(kind, nth, for_ever)
        self.count = 0
        self.marking = False
        self.error: dict[str, Any] = {}

    def install(self) -> None:
        """Fail what this process does to the disk; the marks that it leaves in its trace are not of that."""
        effect, mark, run_path = Recorder.effect, Recorder.mark, runpy.run_path
        disk = self

        @contextmanager
        def failing(recorder: Recorder) -> Iterator[None]:
            if not recorder._depth and not disk.marking:
                disk.count += 1
                if disk.fault.nth and disk.fault.strikes(disk.count):
                    raise disk.fault.failure(recorder.root)
            with effect(recorder):
                yield

        def marking(recorder: Recorder, name: str, **fields: Any) -> None:
            before, disk.marking = disk.marking, True
            try:
                mark(recorder, name, **fields)
            finally:
                disk.marking = before

        def watched(path: str, **options: Any) -> Any:
            try:
                return run_path(path, **options)
            except Exception as error:
                disk.error = {"error": repr(error), "ours": is_ours(error)}
                raise

        Recorder.effect = failing  # type: ignore[method-assign, assignment]
        Recorder.mark = marking  # type: ignore[method-assign, assignment]
        runpy.run_path = watched  # type: ignore[assignment]

    def tell(self, outcome: Path) -> None:
        """How it ended."""
        fd = real.open(outcome, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        real.write(fd, json.dumps({"count": self.count, **self.error}).encode())


def is_ours(error: BaseException | None) -> bool:
    """Whether this is one of our errors, or what a script made of one."""
    while error is not None:
        if isinstance(error, SafeH5Error | MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    disk = _Disk(int(sys.argv[1]), sys.argv[2], sys.argv[3] == "True")
    disk.install()
    atexit.register(disk.tell, Path(sys.argv[4]))
    life.main(*sys.argv[5:])
