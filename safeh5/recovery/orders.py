"""What a session and the applier beside it say to each other: one JSON object a line.

The session writes orders to the child's standard input and reads news from
its standard output. The end of either stream means that the other has gone.
"""

from __future__ import annotations

import msgspec

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
    """Everything up to `lsn` is applied; all that `Durable` named up to `upto` was looked at."""

    lsn: int
    upto: int


class Checkpointed(msgspec.Struct, frozen=True, tag="checkpointed"):
    """The staging file's last checkpoint holds everything up to `lsn`."""

    lsn: int


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The staging file is whole and closed, and holds everything up to `lsn`."""

    lsn: int


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """HDF5 does not take the record at `lsn`, or the disk none at all (`full`)."""

    message: str
    lsn: int | None = None
    dataset: str | None = None
    full: bool = False


News = Applied | Checkpointed | Finished | Refused

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
