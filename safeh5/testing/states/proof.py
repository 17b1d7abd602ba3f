"""The recorder proves itself: the whole trace, done again, gives the real tree, byte for byte."""

from __future__ import annotations

from pathlib import Path

import h5py

from safeh5.testing.states.contents import Contents
from safeh5.testing.states.disk import Disk, Tree
from safeh5.testing.states.history import History, ProofError, targets_of
from safeh5.testing.states.workload import Recording


def prove(recording: Recording) -> list[str]:
    """Raise unless the trace gives the real tree; returns what else lies in the directory.

    Files that belong to no target of safeh5 need not be in the trace: a script
    may write them with anything.

    Raises
    ------
    ProofError
        It does not, with the first difference.
    """
    disk = Disk(recording.start)
    for event in recording.events:
        try:
            disk.apply(event)
        except KeyError as error:
            raise ProofError(f"{event}: {error} was made by something that was not recorded") from error
    return _compare(disk.build({}), recording.end, set(targets_of(recording.events)))


def _compare(made: Tree, real: Tree, targets: set[str]) -> list[str]:
    others = []
    for path in sorted({*made.files, *real.files}):
        ours = made.files.get(path)
        there = real.files.get(path)
        if ours is not None and there is not None and ours[:3] == there[:3]:
            continue
        if not _belongs(path, targets):
            others.append(path)
            continue
        what = "is not there" if there is None else "was not recorded" if ours is None else "differs"
        raise ProofError(f"the trace does not tell all that was done: {path} {what}")
    if set(made.directories) != set(real.directories):
        raise ProofError(f"the trace gives {made.directories}, and there are {real.directories}")
    return others


def _belongs(path: str, targets: set[str]) -> bool:
    return ".safeh5" in path or path in targets


def prove_states(recording: Recording, contents: Contents, scratch: Path) -> None:
    """Look at every content that may be found, with plain h5py, and raise unless it is whole."""
    disk = Disk(recording.start)
    history = History(contents, scratch, recording.events, disk)
    for event in recording.events:
        disk.apply(event)
        history.follow(event, disk)
    if recording.workload.look is None:
        return
    for number in range(len(contents)):
        with h5py.File(contents.path(number), "r") as file:
            recording.workload.look(file)
