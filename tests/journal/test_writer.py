"""The writer: what is durable when, and what happens when the disk refuses."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from safeh5.errors import (
    InputError,
    InternalError,
)
from safeh5.journal import JournalWriter, Kind, frames
from safeh5.journal.format import MAX_META, count_in, encode_meta
from safeh5.journal.shared import COPIED
from safeh5.options import Durability, JournalOptions
from safeh5.storage import Storage
from safeh5.testing.faults import FaultyStorage
from tests.journal.building import (
    SESSION_ID,
    STORAGE,
    begin,
    put,
    put_batch,
    record_content,
    resume,
    scan_of,
    segment,
)

# --- LSNs, durability, marks -----------------------------------------------------------


def test_lsns_are_dense_and_the_writer_knows_the_next(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        assert [put(writer), put(writer)] == [3, 4]
        assert (writer.next_lsn, writer.last_batch, writer.open_batch) == (5, 2, 0)
        batch = put_batch(writer, b"x", end=False)
        assert (writer.last_batch, writer.open_batch) == (batch, batch)


def test_nothing_is_durable_before_a_sync_and_everything_is_after_it(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        lsn = put(writer)
        assert writer.durable_lsn < lsn
        assert writer.sync() == lsn == writer.durable_lsn


def test_a_sync_leaves_a_mark_that_says_what_was_durable(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        lsn = put(writer, sync=True)
    marks = [frame for frame in frames(STORAGE, scan_of(tmp_path)) if frame.kind is Kind.SYNC]
    assert [count_in(frame.meta, "durable") for frame in marks] == [1, lsn]
    assert scan_of(tmp_path).durable_lsn == lsn


def test_a_sync_with_nothing_new_touches_nothing(tmp_path: Path) -> None:
    storage = FaultyStorage()
    with begin(tmp_path, storage=storage) as writer:
        put(writer, sync=True)
        calls, size = len(storage.calls), writer.size
        assert writer.sync() == writer.durable_lsn
        assert (len(storage.calls), writer.size) == (calls, size)


@pytest.mark.parametrize("kind", [Kind.RESUME, Kind.SEAL, Kind.COMMIT, Kind.ROLLBACK])
def test_a_record_that_proves_durability_is_written_after_a_sync(tmp_path: Path, kind: Kind) -> None:
    storage = FaultyStorage()
    with begin(tmp_path, storage=storage) as writer:
        lsn = put(writer)
        del storage.calls[:]
        writer.append(kind, encode_meta(time=0))
        assert storage.effects() == ["sync", "append"]
        assert writer.durable_lsn == lsn


@pytest.mark.parametrize("kind", [Kind.RESUME, Kind.SEAL, Kind.COMMIT, Kind.ROLLBACK])
def test_no_mark_that_is_not_synced_stands_before_a_record_that_vouches_for_it(
    tmp_path: Path, kind: Kind
) -> None:
    # Found by crash states: a power cut that took the SYNC mark and left the COMMIT behind it was
    # taken for damage, since the COMMIT says that everything before it was durable.
    storage = FaultyStorage()
    with begin(tmp_path, storage=storage) as writer:
        put(writer, sync=True)
        del storage.calls[:]
        writer.append(kind, encode_meta(time=0))
        assert storage.effects() == ["sync", "append"]


def test_a_frame_is_written_by_one_system_call(tmp_path: Path) -> None:
    storage = FaultyStorage()
    with begin(tmp_path, storage=storage) as writer:
        del storage.calls[:]
        put(writer, b"x" * COPIED)
        assert storage.effects() == ["append"]


def test_a_large_frame_is_written_by_one_system_call_and_then_gets_its_checksum(tmp_path: Path) -> None:
    storage = FaultyStorage()
    with begin(tmp_path, storage=storage) as writer:
        del storage.calls[:]
        put(writer, b"x" * (COPIED + 1))
        assert [effect for effect in storage.effects() if effect != "read_at"] == ["append", "amend"]


@pytest.mark.parametrize("durability", list(Durability))
def test_the_segment_header_says_how_the_session_syncs(tmp_path: Path, durability: Durability) -> None:
    JournalWriter.create(STORAGE, tmp_path, SESSION_ID, JournalOptions(durability=durability)).close()
    header = scan_of(tmp_path).segments[0].header
    assert header is not None
    assert header.durability == list(Durability).index(durability)


# --- segments -----------------------------------------------------------------------------


def test_a_new_segment_has_a_durable_header_before_it_has_a_name(tmp_path: Path) -> None:
    storage = FaultyStorage()
    begin(tmp_path, storage=storage).close()
    assert storage.effects()[:5] == ["create", "append", "sync", "rename", "sync_directory"]


def test_the_old_segment_is_durable_before_the_new_one_exists(tmp_path: Path) -> None:
    storage = FaultyStorage()
    with begin(tmp_path, storage=storage, segment_bytes=300) as writer:
        put(writer, b"x" * 200)
        del storage.calls[:]
        put(writer)
        assert storage.calls[0].effect == "sync"
        assert storage.calls[0].path == str(segment(tmp_path, 1))
        made = ["create", "append", "sync", "rename", "sync_directory", "open_append"]
        assert storage.effects()[1:] == [*made, "append"]
        assert writer.durable_lsn == writer.next_lsn - 2
    assert len(scan_of(tmp_path).segments) == 2


def test_the_size_is_that_of_all_segments(tmp_path: Path) -> None:
    with begin(tmp_path, segment_bytes=300) as writer:
        for _ in range(9):
            put(writer)
        assert writer.size == sum(path.stat().st_size for path in tmp_path.iterdir())
    with resume(tmp_path) as writer:
        assert writer.size == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_a_leftover_of_an_unfinished_segment_is_replaced(tmp_path: Path) -> None:
    with begin(tmp_path, segment_bytes=300) as writer:
        segment(tmp_path, 2).with_suffix(".log.new").write_bytes(b"left over by a crash")
        for _ in range(5):
            put(writer)
    assert scan_of(tmp_path).damage == ()


def test_after_the_directory_was_renamed_new_segments_go_there(tmp_path: Path) -> None:
    with begin(tmp_path / "new", segment_bytes=300) as writer:
        (tmp_path / "new").rename(tmp_path / "final")
        writer.moved_to(tmp_path / "final")
        for _ in range(5):
            put(writer)
    found = scan_of(tmp_path / "final")
    assert found.damage == ()
    assert found.records == 5


# --- the rules of batches ------------------------------------------------------------------


def test_a_record_that_breaks_the_rules_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        put_batch(writer, b"open", end=False)
        size = writer.size
        for attempt in (
            lambda: writer.append(Kind.OPERATION, encode_meta(), batch=2),
            lambda: writer.append(Kind.OPERATION, encode_meta(), batch=1, whole=True),
            lambda: writer.append(Kind.END, encode_meta(records=7), batch=1),
            lambda: writer.end_batch(9),
            lambda: writer.abort_batch(9),
            lambda: writer.append(Kind.COMMIT, encode_meta()),
            lambda: writer.append(Kind.SESSION, encode_meta()),
            lambda: writer.append(Kind.SYNC, encode_meta(durable=1)),
        ):
            with pytest.raises(InternalError):
                attempt()
        writer.end_batch(1)
        assert writer.size > size
    assert len(record_content(tmp_path)) == 1


def test_a_batch_that_was_just_ended_can_still_be_aborted(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        put(writer)
        writer.abort_batch(put_batch(writer, b"x"))
        put(writer)
        writer.abort_batch(writer.last_batch)
    assert scan_of(tmp_path).records == 1


def test_a_meta_part_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    with begin(tmp_path) as writer, pytest.raises(InputError, match="67108864 are allowed"):
        writer.append(Kind.OPERATION, bytes(MAX_META + 1), batch=1)


# --- interruptions and threads -----------------------------------------------------------------


class Interrupting(Storage):
    """Its files raise KeyboardInterrupt in the middle of the n-th write, as Ctrl-C would."""

    def __init__(self, nth: int, written: int) -> None:
        self.nth = nth
        self.written = written

    def open_append(self, path: str | os.PathLike[str]):  # type: ignore[no-untyped-def]
        file = super().open_append(path)
        write = file.write

        def interrupted(buffers):  # type: ignore[no-untyped-def]
            self.nth -= 1
            if self.nth:
                return write(buffers)
            write([b"".join(buffers)[: self.written]])
            raise KeyboardInterrupt

        file.write = interrupted  # type: ignore[method-assign]
        return file


@pytest.mark.parametrize("written", [0, 1, 50, 100_000])
def test_an_interrupted_write_is_cut_off_before_the_next(tmp_path: Path, written: int) -> None:
    with begin(tmp_path, storage=Interrupting(4, written)) as writer:
        first = put(writer)
        with pytest.raises(KeyboardInterrupt):
            put(writer, b"interrupted" * 10)
        assert put(writer, b"next", sync=True) == first + 1
    found = scan_of(tmp_path)
    assert (found.damage, found.torn) == ((), None)
    assert [payload for *_, payload in record_content(tmp_path)] == [b"payload", b"next"]


def test_threads_that_append_and_sync_write_one_sound_journal(tmp_path: Path) -> None:
    rounds, failures = 150, []

    def sync_all(writer: JournalWriter, stop: threading.Event) -> None:
        while not stop.is_set():
            promised = writer.sync()
            if promised > writer.next_lsn - 1:
                failures.append(promised)

    with begin(tmp_path, segment_bytes=2000) as writer:
        stop = threading.Event()
        threads = [threading.Thread(target=sync_all, args=(writer, stop)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(rounds):
            put(writer, b"t" * 30)
        stop.set()
        for thread in threads:
            thread.join()
        writer.sync()
    found = scan_of(tmp_path)
    assert (found.damage, found.torn, found.records, failures) == ((), None, rounds, [])


def test_a_frame_can_be_appended_while_the_disk_works_on_a_sync(tmp_path: Path) -> None:
    in_sync, go_on = threading.Event(), threading.Event()

    class Slow(Storage):
        def open_append(self, path: str | os.PathLike[str]):  # type: ignore[no-untyped-def]
            file = super().open_append(path)
            sync = file.sync

            def slow() -> None:
                in_sync.set()
                assert go_on.wait(10)
                sync()

            file.sync = slow  # type: ignore[method-assign]
            return file

    writer = JournalWriter.create(Slow(), tmp_path, SESSION_ID, JournalOptions())
    first = writer.append(Kind.SESSION, encode_meta())
    thread = threading.Thread(target=writer.sync)
    thread.start()
    assert in_sync.wait(10)
    second = put(writer)
    go_on.set()
    thread.join()
    assert writer.durable_lsn == first < second
    assert writer.sync() > second
    writer.close()
    assert scan_of(tmp_path).damage == ()
