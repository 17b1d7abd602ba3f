"""A process that forks children on request, so that each costs milliseconds and not an import.

It reads one JSON request per line and answers with the child's wait status:
negative for the signal that killed it, else its exit code. It has one thread
and never opens a file of HDF5 itself, so that to fork it is safe.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self


class Zygote:
    """The parent's side.

    Parameters
    ----------
    module : str
        Importable name of a module with a dict ``WORKLOADS`` of workloads (see
        `safeh5.testing.crash`) by name.
    """

    def __init__(self, module: str) -> None:
        # The child finds modules where this process does, the current directory included.
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "safeh5.testing.zygote", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
        )

    def run(self, **request: Any) -> int:
        """Run a workload in a child of its own until it ends; returns its status.

        Raises
        ------
        AssertionError
            If it neither ended well nor was killed, with its traceback.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        if status not in (0, -signal.SIGKILL):
            words = Path(request["notes"] + ".err")
            raise AssertionError(
                f"{request} ended with {status}: {words.read_text() if words.exists() else ''}"
            )
        return status

    def stop(self, then: Callable[[], None], **request: Any) -> None:
        """Run a workload in a child, stop it after ``stop_after`` seconds, do `then`, and kill it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "stopped\n"
        try:
            then()
        finally:
            self._process.stdin.write("kill\n")
            self._process.stdin.flush()
            self._process.stdout.readline()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def serve(module: str) -> None:
    """The zygote's side."""
    from safeh5.testing import crash

    workloads = importlib.import_module(module).WORKLOADS
    # What they warn of is done to them on purpose.
    logging.getLogger("safeh5").setLevel(logging.CRITICAL + 1)
    answers = os.dup(1)
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _live(lambda request=request: crash.live(workloads, request), request)
        if "stop_after" in request:
            _stop(pid, request["stop_after"], answers)
        if "kill_after" in request:
            time.sleep(request["kill_after"])
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _stop(pid: int, seconds: float, answers: int) -> None:
    """Stop a child, say so, and kill it when told to: it does nothing more in between."""
    time.sleep(seconds)
    os.kill(pid, signal.SIGSTOP)
    # It may have ended already; whoever waits for its status is to find it still.
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    os.write(answers, b"stopped\n")
    sys.stdin.readline()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _live(run: Any, request: dict[str, Any]) -> None:
    code = 1
    try:
        run()
        code = 0
    except BaseException:
        Path(request["notes"] + ".err").write_text(traceback.format_exc())
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
