"""What a session must be worth: every state at the end of a batch, and which of them are promised."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import h5py

from safeh5.testing.compare import Difference, differences

IGNORED = frozenset({"order of links"})
"""Links of a tree may be made in another order than the oracle makes them."""


@dataclass
class History:
    """One session's states, in order; each is the content of a plain HDF5 file.

    Attributes
    ----------
    base : bytes or None
        The target, byte for byte, when the session began; None when there was none.
    before : bytes
        The oracle's file then.
    states : list of bytes
        The oracle's file after each batch; the first is before any.
    lsns : list of int
        The last record of each.
    durable : int
        Index of the last state that was promised to survive.
    perhaps_committed, perhaps_rolled_back : bool
        Whether a commit, or a roll back, was cut off.
    """

    base: bytes | None
    before: bytes
    states: list[bytes]
    lsns: list[int] = field(default_factory=lambda: [0])
    durable: int = 0
    perhaps_committed: bool = False
    perhaps_rolled_back: bool = False

    def add(self, state: bytes, lsn: int) -> None:
        """A batch has ended, and the call returned."""
        self.states.append(state)
        self.lsns.append(lsn)

    def promise(self, durable_lsn: int) -> None:
        """Everything up to this record was promised."""
        self.durable = max(i for i, lsn in enumerate(self.lsns) if lsn <= durable_lsn or i <= self.durable)

    def cut(self, index: int) -> None:
        """The session goes on from a state; what came after it never was."""
        self.states = self.states[: index + 1]
        self.durable = index
        self.lsns = [0] * len(self.states)

    @property
    def may_be_base(self) -> bool:
        """Whether the target may stay as it was after a recovery by replay."""
        return self.durable == 0 or self.perhaps_rolled_back


class Oracle:
    """A file that only plain h5py writes.

    Parameters
    ----------
    directory : Path
        Where it may make files.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "oracle.h5"
        self._other = directory / "state.h5"

    def restore(self, state: bytes) -> None:
        """Be as in a state."""
        self.path.write_bytes(state)

    def empty(self) -> bytes:
        """The state of a file without anything."""
        with h5py.File(self.path, "w"):
            pass
        return self.path.read_bytes()

    @contextmanager
    def changing(self) -> Iterator[h5py.File]:
        """The file, open for writing."""
        with h5py.File(self.path, "r+") as file:
            yield file

    def change(self, change: Callable[[h5py.File], object]) -> bytes:
        """Change the file; returns the new state."""
        with self.changing() as file:
            change(file)
        return self.path.read_bytes()

    def differences(self, found: h5py.File | str | os.PathLike[str], state: bytes) -> list[Difference]:
        """In what a file differs from a state."""
        self._other.write_bytes(state)
        return differences(found, self._other, ignore=IGNORED)

    def find(self, found: h5py.File | str | os.PathLike[str], history: History) -> int:
        """Which of the states a file may be in it is in; the last one if there are several.

        Raises
        ------
        AssertionError
            If it is none of them, with the differences from the nearest.
        """
        nearest: list[Difference] | None = None
        for index in reversed(range(history.durable, len(history.states))):
            unlike = self.differences(found, history.states[index])
            if not unlike:
                return index
            if nearest is None or len(unlike) < len(nearest):
                nearest = unlike
        lines = "\n".join(f"  {difference}" for difference in nearest or ())
        raise AssertionError(
            f"it is none of the states {history.durable} to {len(history.states) - 1};"
            f" from the nearest it differs in\n{lines}"
        )


def content(path: Path) -> bytes | None:
    """The bytes of a file; None when there is none."""
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def snapshot(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, by relative path."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}
