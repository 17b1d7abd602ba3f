"""Going on with a journal: append-only, and never on top of damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeh5.errors import CorruptJournalError
from safeh5.journal import JournalWriter, Kind
from safeh5.options import JournalOptions
from safeh5.testing.faults import FaultyStorage
from tests.journal.building import (
    STORAGE,
    begin,
    content,
    flip,
    put,
    put_batch,
    record_content,
    resume,
    scan_of,
    segment,
)


def test_a_resume_goes_on_where_the_journal_ended(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        put(writer, b"one", sync=True)
        last, batch = writer.next_lsn - 1, writer.last_batch
    with resume(tmp_path) as writer:
        assert writer.last_batch == batch
        assert put(writer, b"two", sync=True) > last
    found = scan_of(tmp_path)
    assert (found.damage, found.torn, len(found.segments)) == ((), None, 2)
    assert [control.kind for control in found.control] == [Kind.SESSION, Kind.RESUME]
    assert [payload for *_, payload in record_content(tmp_path)] == [b"one", b"two"]
    assert [lsn for lsn, *_ in content(tmp_path)] == list(range(1, found.last_lsn + 1))


def test_a_resume_changes_no_byte_of_what_it_found(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        put(writer, sync=True)
    with segment(tmp_path).open("ab") as file:
        file.write(b"torn")
    before = segment(tmp_path).read_bytes()
    resume(tmp_path).close()
    assert segment(tmp_path).read_bytes() == before


def test_what_a_killed_writer_left_unsynced_is_made_durable_before_the_new_segment_vouches_for_it(
    tmp_path: Path,
) -> None:
    with begin(tmp_path) as writer:
        put(writer)
    storage = FaultyStorage()
    writer = resume(tmp_path, storage=storage)
    writer.close()
    calls = [(call.effect, Path(call.path).name) for call in storage.calls]
    assert calls.index(("sync_path", segment(tmp_path, 1).name)) < calls.index(
        ("rename", segment(tmp_path, 2).name)
    )
    assert scan_of(tmp_path).durable_lsn >= writer.durable_lsn


def test_a_batch_that_was_open_is_aborted_by_the_resume(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        batch = put_batch(writer, b"half", end=False)
        writer.sync()
    with resume(tmp_path) as writer:
        assert (writer.open_batch, writer.last_batch) == (0, batch)
        put(writer, b"next", sync=True)
    found = scan_of(tmp_path)
    assert found.aborted == {batch}
    assert [payload for *_, payload in record_content(tmp_path)] == [b"next"]


def test_a_resume_can_be_resumed_at_once_and_many_times(tmp_path: Path) -> None:
    begin(tmp_path).close()
    for n in range(5):
        JournalWriter.resume(STORAGE, tmp_path, scan_of(tmp_path), JournalOptions()).close()
        with resume(tmp_path) as writer:
            put(writer, bytes([n]), sync=True)
    found = scan_of(tmp_path)
    assert (found.damage, len(found.segments)) == ((), 11)
    assert [payload for *_, payload in record_content(tmp_path)] == [bytes([n]) for n in range(5)]


def test_a_damaged_journal_is_not_resumed(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        put(writer, sync=True)
    flip(segment(tmp_path), 128 + 20)
    with pytest.raises(CorruptJournalError):
        resume(tmp_path)
    assert not segment(tmp_path, 2).exists()


def test_damage_of_what_was_whole_at_a_resume_is_damage_though_it_was_never_synced_by_its_writer(
    tmp_path: Path,
) -> None:
    with begin(tmp_path) as writer:
        put(writer)
        put(writer)
    resume(tmp_path).close()
    data = bytearray(segment(tmp_path).read_bytes())
    data[-1] ^= 1
    segment(tmp_path).write_bytes(data)
    assert [(d.segment, d.lsn) for d in scan_of(tmp_path).damage] == [(1, 4)]
