"""One life of a program that writes with a package: ``python -m peers.live NAME PATH HOW COMMIT``.

HOW is ``plain`` (with h5py), ``journaled`` (with `safeh5.File`), or ``killed``:
journaled, with SIGKILL in place of commit number COMMIT, counted from 0.
``plain`` with a COMMIT ends there in good order, which is what the killed one
must come back as. The last line of the output is the number of commits.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import h5py

_ALL = 1 << 30


def main(name: str, path: str, how: str, commit: str) -> None:
    """Live."""
    last = _ALL if commit == "all" else int(commit)
    counted = _count_plain(last) if how == "plain" else _count_journaled(last if how == "killed" else _ALL)
    from peers.scenarios import SCENARIOS

    scenario = SCENARIOS[name]
    os.chdir(Path(path).parent)
    if scenario.by_path:
        scenario.write(path)
    else:
        with h5py.File(path, "w") as file:
            scenario.write(file)
    print(f"\n{len(counted)}", flush=True)


def _count_plain(last: int) -> list[int]:
    counted: list[int] = []
    close = h5py.File.close

    def counting(self: h5py.File) -> None:
        writes = bool(self.id) and self.mode == "r+" and self.driver != "core"
        close(self)
        if writes:
            counted.append(1)
            if len(counted) > last:
                os._exit(0)

    h5py.File.close = counting
    return counted


def _count_journaled(last: int) -> list[int]:
    import safeh5
    from safeh5.session.session import Session

    safeh5.install()
    counted: list[int] = []
    commit = Session.commit

    def counting(self: Session) -> None:
        if len(counted) == last:
            _die()
        counted.append(1)
        commit(self)

    setattr(Session, "commit", counting)  # noqa: B010 - a method is replaced
    return counted


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit(1)


def _main(arguments: list[Any]) -> None:
    main(*arguments)


if __name__ == "__main__":
    _main(sys.argv[1:])
