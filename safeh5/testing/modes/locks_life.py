"""``python -m safeh5.testing.modes.locks_life OUTCOME GATE WITNESS ...``: a recorded life among others.

It says in the file OUTCOME that it is there, waits until GATE is open, and tells in
the end with which error it ended. As long as it holds the lock of a target it also
holds a lock of POSIX on a file in WITNESS; finding that taken, it leaves a file
there that says so. What follows are the arguments of `safeh5.testing.states.life`.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

from safeh5.storage.lock import TargetLock
from safeh5.testing.modes.faulty_life import is_ours
from safeh5.testing.states import life
from safeh5.testing.states.recorder import real


class Witness:
    """Watches the locks that this process takes.

    Parameters
    ----------
    directory : Path
        Where the files of the other kind of lock are.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._held: dict[str, int] = {}

    def install(self) -> None:
        """Take the other lock after each lock, and give it back before."""
        acquire, release, witness = TargetLock.acquire, TargetLock.release, self

        def acquired(lock: TargetLock, timeout: float = 0.0) -> None:
            acquire(lock, timeout)
            witness.take(lock.path)

        def released(lock: TargetLock, remove: bool) -> None:
            if lock._identity is not None and os.getpid() == lock._pid:
                witness.give_back(lock.path)
            release(lock, remove)

        TargetLock.acquire = acquired  # type: ignore[method-assign, assignment]
        TargetLock.release = released  # type: ignore[method-assign, assignment]

    def take(self, path: str) -> None:
        """Another one who has it is a second holder."""
        name = hashlib.blake2b(os.path.realpath(path).encode(), digest_size=8).hexdigest()
        fd = real.open(str(self.directory / name), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(real.open(str(self.directory / f"two-{name}"), os.O_CREAT | os.O_WRONLY, 0o666))
        self._held[path] = fd

    def give_back(self, path: str) -> None:
        """The lock is about to be released."""
        fd = self._held.pop(path, None)
        if fd is not None:
            os.close(fd)


class Outcome:
    """Tells how the script ended."""

    def __init__(self, path: Path) -> None:
        self.path, self.told = path, dict[str, Any]()

    def install(self) -> None:
        """Note the error that a script or module ends with."""
        for name in ("run_path", "run_module"):
            setattr(runpy, name, self._watched(getattr(runpy, name)))
        atexit.register(self.tell)

    def _watched(self, function: Any) -> Any:
        def call(*given: Any, **options: Any) -> Any:
            try:
                return function(*given, **options)
            except Exception as error:
                self.told = {"error": repr(error), "ours": is_ours(error)}
                raise

        return call

    def tell(self) -> None:
        """Write it down."""
        fd = real.open(str(self.path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        real.write(fd, json.dumps(self.told).encode() if self.told else b"")
        os.close(fd)


def main(outcome: str, gate: str, witness: str, *rest: str) -> None:
    """Wait for the others, then live."""
    told = Outcome(Path(outcome))
    told.install()
    Witness(Path(witness)).install()
    told.tell()
    with open(gate) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    life.main(*rest)


if __name__ == "__main__":
    main(*sys.argv[1:])
