"""Verifying in a child process, so that a crash of libhdf5 is a finding.

The child runs ``python -m safeh5.verify.child`` and writes one JSON object per
line to its standard output::

    {"step": {...}, "at": "/a/b", "counts": {...}}    before each object and block
    {"problem": {...}} / {"warning": {...}}           as they are found
    {"report": {...}}                                 last

What was said before a crash therefore counts; the last ``at`` names the object.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

import msgspec

from safeh5.events import Progress, ProgressEvent
from safeh5.options import VerifyLevel
from safeh5.storage.children import environment
from safeh5.verify.findings import Counts, Findings, make_report
from safeh5.verify.report import Problem, ProblemKind, VerifyReport


def verify_in_child(
    path: str, level: VerifyLevel, progress: Progress, stall_seconds: float | None
) -> VerifyReport:
    """`verify_here` in a process of its own."""
    command = [sys.executable, "-m", "safeh5.verify.child", path, level.value]
    return supervise(command, path, level, progress, stall_seconds)


def supervise(
    command: Sequence[str], path: str, level: VerifyLevel, progress: Progress, stall_seconds: float | None
) -> VerifyReport:
    """Run `command`, follow what it says, and make a report however it ends."""
    found, listener = Findings(lambda event, _: progress(event)), _Listener()
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environment()
        )
        assert child.stdout is not None
        try:
            for message in _messages(child.stdout, stall_seconds):
                report = listener.hear(message, found)
                if report is not None:
                    return report
            found.problem(listener.at, ProblemKind.CRASH, _death(child.wait(), errors))
        except queue.Empty:
            detail = f"reading made no progress for {stall_seconds:g} s and was given up"
            found.problem(listener.at, ProblemKind.STALL, detail)
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
    return make_report(path, level, found)


class _Listener:
    """Keeps what the child has said, and where it was when it said it."""

    def __init__(self) -> None:
        self.at = "/"

    def hear(self, message: dict[str, Any], found: Findings) -> VerifyReport | None:
        if "step" in message:
            self.at = message["at"]
            found.counts = Counts(**message["counts"])
            found.tell(ProgressEvent(**message["step"]), self.at)
        elif "problem" in message:
            found.problems.append(msgspec.convert(message["problem"], Problem))
        elif "warning" in message:
            found.warnings.append(msgspec.convert(message["warning"], Problem))
        elif "report" in message:
            return msgspec.convert(message["report"], VerifyReport)
        return None


def _messages(stream: IO[bytes], stall_seconds: float | None) -> Iterator[dict[str, Any]]:
    """The child's lines as they come; raises `queue.Empty` when none comes in time.

    A thread reads them, because a pipe cannot be waited for with a bound on
    every system.
    """
    lines: queue.Queue[bytes | None] = queue.Queue(maxsize=1024)
    threading.Thread(target=_pump, args=(stream, lines), daemon=True).start()
    while (line := lines.get(timeout=stall_seconds)) is not None:
        try:
            yield json.loads(line)
        except ValueError:
            return  # a line torn by the child's death


def _pump(stream: Iterable[bytes], lines: queue.Queue[bytes | None]) -> None:
    try:
        for line in stream:
            lines.put(line)
    except (OSError, ValueError):
        pass  # closed under us: the parent has stopped listening
    lines.put(None)


def _death(code: int, errors: IO[bytes]) -> str:
    """How the child ended, with the last line that it wrote to its error stream."""
    if code < 0:
        names = {member.value: member.name for member in signal.Signals}
        how = f"libhdf5 crashed while reading ({names.get(-code, f'signal {-code}')})"
    else:
        how = f"the reading process ended with code {code}"
    errors.seek(0)
    words = errors.read().decode("utf-8", "replace").strip().splitlines()
    return f"{how}: {words[-1]}" if words else how
