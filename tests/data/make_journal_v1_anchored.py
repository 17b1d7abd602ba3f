"""How the frozen sample of a pruned journal was made: ``python tests/data/make_journal_v1_anchored.py``.

As `make_journal_v1`, which see: the sample stays for ever, and is not made
again. It was added when format version 1 learned anchors; a journal without
one is what it always was.

What is in it: records that were pruned; segment 2, which was to be removed and
was not, as after a crash; the anchor, which begins segment 3; batches behind
it, whole, ended and aborted, over two more segments; a plain checkpoint.
"""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from unittest import mock

import msgspec

from safeh5.journal import JournalWriter, Kind
from safeh5.options import JournalOptions
from safeh5.storage import Storage, StrPath

HERE = Path(__file__).parent / "journal-v1-anchored"
SESSION_ID = bytes.fromhex("a1c40ea1c40ea1c40ea1c40ea1c40e00")
BEGAN = 1_700_000_000_000_000_000
OPTIONS = JournalOptions(segment_bytes=900)
WRITER = {"pid": 42, "host": "microscope", "safeh5": "0.1.0", "h5py": "3.16.0", "hdf5": "2.0.0"}
SESSION = {"target": "sample.h5", "mode": "x", "base": None, "copy": False, "writer": WRITER, "time": BEGAN}


class Stubborn(Storage):
    """A disk on which segment 2 cannot be removed."""

    def unlink(self, path: StrPath) -> None:
        """Remove a file, unless it is segment 2."""
        if not str(path).endswith("2.log"):
            super().unlink(path)


def group(writer: JournalWriter, number: int, batch: int, *, whole: bool = False) -> dict[str, object]:
    """Append an operation; returns what a reader must find."""
    meta = msgspec.msgpack.encode({"op": "create_group", "path": f"/Measurement_{number:03d}"})
    lsn = writer.append(Kind.OPERATION, meta, batch=batch, whole=whole)
    return {"lsn": lsn, "batch": batch, "meta": meta.hex(), "payload": ""}


def make(directory: Path) -> None:
    """Write the sample and what is in it (``expected.json``) to an existing directory."""
    clock = count(BEGAN, 1_000_000)
    session = msgspec.msgpack.encode(SESSION)
    with (
        mock.patch("time.time_ns", lambda: next(clock)),
        JournalWriter.create(Stubborn(), directory, SESSION_ID, OPTIONS) as writer,
    ):
        writer.append(Kind.SESSION, session)
        for number in range(1, 10):
            group(writer, number, number, whole=True)
            writer.sync()
        anchor = {"applied": writer.durable_lsn, "time": BEGAN, "session": session, "last_batch": 9}
        lsn = writer.anchor(msgspec.msgpack.encode(anchor))
        kept = [group(writer, 10, 10), group(writer, 11, 10)]
        writer.end_batch(10)
        group(writer, 12, 11)
        writer.abort_batch(11)
        writer.sync()
        note = {"applied": writer.durable_lsn, "time": BEGAN}
        noted = writer.append(Kind.CHECKPOINT, msgspec.msgpack.encode(note))
        for number in range(13, 20):
            kept.append(group(writer, number, number, whole=True))
            writer.sync()
    expected = {
        "session_id": SESSION_ID.hex(),
        "anchor": {"lsn": lsn, "applied": anchor["applied"], "last_batch": 9, "session": SESSION},
        "checkpoint": {"lsn": noted, **note},
        "leftovers": ["journal-00000002.log"],
        "records": kept,
        "aborted": [11],
    }
    (directory / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    HERE.mkdir(exist_ok=False)
    make(HERE)
