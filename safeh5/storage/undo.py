"""The file of a reader, format version 1: every byte, and no I/O.

Whoever looks at a checkpoint of the staging file makes such a file beside it.
Before the writer overwrites pages for the next checkpoint it appends to it
what the pages held, so that the reader goes on seeing what it saw. All numbers
are little-endian. The header is the reader's::

      0       8         10     12          16           32
     +-------+---------+------+-----------+------------+-
     | magic | version | zero | page size | session id |
     +-------+---------+------+-----------+------------+-
      32      40         48            56      64     68           72
    -+-------+----------+-------------+-------+------+------------+
     | inode | sequence | end of file | limit | zero | header CRC |
     +-------+----------+-------------+-------+------+------------+

*inode* is the staging file's, *sequence* and *end of file* are those of the
checkpoint that is looked at; *limit* is how large this file may grow. Records
follow, which are the writer's::

      0          8            12    16                       16 + 8 * page count
     +----------+------------+-----+------------------------+-----------------------+
     | sequence | page count | CRC | page numbers, 8 bytes  | pages, as they were   |
     +----------+------------+-----+------------------------+-----------------------+

Here *sequence* is that of the checkpoint for which the pages are about to be
overwritten. Of several images of one page the first counts. The CRC (CRC32C)
covers the record without the CRC itself.

A file shorter than its header has *expired*: the writer has cut it off because
it would have grown beyond its limit, or could not be written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import google_crc32c

from safeh5.storage.redo import PAGE

MAGIC: Final = b"\x89SAFEH5U"
VERSION: Final = 1

HEADER: Final = struct.Struct("<8sHHI16sQQQQII")
RECORD: Final = struct.Struct("<QII")
_CHECKED: Final = HEADER.size - 4
_CRC_AT: Final = 12
_NUMBER: Final = 8


@dataclass(frozen=True, slots=True)
class Header:
    """Whose file it is, and what its reader looks at.

    Attributes
    ----------
    session : bytes
        Session id, 16 bytes.
    inode : int
        Inode number of the staging file.
    sequence, end : int
        Sequence and length of the checkpoint, as its redo slot has them.
    limit : int
        Bytes that this file may grow to.
    """

    session: bytes
    inode: int
    sequence: int
    end: int
    limit: int

    def pack(self) -> bytes:
        """The bytes on disk."""
        head = HEADER.pack(
            MAGIC, VERSION, 0, PAGE, self.session, self.inode, self.sequence, self.end, self.limit, 0, 0
        )[:_CHECKED]
        return head + struct.pack("<I", google_crc32c.value(head))

    @classmethod
    def unpack(cls, data: bytes) -> Header | None:
        """The header at the start of `data`; None when there is none that this version knows."""
        if len(data) < HEADER.size:
            return None
        magic, version, _, page, session, inode, sequence, end, limit, _, crc = HEADER.unpack_from(data)
        if (magic, version, page) != (MAGIC, VERSION, PAGE) or google_crc32c.value(data[:_CHECKED]) != crc:
            return None
        return cls(session, inode, sequence, end, limit)


def record_size(count: int) -> int:
    """Bytes of a record of so many pages."""
    return RECORD.size + count * (_NUMBER + PAGE)


def pack_record(sequence: int, numbers: Sequence[int], pages: bytes) -> bytes:
    """A record; `pages` are the old contents, one after the other."""
    body = struct.pack(f"<{len(numbers)}Q", *numbers) + pages
    head = RECORD.pack(sequence, len(numbers), 0)[:_CRC_AT]
    return head + struct.pack("<I", google_crc32c.extend(google_crc32c.value(head), body)) + body


@dataclass(frozen=True, slots=True)
class Record:
    """Where a record's pages stand.

    Attributes
    ----------
    sequence : int
        The checkpoint for which they were overwritten.
    places : dict of int to int
        Page number to the offset of the page from the beginning of the record.
    size : int
        Bytes of the record.
    """

    sequence: int
    places: dict[int, int]
    size: int


class BadRecord(ValueError):
    """A record that is there to its end and has a wrong checksum."""


def records(data: bytes) -> Iterator[Record]:
    """The records in `data`, up to one that is not there to its end.

    Raises
    ------
    BadRecord
        The checksum of one is wrong.
    """
    at = 0
    while len(data) - at >= RECORD.size:
        sequence, count, crc = RECORD.unpack_from(data, at)
        size = record_size(count)
        if len(data) - at < size:
            return
        covered = data[at : at + _CRC_AT] + data[at + RECORD.size : at + size]
        if google_crc32c.value(covered) != crc:
            raise BadRecord(f"the checksum of the record at {at} is wrong")
        numbers = struct.unpack_from(f"<{count}Q", data, at + RECORD.size)
        first = RECORD.size + _NUMBER * count
        yield Record(sequence, {n: first + i * PAGE for i, n in enumerate(numbers)}, size)
        at += size
