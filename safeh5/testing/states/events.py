"""The trace of a workload: what it did to the disk and what it was promised, in order.

A trace is a file of records, each a 4-byte little-endian length and that many
bytes of MessagePack, appended by every process of the workload under one lock;
so their order is the order in which the effects took place.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec


class Kind(StrEnum):
    """What an event did."""

    CREATE = "create"
    MKDIR = "mkdir"
    LINK = "link"
    WRITE = "write"
    TRUNCATE = "truncate"
    FACTS = "facts"
    """Mode, owner, times or extended attributes of a file were changed."""
    SYNC = "sync"
    RENAME = "rename"
    UNLINK = "unlink"
    RMDIR = "rmdir"
    MARK = "mark"
    """Nothing was done to the disk: the workload was promised something, or began a call."""


DATA = frozenset({Kind.WRITE, Kind.TRUNCATE})
NAMES = frozenset({Kind.CREATE, Kind.MKDIR, Kind.LINK, Kind.RENAME, Kind.UNLINK, Kind.RMDIR})


class Event(msgspec.Struct, frozen=True, array_like=True):
    """One effect.

    Attributes
    ----------
    kind : Kind
        What was done.
    path : str
        The file or directory, relative to the directory of the workload; the
        old name of a rename; the name of a mark.
    other : str
        The new name of a rename or link.
    inode : int
        The number of the file, as the system gave it.
    offset : int
        Byte at which a write begins; the new size of a truncation.
    data : bytes
        What was written; what a mark says.
    mode : int
        Permissions of the file afterwards.
    mtime : int
        Its time of modification afterwards, in nanoseconds.
    facts : bool
        Of a sync, whether mode and times are durable too (``fsync``, not ``fdatasync``).
    """

    kind: Kind
    path: str = ""
    other: str = ""
    inode: int = 0
    offset: int = 0
    data: bytes = b""
    mode: int = 0
    mtime: int = 0
    facts: bool = False

    def __str__(self) -> str:
        if self.kind is Kind.MARK:
            said = ", ".join(f"{key} {_short(value)}" for key, value in self.said.items())
            return f"({self.path}{': ' if said else ''}{said})"
        words = [str(self.kind), self.path]
        if self.other:
            words.append(f"-> {self.other}")
        if self.kind is Kind.WRITE:
            words.append(f"{len(self.data)} bytes at {self.offset}")
        if self.kind is Kind.TRUNCATE:
            words.append(f"to {self.offset} bytes")
        if self.kind is Kind.SYNC and not self.facts:
            words.append("(data)")
        return " ".join(words)

    @property
    def said(self) -> dict[str, Any]:
        """What a mark says."""
        found: dict[str, Any] = msgspec.msgpack.decode(self.data) if self.data else {}
        return found


def mark(name: str, **fields: Any) -> Event:
    """The mark of this name."""
    return Event(Kind.MARK, name, data=msgspec.msgpack.encode(fields))


def pack(event: Event) -> bytes:
    """One record of a trace."""
    body = msgspec.msgpack.encode(event)
    return len(body).to_bytes(4, "little") + body


def read_trace(path: Path) -> list[Event]:
    """All events of a trace; a record that its writer did not finish is left out."""
    return list(_records(path.read_bytes()))


def _records(data: bytes) -> Iterator[Event]:
    decoder, at = msgspec.msgpack.Decoder(Event), 0
    while at + 4 <= len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if end > len(data):
            return
        yield decoder.decode(data[at + 4 : end])
        at = end


def _short(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= 24 else text[:21] + "..."
