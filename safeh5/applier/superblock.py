"""The mark "open for writing" in new superblocks, and how a checkpoint does without it.

Files of HDF5's newer formats (superblock 3, ``libver='latest'``) carry a flag
while somebody writes them; HDF5 then refuses to open them, and after a kill
for ever. A checkpoint of the staging file is a whole file that nobody writes,
so the flag is cleared in it, and the superblock's checksum made anew.

Layout after the HDF5 File Format Specification 3.0, section II.A (superblock
versions 2 and 3); the checksum is Bob Jenkins' lookup3, ``hashlittle`` with a
start value of 0, as the specification asks.
"""

from __future__ import annotations

from typing import Final, Protocol

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_VERSION_AT, _FLAGS_AT, _SIZE = 8, 11, 48
_CHECKED: Final = _SIZE - 4
_MASK: Final = 0xFFFFFFFF


class Patchable(Protocol):
    """A file that can be read and changed at a place."""

    def peek(self, offset: int, size: int) -> bytes:
        """The bytes at `offset`."""

    def patch(self, offset: int, data: bytes) -> None:
        """Write bytes at `offset`."""


def clear_open_mark(file: Patchable, userblock: int) -> None:
    """Clear the flags of a superblock of version 2 or 3 that has any set.

    Parameters
    ----------
    file : Patchable
        The file as the next checkpoint will have it.
    userblock : int
        Bytes before the superblock.
    """
    block = bytearray(file.peek(userblock, _SIZE))
    if block[: len(SIGNATURE)] != SIGNATURE or block[_VERSION_AT] not in (2, 3) or not block[_FLAGS_AT]:
        return
    block[_FLAGS_AT] = 0
    block[_CHECKED:] = lookup3(bytes(block[:_CHECKED])).to_bytes(4, "little")
    file.patch(userblock, bytes(block))


def lookup3(data: bytes) -> int:
    """Jenkins' ``hashlittle`` of `data`, start value 0."""
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    full = max(0, (len(data) - 1) // 12) * 12
    for at in range(0, full, 12):
        a, b, c = _mix(*_add(a, b, c, data[at : at + 12]))
    rest = data[full:]
    return _final(*_add(a, b, c, rest.ljust(12, b"\0"))) if rest else c


def _add(a: int, b: int, c: int, twelve: bytes) -> tuple[int, int, int]:
    x, y, z = (int.from_bytes(twelve[i : i + 4], "little") for i in (0, 4, 8))
    return (a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK


def _rot(x: int, k: int) -> int:
    return ((x << k) | (x >> (32 - k))) & _MASK


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for k in (4, 6, 8, 16, 19, 4):
        a = ((a - c) & _MASK) ^ _rot(c, k)
        c = (c + b) & _MASK
        a, b, c = b, c, a  # the next step does the same with the parts exchanged
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for k in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rot(b, k)) & _MASK
        a, b, c = b, c, a
    return b  # the part that the last step changed
