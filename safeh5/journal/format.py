"""The journal on disk, format version 1: every byte, and no I/O.

A journal is a sequence of segment files. A segment is one header and then
frames up to the end of the file, each frame on a multiple of 8 bytes::

    journal-00000001.log               journal-00000002.log
    +----------------+                 +----------------+
    | segment header |   length and    | segment header |
    +----------------+   chain of 1    +----------------+
    | frame  LSN 1   | <-------------- | frame  LSN 4   |
    | frame  LSN 2   |   stand in 2    | ...            |
    | frame  LSN 3   |                 +----------------+
    +----------------+

Segment header, 128 bytes. All numbers are little-endian::

      0        8         10       12           13        16
     +--------+---------+--------+------------+---------+----------------+
     | magic  | version | length | durability | zero    | session id     |
     +--------+---------+--------+------------+---------+----------------+
      32       40          48        56                64               68
     +--------+-----------+---------+-----------------+----------------+-
     | number | first LSN | created | previous length | previous chain |
     +--------+-----------+---------+-----------------+----------------+-
      68                                            124
    -+---------------------------------------------+------------------+
     | zero                                        | CRC32C of 0..124 |
    -+---------------------------------------------+------------------+

Frame: a header of 48 bytes, the meta part (a MessagePack map that says what
the record is), the payload (raw bytes), both padded with zeros to 8 bytes::

      0       4            8     16      24               32
     +-------+------------+-----+-------+----------------+-
     | magic | header CRC | LSN | batch | payload length |
     +-------+------------+-----+-------+----------------+-
      32            36            40        44     45      46     48
    -+-------------+-------------+---------+------+-------+------+
     | meta length | payload CRC | elapsed | kind | flags | zero |
    -+-------------+-------------+---------+------+-------+------+
      48                 48 + padded(meta length)
     +------------------+------------------------------------+
     | meta   | padding | payload                  | padding |
     +------------------+------------------------------------+

The header CRC covers byte 8 up to the payload, padding included, and is
*salted*: it starts from the session id, the segment number and the frame's
byte offset in its segment. So bytes of another journal, of another place in
this one, or a copy of a frame are never taken for a frame. The payload CRC
covers the payload with its padding; the header CRC covers the payload CRC.

The *chain* of a segment is the CRC32C over the header CRCs of its frames, in
order, starting from the CRC of the segment header. The next segment states
it, with the length up to which the segment is valid: what lies behind that
length was never acknowledged.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgspec

from safeh5.journal.checksum import extend, padded, padding
from safeh5.journal.layout import Field, Layout

VERSION: Final = 1
SEGMENT_MAGIC: Final = b"\x89SAFEH5\n"
FRAME_MAGIC: Final = 0xF5524653
"""``53 46 52 F5`` on disk: "SFR" and a byte above 0x7F; as a length it would be too large to be one."""
MAX_META: Final = 64 << 20
MAX_SEGMENT_HEADER: Final = 4096
"""No version's segment header is longer, so that an unknown one can be checked."""


class Kind(IntEnum):
    """What a frame is."""

    SESSION = 1
    """LSN 1 of every journal: how the session began."""
    OPERATION = 2
    """A change to the HDF5 file; part of a batch."""
    END = 3
    """The batch is whole; meta says how many records it has."""
    ABORT = 4
    """The batch does not exist: the open one, or the one just ended."""
    SYNC = 5
    """Evidence: everything up to ``durable`` was on disk before this was written."""
    CHECKPOINT = 6
    """The staging file holds everything up to some LSN."""
    RESUME = 7
    """Another process goes on with the session."""
    SEAL = 8
    """The session was suspended in good order."""
    COMMIT = 9
    """The new file is whole; recovery rolls forward from here."""
    ROLLBACK = 10
    """The session was rolled back."""


WHOLE: Final = 1
"""Flag bit 0 of an OPERATION: a batch of one record, which needs no END."""

BARRIERS: Final = frozenset({Kind.RESUME, Kind.SEAL, Kind.COMMIT, Kind.ROLLBACK})
"""Kinds that are written only when everything before them is durable, and so prove it."""


SEGMENT_HEADER: Final = Layout(
    Field("magic", "8s", "89 53 41 46 45 48 35 0A"),
    Field("version", "H", "format version, 1"),
    Field("length", "H", "length of this header, 128"),
    Field("durability", "B", "0 record, 1 interval, 2 flush"),
    Field("reserved", "3s", "zero"),
    Field("session", "16s", "session id"),
    Field("number", "Q", "segment number, from 1"),
    Field("first LSN", "Q", "LSN of the first frame"),
    Field("created", "Q", "nanoseconds since 1970, UTC"),
    Field("previous length", "Q", "valid bytes of the segment before, 0 in the first"),
    Field("previous chain", "I", "chain of the segment before, 0 in the first"),
    Field("reserved", "56s", "zero"),
    Field("CRC", "I", "CRC32C of the 124 bytes before"),
)

FRAME_HEADER: Final = Layout(
    Field("magic", "I", "53 46 52 F5"),
    Field("header CRC", "I", "salted CRC32C of byte 8 up to the payload"),
    Field("LSN", "Q", "log sequence number, dense from 1"),
    Field("batch", "Q", "batch number, 0 for none"),
    Field("payload length", "Q", "bytes, without padding"),
    Field("meta length", "I", "bytes, without padding, at most 67108864"),
    Field("payload CRC", "I", "CRC32C of the payload and its padding, 0 when empty"),
    Field("elapsed", "I", "milliseconds since the segment was created"),
    Field("kind", "B", "see the kinds"),
    Field("flags", "B", "bit 0: a whole batch in one record"),
    Field("reserved", "H", "zero"),
)

SEGMENT_HEADER_SIZE: Final = SEGMENT_HEADER.size
FRAME_HEADER_SIZE: Final = FRAME_HEADER.size
COVERED_FROM: Final = 8
"""Where in a frame the bytes under the header CRC begin."""

_ZERO_3, _ZERO_56 = bytes(3), bytes(56)
_FRAME_TAIL: Final = Layout(*FRAME_HEADER.fields[2:])
u32: Final = struct.Struct("<I").pack
u64: Final = struct.Struct("<Q").pack
MAGIC_AND_CRC: Final = struct.Struct("<II").pack


class FormatError(ValueError):
    """These bytes are not what the format says; the text is the cause."""


class UnknownVersion(FormatError):
    """A whole header of a format version that this code does not know."""


# --- segment header ---------------------------------------------------------------


class SegmentHeader(NamedTuple):
    """A segment header as values.

    Attributes
    ----------
    session : bytes
        Session id, 16 bytes.
    number, first_lsn : int
        Segment number and LSN of its first frame, both from 1.
    durability : int
        0 record, 1 interval, 2 flush.
    created : int
        Nanoseconds since the epoch.
    previous_length, previous_chain : int
        Valid bytes and chain of the segment before; 0 in the first.
    """

    session: bytes
    number: int
    first_lsn: int
    durability: int
    created: int
    previous_length: int = 0
    previous_chain: int = 0

    def pack(self) -> bytes:
        """The 128 bytes on disk."""
        body = SEGMENT_HEADER.pack(
            SEGMENT_MAGIC, VERSION, SEGMENT_HEADER_SIZE, self.durability, _ZERO_3, self.session, self.number,
            self.first_lsn, self.created, self.previous_length, self.previous_chain, _ZERO_56, 0,
        )[:-4]  # fmt: skip
        return body + u32(extend(0, body))

    @classmethod
    def unpack(cls, data: bytes) -> SegmentHeader:
        """The header at the start of `data`.

        Raises
        ------
        UnknownVersion
            A whole header of another version.
        FormatError
            No header, or a damaged one.
        """
        if len(data) < SEGMENT_HEADER_SIZE:
            raise FormatError(f"the file ends after {len(data)} bytes, inside the segment header")
        (magic, version, length, durability, zero_3, session, number, first_lsn, created,
         previous_length, previous_chain, zero_56, _) = SEGMENT_HEADER.unpack_from(data)  # fmt: skip
        if magic != SEGMENT_MAGIC:
            raise FormatError("no segment header: the first 8 bytes are not those of a journal")
        # The checksum before the version: a flipped bit must not look like a newer safeh5.
        if not SEGMENT_HEADER_SIZE <= length <= MAX_SEGMENT_HEADER or not _has_good_crc(data[:length]):
            raise FormatError("the checksum of the segment header is wrong")
        if version != VERSION:
            raise UnknownVersion(f"format version {version}")
        if (length, zero_3, zero_56) != (SEGMENT_HEADER_SIZE, _ZERO_3, _ZERO_56) or durability > 2:
            raise FormatError("the segment header holds values that version 1 does not know")
        return cls(session, number, first_lsn, durability, created, previous_length, previous_chain)

    @property
    def chain(self) -> int:
        """The chain of this segment before its first frame: the header's own CRC."""
        return int.from_bytes(self.pack()[-4:], "little")

    @property
    def salt(self) -> int:
        """What the header CRC of each frame in this segment starts from, before its offset."""
        return segment_salt(self.session, self.number)


def _has_good_crc(header: bytes) -> bool:
    """Whether a header, of any version, ends in the CRC of what stands before."""
    return extend(0, header[:-4]) == int.from_bytes(header[-4:], "little")


def segment_salt(session: bytes, number: int) -> int:
    """The CRC32C of session id and segment number."""
    return extend(0, session + u64(number))


# --- frames -----------------------------------------------------------------------


def pack_frame(
    salt: int, offset: int, lsn: int, batch: int, kind: int, flags: int, elapsed: int,
    meta: bytes, payload_length: int, payload_crc: int,
) -> tuple[bytes, int]:  # fmt: skip
    """Everything of a frame before its payload, and its header CRC.

    Parameters
    ----------
    salt, offset : int
        Salt of the segment, and the byte offset there at which the frame will stand.
    payload_length : int
        Bytes of the payload, without padding.
    payload_crc : int
        CRC32C of the payload and its padding.
    """
    tail = _FRAME_TAIL.pack(lsn, batch, payload_length, len(meta), payload_crc, elapsed, kind, flags, 0)
    covered = tail + meta + padding(len(meta))
    crc = extend(extend(salt, u64(offset)), covered)
    return MAGIC_AND_CRC(FRAME_MAGIC, crc) + covered, crc


def frame_size(meta_length: int, payload_length: int) -> int:
    """Bytes of a whole frame, header and padding included."""
    return FRAME_HEADER_SIZE + padded(meta_length) + padded(payload_length)


def next_chain(chain: int, header_crc: int) -> int:
    """The chain of a segment after one more frame."""
    return extend(chain, u32(header_crc))


# --- meta of the journal's own records --------------------------------------------

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(dict[str, Any])


def encode_meta(**fields: object) -> bytes:
    """A MessagePack map: the meta part of a record."""
    return _encoder.encode(fields)


def decode_meta(meta: bytes) -> dict[str, Any]:
    """The map in a meta part.

    Raises
    ------
    FormatError
        It is no MessagePack map with names as keys.
    """
    try:
        return _decoder.decode(meta)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"the meta part cannot be read: {error}") from error


def count_in(meta: bytes, field: str) -> int:
    """A number of records or an LSN in a meta part, e.g. ``records`` of an END.

    Raises
    ------
    FormatError
        It is not there, or is no natural number.
    """
    value = decode_meta(meta).get(field)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise FormatError(f"the meta part has no number {field!r}")
    return value
