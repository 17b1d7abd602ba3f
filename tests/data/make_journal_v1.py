"""How the frozen sample journal of format version 1 was made: ``python tests/data/make_journal_v1.py``.

The sample stays in the repository for ever, so that every later version proves
it can read what version 1 wrote. It is not made again: if this script no
longer gives the same bytes, the format has changed, and that needs a new
version number and a new sample beside this one.

What is in it: three segments; a batch with a group, a dataset, its values and
an attribute; a batch that was aborted; batches of one record that fill a
growing dataset; a torn tail; a resume behind it; a packed object reference; a
seal. Operations and datatypes are written out here, byte by byte, so that the
sample does not depend on the code it is to test.
"""

from __future__ import annotations

import json
import struct
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from safeh5.journal import JournalWriter, Kind, scan
from safeh5.options import JournalOptions
from safeh5.storage import Storage

HERE = Path(__file__).parent / "journal-v1"
SESSION_ID = bytes.fromhex("5afe5afe5afe5afe5afe5afe5afe5afe")
BEGAN = 1_700_000_000_000_000_000
OPTIONS = JournalOptions(segment_bytes=1600)

UINT16 = bytes.fromhex("0300100000000200000000001000")
STRING = bytes.fromhex("03001901010008000000100000000100000000000800")
REFERENCE = bytes.fromhex("03001700000008000000")
SCALAR = bytes.fromhex("01000808000000010000000000000003000000010000000000000000000000")
GROWING = bytes.fromhex(
    "01000828000000010201000000000000000000000000000300000000000000"
    "ffffffffffffffff030000000000000003000000010000000000000000000000"
)
WRITER = {"pid": 42, "host": "microscope", "safeh5": "0.1.0", "h5py": "3.16.0", "hdf5": "2.0.0"}
TORN = b"a frame that was never finished"


class Recorder:
    """Appends to the journal and notes what a reader must find."""

    def __init__(self, writer: JournalWriter) -> None:
        self.writer = writer
        self.records: list[dict[str, Any]] = []
        self.control: list[dict[str, Any]] = []

    def operation(
        self, batch: int, payload: bytes = b"", *, kept: bool = True, whole: bool = False, **fields: Any
    ) -> None:
        """Append an operation; `kept` says whether its batch comes to exist."""
        meta = msgspec.msgpack.encode(fields)
        lsn = self.writer.append(Kind.OPERATION, meta, payload, batch=batch, whole=whole)
        if kept:
            facts = {"lsn": lsn, "batch": batch, "meta": meta.hex(), "payload": payload.hex()}
            self.records.append(facts)

    def note(self, kind: Kind, **fields: Any) -> None:
        """Append a control record."""
        lsn = self.writer.append(kind, msgspec.msgpack.encode(fields))
        self.control.append({"lsn": lsn, "kind": kind.name, "fields": fields})


def fill(recorder: Recorder) -> None:
    """What the first process writes before it is killed."""
    writer = recorder.writer
    recorder.note(
        Kind.SESSION, target="sample.h5", mode="x", base=None, copy=False, writer=WRITER, time=BEGAN
    )
    writer.sync()
    recorder.operation(1, op="create_group", path="/Measurement_000")
    recorder.operation(
        1, op="create_dataset", path="/Measurement_000/frames", type=UINT16, space=GROWING,
        layout={"chunks": [4, 3]},
    )  # fmt: skip
    recorder.operation(
        1, msgspec.msgpack.encode([b"microscope"]), op="set_attribute", path="/Measurement_000",
        name="machine_id", type=STRING, space=SCALAR, packed=True,
    )  # fmt: skip
    writer.end_batch(1)
    writer.sync()
    recorder.operation(2, kept=False, op="create_group", path="/Never")
    writer.abort_batch(2)
    for frame in range(6):
        values = struct.pack("<3H", *range(3 * frame, 3 * frame + 3))
        recorder.operation(
            3 + frame, values, op="append_data", path="/Measurement_000/frames", type=UINT16,
            start=frame, count=1, whole=True,
        )  # fmt: skip
        writer.sync()
    recorder.operation(9, kept=False, op="create_group", path="/Open_when_killed")
    writer.sync()


def go_on(recorder: Recorder) -> None:
    """What the second process writes after it resumed."""
    recorder.note(Kind.RESUME, writer=WRITER, time=BEGAN, purpose="resume")
    recorder.operation(
        10, msgspec.msgpack.encode(["/Measurement_000/frames"]), op="set_attribute",
        path="/Measurement_000", name="main", type=REFERENCE, space=SCALAR, packed=True, whole=True,
    )  # fmt: skip
    recorder.note(Kind.SEAL, time=BEGAN)
    recorder.writer.sync()


def make(directory: Path) -> None:
    """Write the sample and what is in it (``expected.json``) to an existing directory."""
    clock = count(BEGAN, 1_000_000)
    storage = Storage()
    with mock.patch("time.time_ns", lambda: next(clock)):
        with JournalWriter.create(storage, directory, SESSION_ID, OPTIONS) as writer:
            first = Recorder(writer)
            fill(first)
        last = max(directory.glob("journal-*.log"))
        last.write_bytes(last.read_bytes() + TORN)
        with JournalWriter.resume(storage, directory, scan(storage, directory), OPTIONS) as writer:
            second = Recorder(writer)
            go_on(second)
    expected = {
        "session_id": SESSION_ID.hex(),
        "records": first.records + second.records,
        "control": first.control + second.control,
        "aborted": [2, 9],
    }
    (directory / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    HERE.mkdir(exist_ok=False)
    make(HERE)
