"""The options of a session, each a small named type.

Nothing here does anything: names, defaults and their meaning stand in one
place, and every layer below may import them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from numbers import Integral, Real
from typing import Literal, TypeVar

from safeh5.errors import InvalidOptionError

KIB = 1024
MIB = 1024 * KIB

SNAPSHOT_BYTES = 256 * MIB
"""How much old content is kept for one live view, unless it asks for another limit."""


class Durability(StrEnum):
    """When a call that changes something may return."""

    RECORD = "record"
    """On disk when the call returns."""
    INTERVAL = "interval"
    """On disk within a bounded time after the call returned."""
    FLUSH = "flush"
    """On disk at ``sync()``, ``flush()``, ``suspend()`` or ``commit()``."""


class OnError(StrEnum):
    """What a ``with`` block does with its session when an exception leaves it."""

    SUSPEND = "suspend"
    ROLLBACK = "rollback"
    COMMIT = "commit"


class VerifyLevel(StrEnum):
    """How much of the new file is read again before it replaces the target."""

    NONE = "none"
    STRUCTURE = "structure"
    """Open it and walk every group, dataset header and attribute."""
    FULL = "full"
    """Read every element too, through every filter."""


E = TypeVar("E", bound=StrEnum)


class ApplierKind(StrEnum):
    """Where operations are applied to the staging file."""

    AUTO = "auto"
    """In the caller; beside once a stream has become a long one and nobody uses `Session.file`."""
    INLINE = "inline"
    """In the caller, when the file is needed: what is written can be read at once."""
    PROCESS = "process"
    """In a process beside, from the journal: the caller only waits for the journal."""


Mode = Literal["x", "w", "w-", "a", "r+"]
MODES: tuple[str, ...] = ("x", "w", "w-", "a", "r+")

Libver = Literal["earliest", "v108", "v110", "v112", "v114", "v200", "latest"]


def choose(kind: type[E], value: E | str, name: str) -> E:
    """`value` as a member of `kind`, or an error that lists the members."""
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(repr(member.value) for member in kind)
        raise InvalidOptionError(f"{name}={value!r} is not one of {allowed}") from None


def require_number(value: object, name: str, least: int = 0) -> None:
    """Refuse what is no number, or below `least`; "not a number" is neither."""
    if isinstance(value, bool) or not isinstance(value, Real) or not float(value) >= least:
        raise InvalidOptionError(f"{name}={value!r} is not a number of {least} or more")


def is_count(value: object) -> bool:
    """Whether this is a whole number: one of NumPy's too, but no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def require_choice(value: object, name: str, allowed: tuple[object, ...]) -> None:
    """Refuse what is none of `allowed`; 1 is not True here."""
    if not any(value is each for each in allowed):
        raise InvalidOptionError(f"{name}={value!r} is not one of {', '.join(map(repr, allowed))}")


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """How the journal is laid out.

    Attributes
    ----------
    durability : Durability
        When a call that changes something returns.
    interval_ms : int
        The bound of ``"interval"``, in milliseconds.
    segment_bytes : int
        A segment that has reached this size is closed and the next one begun.
    frame_bytes : int
        Payloads are cut into frames of about this size when data are read lazily.
    journal_limit : int
        When the journal has grown beyond this size, the session checkpoints
        and removes the segments that recovery does not need any more. It is
        looked at between batches, so the journal may exceed it by one batch.
    """

    durability: Durability = Durability.RECORD
    interval_ms: int = 100
    segment_bytes: int = 256 * MIB
    frame_bytes: int = 8 * MIB
    journal_limit: int = 1024 * MIB

    def __post_init__(self) -> None:
        require_number(self.interval_ms, "interval_ms")
        require_number(self.segment_bytes, "segment_bytes", 1)
        require_number(self.frame_bytes, "frame_bytes", 1)
        require_number(self.journal_limit, "journal_limit", 1)

    @property
    def segment_size(self) -> int:
        """`segment_bytes`, but never more than a quarter of `journal_limit`."""
        return min(self.segment_bytes, max(1, self.journal_limit // 4))


@dataclass(frozen=True, slots=True)
class CheckpointOptions:
    """When a session brings the staging file up to date by itself.

    Attributes
    ----------
    every_bytes : int
        After this many payload bytes were applied since the last checkpoint.
    every_seconds : float
        After this time, if anything was applied since.
    held_bytes : int
        When dirty pages and HDF5's metadata cache together hold more memory.
    """

    every_bytes: int = 256 * MIB
    every_seconds: float = 60.0
    held_bytes: int = 64 * MIB

    def __post_init__(self) -> None:
        require_number(self.every_bytes, "checkpoint_bytes")
        require_number(self.every_seconds, "checkpoint_seconds")


@dataclass(frozen=True, slots=True)
class BacklogOptions:
    """How far the applier may fall behind; no matter when it is inline.

    Attributes
    ----------
    limit_bytes : int
        Payload bytes that may wait in the journal to be applied.
    block : bool
        Whether a call that finds more waits, or raises `BacklogFull`.
    """

    limit_bytes: int = 1024 * MIB
    block: bool = True

    def __post_init__(self) -> None:
        require_number(self.limit_bytes, "backlog_bytes")


@dataclass(frozen=True, slots=True)
class DiskOptions:
    """When free space is too little; None lets the size of the file system decide.

    Attributes
    ----------
    warn_below : int or None
        Free bytes below which a warning is logged; by default 1 GiB, and on
        small file systems a twentieth.
    refuse_below : int or None
        Free bytes that no record may cut into, so that there is room to end the
        session; by default 16 MiB, and on small file systems a hundredth. 0
        writes to the last byte.
    reserve : int or None
        Bytes set aside in the sidecar for ending the session when others have
        taken all the rest; by default 1 MiB, and on small file systems a 256th.
        0 sets none aside.
    """

    warn_below: int | None = None
    refuse_below: int | None = None
    reserve: int | None = None

    def __post_init__(self) -> None:
        for name in ("warn_below", "refuse_below", "reserve"):
            value = getattr(self, name)
            if value is not None:
                require_number(value, name)

    def of(self, size: int) -> tuple[int, int, int]:
        """`warn_below`, `refuse_below` and `reserve` for a file system of `size` bytes."""
        refuse = min(16 * MIB, size // 100) if self.refuse_below is None else self.refuse_below
        warn = min(1024 * MIB, size // 20) if self.warn_below is None else self.warn_below
        reserve = min(MIB, size // 256) if self.reserve is None else self.reserve
        return max(warn, refuse), refuse, reserve
