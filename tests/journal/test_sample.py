"""The frozen sample of format version 1 is read, and is still written, byte for byte."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from safeh5.journal import Kind, frames, records
from safeh5.operations import codec
from safeh5.operations.control import (
    CheckpointRecord,
    ResumeRecord,
    SealRecord,
    SessionRecord,
    decode_control,
)
from tests.journal.building import STORAGE, scan_of

DATA = Path(__file__).parents[1] / "data"
SAMPLE = DATA / "journal-v1"
EXPECTED = json.loads((SAMPLE / "expected.json").read_text(encoding="utf-8"))


ANCHORED = DATA / "journal-v1-anchored"


def script(name: str = "make_journal_v1") -> ModuleType:
    """The script that made a sample."""
    spec = importlib.util.spec_from_file_location(name, DATA / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_journal_of_version_1_is_sound() -> None:
    found = scan_of(SAMPLE)
    assert (found.damage, found.torn, found.open_batch) == ((), None, None)
    assert found.session_id.hex() == EXPECTED["session_id"]
    assert len(found.segments) == 3
    assert found.aborted == set(EXPECTED["aborted"])
    assert found.records == len(EXPECTED["records"])


def test_every_record_of_version_1_comes_back() -> None:
    read = [
        {"lsn": f.lsn, "batch": f.batch, "meta": f.meta.hex(), "payload": bytes(f.payload).hex()}
        for f in records(STORAGE, scan_of(SAMPLE))
    ]
    assert read == EXPECTED["records"]


def test_every_control_record_of_version_1_comes_back() -> None:
    read = [{"lsn": c.lsn, "kind": c.kind.name, "fields": c.fields} for c in scan_of(SAMPLE).control]
    assert read == EXPECTED["control"]


def test_every_operation_of_version_1_is_still_understood() -> None:
    operations = [codec.decode(frame.meta) for frame in records(STORAGE, scan_of(SAMPLE))]
    assert {type(operation).__name__ for operation in operations} == {
        "CreateGroup", "CreateDataset", "SetAttribute", "AppendData",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "record"),
    [(Kind.SESSION, SessionRecord), (Kind.RESUME, ResumeRecord), (Kind.SEAL, SealRecord)],
)
def test_every_control_record_of_version_1_is_still_understood(kind: Kind, record: type) -> None:
    found = scan_of(SAMPLE).last(kind)
    assert found is not None
    assert isinstance(decode_control(record, found.meta), record)


@pytest.mark.parametrize(
    ("name", "sample"), [("make_journal_v1", SAMPLE), ("make_journal_v1_anchored", ANCHORED)]
)
def test_version_1_is_still_written_frame_by_frame(tmp_path: Path, name: str, sample: Path) -> None:
    """All but the SYNC marks, which later writers leave out before a record that is a proof itself."""
    script(name).make(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in sample.iterdir())
    assert words(tmp_path) == words(sample)
    first = min(sample.glob("journal-*.log")).name
    assert (tmp_path / first).read_bytes() == (sample / first).read_bytes()


def words(directory: Path) -> list[tuple[Kind, int, int, bytes, bytes]]:
    """What a journal says, without its evidence."""
    found = frames(STORAGE, scan_of(directory))
    return [(f.kind, f.flags, f.batch, f.meta, bytes(f.payload)) for f in found if f.kind is not Kind.SYNC]


def test_a_pruned_journal_of_version_1_is_sound_and_comes_back() -> None:
    expected = json.loads((ANCHORED / "expected.json").read_text(encoding="utf-8"))
    found = scan_of(ANCHORED)
    assert (found.damage, found.torn, found.open_batch, found.is_complete) == ((), None, None, False)
    assert [Path(path).name for path in found.leftovers] == expected["leftovers"]
    assert found.session_id.hex() == expected["session_id"]
    assert found.aborted == set(expected["aborted"])
    assert found.anchor is not None
    anchor = found.anchor._asdict()
    session = decode_control(SessionRecord, found.anchor.session)
    assert {name: anchor[name] for name in ("lsn", "applied", "last_batch")} | {
        "session": msgspec.to_builtins(session)
    } == expected["anchor"] | {"session": expected["anchor"]["session"]}
    noted = found.last(Kind.CHECKPOINT)
    assert noted is not None
    assert {"lsn": noted.lsn, **noted.fields} == expected["checkpoint"]
    assert decode_control(CheckpointRecord, noted.meta).session is None
    read = [
        {"lsn": f.lsn, "batch": f.batch, "meta": f.meta.hex(), "payload": bytes(f.payload).hex()}
        for f in records(STORAGE, found)
    ]
    assert read == expected["records"]
