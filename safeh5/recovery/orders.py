"""What a session and the applier beside it say to each other: one JSON object a line.

The session writes orders to the child's standard input and reads news from
its standard output. The end of either stream means that the other has gone.
"""

from __future__ import annotations

from functools import partial

import msgspec

import safeh5.errors as errors
from safeh5.errors import FreeSpaceError, SafeH5Error
from safeh5.operations.control import SessionRecord
from safeh5.options import CheckpointOptions


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """First order: whose journal to follow.

    Attributes
    ----------
    target, sidecar : bytes
        Where everything lies; a path may hold any bytes.
    session_id : bytes
        16 bytes.
    session : SessionRecord
        How the session began.
    checkpoints : CheckpointOptions
        When to checkpoint without being told.
    """

    target: bytes
    sidecar: bytes
    session_id: bytes
    session: SessionRecord
    checkpoints: CheckpointOptions


class Durable(msgspec.Struct, frozen=True, tag="durable"):
    """Everything up to `lsn` is on disk and may be applied."""

    lsn: int


class Checkpoint(msgspec.Struct, frozen=True, tag="checkpoint"):
    """Apply up to `lsn`, checkpoint, and make no other until `Durable` is ordered."""

    lsn: int


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """Apply up to `lsn`, close the file with a last checkpoint, and end."""

    lsn: int


Order = Begin | Durable | Checkpoint | Finish


class Applied(msgspec.Struct, frozen=True, tag="applied"):
    """Everything up to `lsn` is applied; all that `Durable` named up to `upto` was looked at.

    Of that, at most `held` bytes are in the child's memory only.
    """

    lsn: int
    upto: int
    held: int = 0


class Checkpointed(msgspec.Struct, frozen=True, tag="checkpointed"):
    """The staging file's last checkpoint holds everything up to `lsn`."""

    lsn: int


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The staging file is whole and closed, and holds everything up to `lsn`."""

    lsn: int


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """HDF5 does not take the record at `lsn`, the disk none at all (`full`), or it is something else.

    Attributes
    ----------
    kind : str
        The class of the error, by its name in `safeh5.errors`.
    """

    message: str
    lsn: int | None = None
    dataset: str | None = None
    full: bool = False
    kind: str = "ApplyError"
    path: str | None = None
    safe: str | None = None
    hint: str | None = None
    errno: int | None = None
    needed: int | None = None
    missing: int | None = None

    @classmethod
    def of(cls, error: SafeH5Error) -> Refused:
        """What `error` says."""
        return cls(
            error.message,
            error.lsn,
            error.dataset,
            isinstance(error, FreeSpaceError),
            type(error).__name__,
            error.path,
            error.safe,
            error.hint,
            *(getattr(error, name, None) for name in ("errno", "needed", "missing")),
        )

    def error(self, safe: str, hint: str | None) -> SafeH5Error:
        """The error again, with `safe` and `hint` where it said nothing."""
        kind: type[SafeH5Error] = getattr(errors, self.kind, errors.ApplyError)
        if kind is errors.DiskFullError:
            kind = partial(kind, errno=self.errno, needed=self.needed, missing=self.missing)  # type: ignore[assignment]
        return kind(
            self.message,
            path=self.path,
            lsn=self.lsn,
            dataset=self.dataset,
            safe=self.safe or safe,
            hint=self.hint or hint,
        )


class Alive(msgspec.Struct, frozen=True, tag="alive"):
    """Nothing new, but a sign of life."""


News = Applied | Checkpointed | Finished | Refused | Alive

_orders = msgspec.json.Decoder(Order)
_news = msgspec.json.Decoder(News)


def encode(message: Order | News) -> bytes:
    """One line."""
    return msgspec.json.encode(message) + b"\n"


def decode_order(line: bytes) -> Order:
    """The order in a line from the session."""
    order: Order = _orders.decode(line)
    return order


def decode_news(line: bytes) -> News:
    """The news in a line from the child."""
    news: News = _news.decode(line)
    return news
