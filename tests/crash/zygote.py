"""A process that forks children on request, so that each costs milliseconds and not an import.

It reads one JSON request per line and answers with the child's wait status:
negative for the signal that killed it, else its exit code. It has one thread
and never opens a file of HDF5 itself, so that to fork it is safe.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]


class Zygote:
    """The parent's side."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        )

    def run(self, **request: Any) -> int:
        """Run a workload in a child of its own until it ends; returns its status."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        assert status in (0, -signal.SIGKILL), f"{request}: {Path(request['notes'] + '.err').read_text()}"
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def serve() -> None:
    """The zygote's side."""
    from tests.crash import workloads

    answers = os.dup(1)
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _live(workloads.run, request)
        if "kill_after" in request:
            time.sleep(request["kill_after"])
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _live(run: Any, request: dict[str, Any]) -> None:
    code = 1
    try:
        run(request)
        code = 0
    except BaseException:
        Path(request["notes"] + ".err").write_text(traceback.format_exc())
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve()
