"""What happens to files: bits that flip, blocks that are lost, repeated or come from elsewhere.

A `Damage` is data, so that it can be drawn, printed, kept and done again.
Applying one asserts that it took effect: a test of damage that changed
nothing would prove nothing.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final


class Kind(StrEnum):
    """What can happen to a file."""

    FLIP = "flip"
    """One bit is another."""
    TRUNCATE = "truncate"
    """The file ends at `offset`."""
    EXTEND = "extend"
    """Zeros follow its end, as after a power cut."""
    ZERO = "zero"
    """A block is zeros."""
    DUPLICATE = "duplicate"
    """A block stands at another place too."""
    SWAP = "swap"
    """Two blocks have changed places."""
    FOREIGN = "foreign"
    """A block of another file stands here."""
    STALE = "stale"
    """The whole file is that of another sidecar."""
    MISSING = "missing"
    """The file is gone."""
    EMPTY = "empty"
    """The file has no bytes."""
    RENAMED = "renamed"
    """The file has another name."""

    @property
    def needs_other(self) -> bool:
        """Whether another sidecar is needed."""
        return self in (Kind.FOREIGN, Kind.STALE)


class NoEffectError(AssertionError):
    """The damage would leave everything as it is."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that happens to one file of a directory.

    Attributes
    ----------
    kind : Kind
        What happens.
    file : str
        Name of the file in its directory.
    offset, length : int
        The block; cut off at the end of the file.
    second : int
        Offset of the other block, where there are two.
    bit : int
        Which bit flips.
    other : int
        Which of the other directories is used.
    """

    kind: Kind
    file: str
    offset: int = 0
    length: int = 1
    second: int = 0
    bit: int = 0
    other: int = 0

    def apply(self, directory: str | os.PathLike[str], others: Sequence[str | os.PathLike[str]] = ()) -> None:
        """Damage the file.

        Raises
        ------
        NoEffectError
            If the file would be as before; nothing was changed then.
        """
        path = Path(directory, self.file)
        if self.kind is Kind.MISSING:
            path.unlink()
        elif self.kind is Kind.RENAMED:
            path.rename(path.with_name(_renamed(self.file)))
        else:
            before = path.read_bytes()
            after = self._content(before, others)
            if after == before:
                raise NoEffectError(f"{self} changes nothing")
            path.write_bytes(after)
            assert path.read_bytes() == after

    def _content(self, data: bytes, others: Sequence[str | os.PathLike[str]]) -> bytes:
        start, stop = self.offset, min(self.offset + self.length, len(data))
        match self.kind:
            case Kind.FLIP:
                if not data:
                    return data
                return data[:start] + bytes([data[start] ^ 1 << self.bit]) + data[start + 1 :]
            case Kind.TRUNCATE:
                return data[:start]
            case Kind.EMPTY:
                return b""
            case Kind.EXTEND:
                return data + bytes(self.length)
            case Kind.ZERO:
                return data[:start] + bytes(stop - start) + data[stop:]
            case Kind.DUPLICATE:
                return _put(data, self.second, data[start:stop])
            case Kind.SWAP:
                return _put(_put(data, self.second, data[start:stop]), start, self._block(data, self.second))
            case _:
                return self._from_elsewhere(data, Path(others[self.other % len(others)], self.file))

    def _from_elsewhere(self, data: bytes, other: Path) -> bytes:
        if not other.exists():
            return data
        theirs = other.read_bytes()
        return (
            theirs if self.kind is Kind.STALE else _put(data, self.offset, self._block(theirs, self.second))
        )

    def _block(self, data: bytes, offset: int) -> bytes:
        return data[offset : offset + self.length]

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Damage:
        """What `to_dict` gave."""
        return cls(**{**fields, "kind": Kind(fields["kind"])})


def files_of(directory: str | os.PathLike[str]) -> dict[str, int]:
    """Name and size of every file of a directory."""
    return {path.name: path.stat().st_size for path in Path(directory).iterdir() if path.is_file()}


def draw_damage(chance: random.Random, sizes: Mapping[str, int], others: int = 0, weight: str = "") -> Damage:
    """A damage drawn without Hypothesis: for the long run, where speed counts and nothing is shrunk.

    Parameters
    ----------
    chance : random.Random
        Decides.
    sizes : mapping
        Name of each file to its size: see `files_of`.
    others : int
        How many other directories there are: see `Damage.apply`.
    weight : str
        Files whose names begin so are drawn twice as often as all others together.
    """
    preferred = sorted(name for name in sizes if weight and name.startswith(weight))
    file = chance.choice(preferred if preferred and chance.random() < 2 / 3 else sorted(sizes))
    kinds = [kind for kind in Kind if others or not kind.needs_other]
    # Whole files come in few ways, blocks in very many.
    kind = chance.choice([*kinds, Kind.FLIP, Kind.FLIP, Kind.ZERO, Kind.TRUNCATE, Kind.DUPLICATE, Kind.SWAP])
    size = max(1, sizes[file])
    aligned = chance.choice([1, 8, 8, 512])
    return Damage(
        kind=kind,
        file=file,
        offset=chance.randrange(size) // aligned * aligned,
        length=chance.choice([1, 8, 48, 64, 128, 512, 4096]),
        second=chance.randrange(size) // aligned * aligned,
        bit=chance.randrange(8),
        other=chance.randrange(others) if others else 0,
    )


OF_WHOLE_FILES: Final = (Kind.MISSING, Kind.RENAMED, Kind.EMPTY, Kind.STALE)
"""Damages of which there are few for each file."""


def whole_damages(files: Iterable[str], others: int = 0) -> list[Damage]:
    """Everything that may happen to these files as wholes: gone, renamed, empty, that of another session."""
    return [
        Damage(kind, file, other=other)
        for file in sorted(files)
        for kind in OF_WHOLE_FILES
        for other in range(others if kind is Kind.STALE else 1)
    ]


def copy_of(directory: str | os.PathLike[str], destination: str | os.PathLike[str]) -> Path:
    """A fresh copy of a directory, times of its files included; what stood there is gone."""
    shutil.rmtree(destination, ignore_errors=True)
    return Path(shutil.copytree(directory, destination, symlinks=True))


def _put(data: bytes, offset: int, block: bytes) -> bytes:
    """`data` with `block` at `offset`, no longer than before."""
    return (data[:offset] + block + data[offset + len(block) :])[: len(data)]


def _renamed(name: str) -> str:
    """Another name, close to `name`: the next number of a segment, else another suffix."""
    stem, dot, suffix = name.rpartition(".")
    digits = stem[-8:]
    if digits.isdigit():
        return f"{stem[:-8]}{int(digits) + 1000:08d}.{suffix}"
    return f"{stem or suffix}-renamed{dot}{suffix}"
