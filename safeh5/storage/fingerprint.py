"""Is this still the same file? A fingerprint that costs two small reads.

A session begins with a target and ends by replacing it; in between hours may
pass. The fingerprint tells whether somebody else wrote the target meanwhile.
Size and modification time are compared, and a checksum of the first and last
64 KiB, because tools exist that set the time back. The inode is not part of
it: a target restored from a backup or moved to another disk is the same file.
"""

from __future__ import annotations

import os

import google_crc32c
import msgspec

_SAMPLE = 64 * 1024


class Fingerprint(msgspec.Struct, frozen=True, array_like=True):
    """What a file looked like.

    Attributes
    ----------
    size : int
        Bytes.
    modified : int
        Time of last modification, nanoseconds since the epoch.
    sample : int
        CRC32C of the first and the last 64 KiB.
    """

    size: int
    modified: int
    sample: int

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Fingerprint | None:
        """The fingerprint of the file at `path`; None when there is none."""
        try:
            with open(path, "rb", buffering=0) as file:
                facts = os.fstat(file.fileno())
                head = file.read(_SAMPLE)
                file.seek(max(0, facts.st_size - _SAMPLE))
                tail = file.read(_SAMPLE)
        except FileNotFoundError:
            return None
        return cls(facts.st_size, facts.st_mtime_ns, google_crc32c.extend(google_crc32c.value(head), tail))
