"""Small journals for the tests of this directory."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from safeh5.journal import Frame, JournalScan, JournalWriter, Kind, frames, records, scan
from safeh5.journal.format import SEGMENT_HEADER_SIZE, encode_meta
from safeh5.options import JournalOptions
from safeh5.storage import Storage
from safeh5.storage.names import segment_name

SESSION_ID = bytes(range(16))
SESSION_META = encode_meta(target="run.h5")
STORAGE = Storage()
Content = list[tuple[int, int, int, bytes, bytes]]
"""Of each frame: LSN, kind, batch, meta, payload."""


def begin(
    directory: Path, *, storage: Storage = STORAGE, segment_bytes: int = 1 << 30, session: bytes = SESSION_ID
) -> JournalWriter:
    """A new journal with its SESSION record, synced: the next LSN is 3."""
    directory.mkdir(exist_ok=True)
    options = JournalOptions(segment_bytes=segment_bytes)
    writer = JournalWriter.create(storage, directory, session, options)
    writer.append(Kind.SESSION, SESSION_META)
    writer.sync()
    return writer


def put(writer: JournalWriter, payload: bytes = b"payload", *, sync: bool = False) -> int:
    """Append a batch of one record; returns its LSN."""
    meta = encode_meta(op="write", n=writer.next_lsn)
    lsn = writer.append(Kind.OPERATION, meta, payload, batch=writer.last_batch + 1, whole=True)
    if sync:
        writer.sync()
    return lsn


def put_batch(writer: JournalWriter, *payloads: bytes, end: bool = True) -> int:
    """Append a batch of several records; returns its number."""
    batch = writer.last_batch + 1
    for payload in payloads:
        writer.append(Kind.OPERATION, encode_meta(op="write", n=writer.next_lsn), payload, batch=batch)
    if end:
        writer.end_batch(batch)
    return batch


def anchor(writer: JournalWriter, applied: int | None = None) -> int:
    """Sync, and let the journal begin anew; returns the anchor's LSN."""
    durable = writer.sync()
    return writer.anchor(anchor_meta(writer.last_batch, durable if applied is None else applied))


def anchor_meta(last_batch: int, applied: int) -> bytes:
    """The meta of an anchor, with the SESSION record that `begin` writes."""
    return encode_meta(applied=applied, time=0, session=SESSION_META, last_batch=last_batch)


def resume(directory: Path, *, storage: Storage = STORAGE, segment_bytes: int = 1 << 30) -> JournalWriter:
    """Go on with the journal in `directory`, with a RESUME record, synced."""
    found = scan(storage, directory)
    writer = JournalWriter.resume(storage, directory, found, JournalOptions(segment_bytes=segment_bytes))
    writer.append(Kind.RESUME, encode_meta(purpose="resume"))
    writer.sync()
    return writer


def segment(directory: Path, number: int = 1) -> Path:
    """Path of a segment."""
    return directory / segment_name(number)


def content(directory: Path) -> Content:
    """All frames of the valid prefix."""
    return [_facts(frame) for frame in frames(STORAGE, scan(STORAGE, directory))]


def record_content(directory: Path) -> Content:
    """All records that count."""
    return [_facts(frame) for frame in records(STORAGE, scan(STORAGE, directory))]


def _facts(frame: Frame) -> tuple[int, int, int, bytes, bytes]:
    return frame.lsn, int(frame.kind), frame.batch, frame.meta, bytes(frame.payload)


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Flip one bit of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


def overwrite(path: Path, offset: int, data: bytes) -> None:
    """Write `data` over what is at `offset`."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@dataclass
class Places:
    """Where the frames of an undamaged journal are: LSN to (segment, offset, end)."""

    of: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    @classmethod
    def in_journal(cls, directory: Path) -> Places:
        found = scan(STORAGE, directory)
        assert not found.damage
        places = cls()
        ends = {info.number: info.valid_length for info in found.segments}
        everything = list(frames(STORAGE, found))
        for frame, after in zip(everything, [*everything[1:], None], strict=True):
            same = after is not None and after.segment == frame.segment
            end = after.offset if after is not None and same else ends[frame.segment]
            places.of[frame.lsn] = (frame.segment, frame.offset, end)
        return places

    def lsn_at(self, number: int, offset: int) -> int | None:
        """LSN of the frame that covers a byte; None for a segment header or bytes that do not count."""
        for lsn, (segment_, start, end) in self.of.items():
            if segment_ == number and start <= offset < end:
                return lsn
        return None


def is_header(offset: int) -> bool:
    """Whether a byte of a segment is in its header."""
    return offset < SEGMENT_HEADER_SIZE


def scan_of(directory: str | os.PathLike[str]) -> JournalScan:
    """A scan with the real storage."""
    return scan(STORAGE, directory)
