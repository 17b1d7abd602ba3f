"""What the target may hold: each state that a session went through, as an HDF5 file."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Final

from safeh5.applier import Place, Staging
from safeh5.operations import codec
from safeh5.operations.control import SessionRecord
from safeh5.storage import Storage
from safeh5.testing.compare import Difference, differences

ABSENT: Final = -1
"""The content of a target that is not there."""


class Contents:
    """Every content that is known, by number; equal bytes have one number.

    Parameters
    ----------
    directory : Path
        Where they are kept.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers: dict[bytes, int] = {}
        self._known: dict[tuple[bytes, int], bool] = {}
        directory.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        return len(self._numbers)

    def path(self, number: int) -> Path:
        """The file of a content."""
        return self._directory / f"{number}.h5"

    def add(self, data: bytes | None) -> int:
        """The number of a content, from its bytes; None is no file at all."""
        if data is None:
            return ABSENT
        digest = digest_of(data)
        number = self._numbers.setdefault(digest, len(self._numbers))
        if not self.path(number).exists():
            self.path(number).write_bytes(data)
        return number

    def adopt(self, number: int, data: bytes) -> None:
        """Give a content the number that it had before."""
        self._numbers[digest_of(data)] = number
        self.path(number).write_bytes(data)

    def is_one(self, found: Path, digest: bytes, number: int) -> bool:
        """Whether the file at `found`, with this digest, holds content `number`."""
        if self._numbers.get(digest) == number:
            return True
        key = digest, number
        if key not in self._known:
            known = number != ABSENT and self.path(number).exists()
            self._known[key] = known and not differences(found, self.path(number), limit=1)
        return self._known[key]

    def differences(self, found: Path, number: int) -> list[Difference]:
        """In what the file at `found` differs from a content."""
        return differences(found, self.path(number), limit=5)


def digest_of(data: bytes) -> bytes:
    """Tells contents apart."""
    return hashlib.blake2b(data, digest_size=16).digest()


class Shadow:
    """A session applied once more, to tell what it should hold after each batch.

    Parameters
    ----------
    contents : Contents
        Where the states go.
    directory : Path
        A scratch directory.
    record : SessionRecord
        How the session began.
    base : bytes or None
        The target then.
    """

    def __init__(
        self, contents: Contents, directory: Path, record: SessionRecord, base: bytes | None
    ) -> None:
        self._contents = contents
        directory.mkdir(parents=True)
        self._place = Place(Storage(), str(directory / "shadow.h5"), "shadow.h5", bytes(16))
        self._base, self._creation = directory / "base.h5", record.creation
        if record.copy and base is not None:
            self._base.write_bytes(base)
            self._staging = Staging.copy_of(self._place, str(self._base), record.creation)
        else:
            self._staging = Staging.create(self._place, record.creation)
        self._lsn = 0
        self.first = self.state()

    def apply(self, operation: bytes, values: bytes, lsn: int) -> None:
        """Do an operation of the open batch."""
        self._staging.applier.apply(codec.decode(operation), values, lsn=lsn)

    def state(self) -> int:
        """The content as it is now."""
        self._lsn += 1
        self._staging.checkpoint(self._lsn)
        shutil.copyfile(self._place.path, self._base)
        return self._contents.add(self._base.read_bytes())

    def back_to(self, number: int) -> None:
        """Be as in a state."""
        self._staging.drop()
        self._staging = Staging.copy_of(self._place, str(self._contents.path(number)), self._creation)

    def close(self) -> None:
        """Let go of the file."""
        self._staging.drop()
