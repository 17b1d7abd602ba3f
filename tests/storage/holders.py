"""Processes that hold the lock of a target, and do with it as they are told."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import IO

import pytest

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes and locks")


class Child:
    """A process that runs `script` with `lock = TargetLock(path)` and says lines to us."""

    def __init__(self, path: str, script: str) -> None:
        head = f"""
            import os, signal, sys, time
            from safeh5.storage.lock import TargetLock
            path = {path!r}
            lock = TargetLock(path)
        """
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def hear(self) -> str:
        return _pipe(self.process.stdout).readline().strip()

    def tell(self) -> None:
        _pipe(self.process.stdin).write("\n")
        _pipe(self.process.stdin).flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            _pipe(pipe).close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
