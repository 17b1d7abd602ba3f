"""The redo file of a checkpoint, format version 1: every byte, and no I/O.

A checkpoint of the staging file rewrites pages in place. Before it touches
the first it writes all of them here, so that the rewriting can be done again
after a crash. All numbers are little-endian::

      0       8         10     12          16           32         40
     +-------+---------+------+-----------+------------+----------+-
     | magic | version | zero | page size | session id | sequence |
     +-------+---------+------+-----------+------------+----------+-
      40        48            56           64            68           72
    -+---------+-------------+------------+-------------+------------+
     | applied | end of file | page count | payload CRC | header CRC |
     +---------+-------------+------------+-------------+------------+
      72                            72 + 8 * page count
     +-----------------------------+------------------------------------+
     | page numbers, 8 bytes each  | pages, `page size` bytes each      |
     +-----------------------------+------------------------------------+

*applied* is the LSN up to which the journal is in the checkpoint, *end of
file* its length; bytes of the staging file behind that belong to no
checkpoint. *sequence* counts the checkpoints of a session. The payload CRC
covers everything from byte 72, the header CRC bytes 0 to 68 (CRC32C).

There are two slots, written in turn. A crash while one is written leaves the
other whole, and with it the checkpoint before, whose pages on disk nobody has
touched yet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import google_crc32c

MAGIC: Final = b"\x89SAFEH5R"
VERSION: Final = 1
PAGE: Final = 4096
SLOTS: Final = 2

HEADER: Final = struct.Struct("<8sHHI16sQQQQII")
_CHECKED: Final = HEADER.size - 4


@dataclass(frozen=True, slots=True)
class Redo:
    """A checkpoint as the redo file has it.

    Attributes
    ----------
    session : bytes
        Session id, 16 bytes.
    sequence : int
        Which checkpoint of the session, from 1.
    applied : int
        LSN up to which the journal is applied.
    end : int
        Bytes of the HDF5 file.
    pages : mapping of int to bytes
        Page number to the page's new content, `PAGE` bytes.
    """

    session: bytes
    sequence: int
    applied: int
    end: int
    pages: Mapping[int, bytes | bytearray]

    def pack(self) -> list[bytes | bytearray]:
        """The redo file, in pieces to be written one after the other."""
        numbers = struct.pack(f"<{len(self.pages)}Q", *self.pages)
        crc = google_crc32c.value(numbers)
        for page in self.pages.values():
            crc = google_crc32c.extend(crc, bytes(page))
        head = HEADER.pack(
            MAGIC,
            VERSION,
            0,
            PAGE,
            self.session,
            self.sequence,
            self.applied,
            self.end,
            len(self.pages),
            crc,
            0,
        )[:_CHECKED]
        return [head + struct.pack("<I", google_crc32c.value(head)), numbers, *self.pages.values()]

    @classmethod
    def unpack(cls, data: bytes) -> Redo | None:
        """The checkpoint in a redo file; None when it is damaged, torn or of another version.

        A slot that cannot be read is no error: the other slot holds the
        checkpoint before, or the file is made again from the journal.
        """
        if len(data) < HEADER.size:
            return None
        magic, version, _, page_size, session, sequence, applied, end, count, crc, head_crc = (
            HEADER.unpack_from(data)
        )
        if (magic, version, page_size) != (MAGIC, VERSION, PAGE):
            return None
        if google_crc32c.value(data[:_CHECKED]) != head_crc:
            return None
        stop = HEADER.size + count * (8 + PAGE)
        if len(data) < stop or google_crc32c.value(data[HEADER.size : stop]) != crc:
            return None
        return cls(session, sequence, applied, end, dict(_pages(data, count)))


def _pages(data: bytes, count: int) -> Iterator[tuple[int, bytes]]:
    start = HEADER.size + 8 * count
    for number in struct.unpack_from(f"<{count}Q", data, HEADER.size):
        yield number, data[start : start + PAGE]
        start += PAGE


def latest(slots: list[bytes], session: bytes) -> Redo | None:
    """The newest whole checkpoint of `session` among the slots' contents."""
    found = [redo for data in slots if (redo := Redo.unpack(data)) is not None and redo.session == session]
    return max(found, key=lambda redo: redo.sequence, default=None)
