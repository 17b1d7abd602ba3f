"""Where everything of one target lies: every path that safeh5 makes is made here.

::

    run.h5                                     the target
    run.h5.safeh5/                             sidecar of its session
        journal-00000001.log ...               journal segments
        staging.h5                             the file under construction
        staging.redo-0, staging.redo-1         its checkpoints
        staging.reader-4711-1a2b3c4d           somebody looks at one of them
        owner.json                             who writes
        reserve                                room set aside for ending the session
        target-before-salvage.h5               the old target, and
        salvaged.json                          what was lost: when a salvage replaced it
    run.h5.safeh5.lock                         OS lock
    .run.h5.safeh5.new-1a2b3c4d/               sidecar being made
    .run.h5.safeh5.trash-1a2b3c4d/             sidecar being deleted
    run.h5.safeh5-rolledback-<UTC>-1a2b3c4d/   kept aside by roll back
    run.h5.safeh5-damaged-<UTC>-1a2b3c4d/      kept aside by salvage
    run.h5.safeh5-torn-1a2b3c4d-<n>-<k>.bin    the torn end of segment n, from byte k

The eight hex digits are the first of the session id. A ``.new-`` directory has
never been a session and a ``.trash-`` directory is none any more: both are
garbage whenever nobody holds the lock.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from safeh5.errors import InvalidOptionError

SUFFIX: Final = ".safeh5"
LONGEST_SUFFIX: Final = len(".safeh5-rolledback-20240101T000000Z-1a2b3c4d")
"""How much longer than the target's name those of a session may be; a torn end has room for its numbers."""

_SEGMENT: Final = re.compile(r"journal-(\d{8,})\.log")
_ASIDE: Final = re.compile(r"(?P<target>.+)\.safeh5-(?:rolledback|damaged)-\d{8}T\d{6}Z-[0-9a-f]{8}")
_LEFTOVER: Final = re.compile(r"\.(?P<target>.+)\.safeh5\.(?:new|trash)-[0-9a-f]{8}")


class AsideKind(StrEnum):
    """Why a sidecar was kept aside."""

    ROLLED_BACK = "rolledback"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Names:
    """All paths that belong to one target.

    Attributes
    ----------
    target : str
        The HDF5 file, absolute, with symbolic links resolved.
    sidecar : str
        The directory of its session, or of a session that was kept aside.
    """

    target: str
    sidecar: str

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Names:
        """The names that belong to a target or to a sidecar.

        Parameters
        ----------
        path : path-like
            A target that exists or not; symbolic links are followed to the real
            file. Or an existing sidecar, one kept aside too (`sidecar` is then
            that directory), or a journal segment in one of them.

        Raises
        ------
        InvalidOptionError
            No file can have such a name.
        """
        if "\0" in os.fsdecode(path):
            raise InvalidOptionError(f"no file can have the name {os.fsdecode(path)!r}, with a NUL in it")
        real = os.path.realpath(os.fspath(path))
        if segment_number(real) is not None and _target_of(os.path.dirname(real)) is not None:
            real = os.path.dirname(real)
        target = _target_of(real)
        if target is not None and os.path.isdir(real):
            return cls(target, real)
        return cls(real, real + SUFFIX)

    @property
    def directory(self) -> str:
        """The directory that holds the target; sync it after a rename."""
        return os.path.dirname(self.target)

    @property
    def lock(self) -> str:
        """The lock file of the target."""
        return self.target + SUFFIX + ".lock"

    @property
    def staging(self) -> str:
        """The HDF5 file under construction."""
        return os.path.join(self.sidecar, "staging.h5")

    @property
    def owner(self) -> str:
        """The page that tells people who writes."""
        return os.path.join(self.sidecar, "owner.json")

    @property
    def reserve(self) -> str:
        """A file that holds nothing but room, for ending the session on a full disk."""
        return os.path.join(self.sidecar, "reserve")

    @property
    def old_target(self) -> str:
        """The target as it was before a salvage replaced it."""
        return os.path.join(self.sidecar, "target-before-salvage.h5")

    @property
    def salvage_note(self) -> str:
        """What a salvage brought back and what it lost."""
        return os.path.join(self.sidecar, "salvaged.json")

    @property
    def is_aside(self) -> bool:
        """Whether the sidecar is one that was kept aside."""
        return self.sidecar != self.target + SUFFIX

    def segment(self, number: int) -> str:
        """The path of journal segment `number`, counted from 1."""
        return os.path.join(self.sidecar, segment_name(number))

    def new_sidecar(self, session_id: bytes) -> str:
        """Where the sidecar of a session is made before it gets its name."""
        return self._hidden("new", session_id)

    def trash(self, session_id: bytes) -> str:
        """Where the sidecar of a session is deleted."""
        return self._hidden("trash", session_id)

    def aside(self, kind: AsideKind, session_id: bytes, when: datetime | None = None) -> str:
        """Where the sidecar of a session is kept, for people to look at.

        Parameters
        ----------
        kind : AsideKind
            Why it is kept.
        session_id : bytes
            All 16 bytes of the id.
        when : datetime, optional
            An aware time; now if left out.
        """
        stamp = (when or datetime.now(UTC)).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        return f"{self.target}{SUFFIX}-{kind.value}-{stamp}-{_id8(session_id)}"

    def torn(self, session_id: bytes, segment: int, offset: int) -> str:
        """Where the torn tail of journal segment `segment`, from byte `offset` on, is kept."""
        return f"{self.target}{SUFFIX}-torn-{_id8(session_id)}-{segment:08d}-{offset}.bin"

    def leftovers(self) -> tuple[str, ...]:
        """The ``.new-`` and ``.trash-`` directories of this target that exist."""
        return tuple(path for path in _entries(self.directory) if _leftover_target(path) == self.target)

    def _hidden(self, purpose: str, session_id: bytes) -> str:
        directory, name = os.path.split(self.target)
        return os.path.join(directory, f".{name}{SUFFIX}.{purpose}-{_id8(session_id)}")


def segment_name(number: int) -> str:
    """The file name of journal segment `number`."""
    return f"journal-{number:08d}.log"


def segment_number(path: str | os.PathLike[str]) -> int | None:
    """The number in the name of a journal segment; None for any other name."""
    match = _SEGMENT.fullmatch(os.path.basename(os.fspath(path)))
    if match is None:
        return None
    number = int(match[1])
    # One number has one name: "journal-000000001.log" is not ours.
    return number if number > 0 and segment_name(number) == match[0] else None


def find_sidecars(directory: str | os.PathLike[str], recursive: bool = True) -> Iterator[Names]:
    """Every target below `directory` that safeh5 left something for, in order of path.

    Yields one `Names` for each sidecar, one for each sidecar kept aside
    (`Names.is_aside`), and one for a target of which only a lock file or
    leftovers exist. Directories that may not be read are passed over, symbolic
    links to directories are not followed, sidecars are not descended into.
    """
    for parent, directories, files in os.walk(os.path.realpath(os.fspath(directory))):
        found = {names for name in [*directories, *files] if (names := _trace(parent, name))}
        yield from sorted(found, key=lambda names: (names.target, names.sidecar))
        if not recursive:
            return
        directories[:] = sorted(name for name in directories if _trace(parent, name) is None)


def _trace(parent: str, name: str) -> Names | None:
    """The target that an entry of a directory is the sidecar, the lock or a leftover of."""
    path = os.path.join(parent, name)
    if name.endswith(SUFFIX + ".lock"):
        path = path.removesuffix(".lock")
    elif target := _leftover_target(path):
        path = target + SUFFIX
    target = _target_of(path)
    return None if target is None else Names(target, path)


def _target_of(path: str) -> str | None:
    """The target whose sidecar has this path, by its name alone."""
    directory, name = os.path.split(path)
    if match := _ASIDE.fullmatch(name):
        return os.path.join(directory, match["target"])
    if name.endswith(SUFFIX) and name != SUFFIX:
        return os.path.join(directory, name[: -len(SUFFIX)])
    return None


def _leftover_target(path: str) -> str | None:
    """The target whose half-made or half-deleted sidecar has this path, by its name alone."""
    directory, name = os.path.split(path)
    match = _LEFTOVER.fullmatch(name)
    return os.path.join(directory, match["target"]) if match else None


def _entries(directory: str) -> list[str]:
    """The paths in a directory, sorted; none when it cannot be read."""
    try:
        return sorted(os.path.join(directory, name) for name in os.listdir(directory))
    except OSError:
        return []


def _id8(session_id: bytes) -> str:
    return session_id.hex()[:8]
