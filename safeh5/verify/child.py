"""The child of `isolate`: verifies one file and writes what it finds as JSON lines."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import IO, Any

import msgspec

from safeh5.events import ProgressEvent
from safeh5.options import VerifyLevel
from safeh5.verify.check import verify_here
from safeh5.verify.findings import Findings


class Speaker:
    """Writes each step, and before it what was found since the step before."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.found = Findings(self.step)
        self.said = [0, 0]

    def step(self, event: ProgressEvent, at: str) -> None:
        """Say what was found and where the reader goes next."""
        self.say_findings()
        counts = msgspec.to_builtins(self.found.counts)
        self.say({"step": msgspec.to_builtins(event), "at": at, "counts": counts})

    def say_findings(self) -> None:
        """Say what was found since this was last called."""
        for i, (word, findings) in enumerate(
            (("problem", self.found.problems), ("warning", self.found.warnings))
        ):
            for finding in findings[self.said[i] :]:
                self.say({word: msgspec.to_builtins(finding)})
            self.said[i] = len(findings)

    def say(self, message: dict[str, Any]) -> None:
        """Write one line."""
        # Unbuffered: what is said must be out before libhdf5 gets a chance to crash.
        self.stream.write(json.dumps(message).encode() + b"\n")


def main(path: str, level: str) -> None:
    """Verify `path` at `level`; the last line is the report."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Python handler would never run inside a hang
    # Filter plugins may print; the standard output is ours alone.
    with open(os.dup(1), "wb", buffering=0) as stream:
        os.dup2(2, 1)
        speaker = Speaker(stream)
        speaker.say({"report": verify_here(path, VerifyLevel(level), speaker.found).to_dict()})


if __name__ == "__main__":
    main(*sys.argv[1:])
