"""The writer: what is durable when, and what happens when the disk refuses."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from safeh5.errors import (
    DiskFullError,
    InputError,
    InternalError,
    JournalWriteError,
    SafeH5Error,
    SessionFailedError,
)
from safeh5.journal import JournalWriter, Kind, frames
from safeh5.journal.format import MAX_META, count_in, encode_meta
from safeh5.options import Durability, JournalOptions
from safeh5.storage import Storage
from safeh5.testing.faults import Fault, FaultyStorage, Killed, disk_full, each_call
from tests.journal.building import (
    SESSION_ID,
    STORAGE,
    begin,
    content,
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
        put(writer, b"x" * 100_001)
        assert storage.effects() == ["append"]


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


# --- a full disk -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("short", [0, 1, 47, 48, 60, 500])
def test_a_write_without_room_leaves_nothing_behind_and_can_be_repeated(
    tmp_path: Path, number: int, short: int
) -> None:
    storage = FaultyStorage(Fault("append", nth=4, error=number, short=short))
    with begin(tmp_path, storage=storage) as writer:
        size, next_lsn = writer.size, writer.next_lsn
        with pytest.raises(DiskFullError) as caught:
            put(writer, b"z" * 1000)
        assert caught.value.errno == number
        assert caught.value.needed is not None
        assert caught.value.needed >= 1048
        assert segment(tmp_path).stat().st_size == size == writer.size
        assert not writer.failed
        assert put(writer, b"z" * 1000, sync=True) == next_lsn
    assert scan_of(tmp_path).torn is None
    assert [payload for *_, payload in record_content(tmp_path)] == [b"z" * 1000]


def test_a_batch_can_be_aborted_after_a_full_disk(tmp_path: Path) -> None:
    storage = FaultyStorage(disk_full("append", nth=5, times=1))
    with begin(tmp_path, storage=storage) as writer:
        batch = put_batch(writer, b"a", end=False)
        with pytest.raises(DiskFullError):
            writer.append(Kind.OPERATION, encode_meta(), b"b", batch=batch)
        writer.abort_batch(batch)
        put(writer, b"after", sync=True)
    assert [payload for *_, payload in record_content(tmp_path)] == [b"after"]


def test_no_room_for_a_new_segment_leaves_the_writer_usable(tmp_path: Path) -> None:
    storage = FaultyStorage(disk_full("append", nth=5, times=1))
    with begin(tmp_path, storage=storage, segment_bytes=300) as writer:
        put(writer, b"x" * 200)
        with pytest.raises(DiskFullError, match="journal-00000002"):
            put(writer)
        assert sorted(path.name for path in tmp_path.iterdir()) == [segment(tmp_path).name]
        put(writer, sync=True)
    found = scan_of(tmp_path)
    assert (len(found.segments), found.records, found.damage) == (2, 2, ())


def test_no_room_for_the_mark_does_not_undo_the_sync(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = FaultyStorage(disk_full("append", nth=5, times=1, short=10))
    with begin(tmp_path, storage=storage) as writer:
        lsn = put(writer)
        assert writer.sync() == lsn
        assert "no SYNC mark" in caplog.text
        assert not writer.failed
        put(writer, sync=True)
    assert scan_of(tmp_path).records == 2


# --- a broken disk ------------------------------------------------------------------------------


def test_a_failed_sync_is_never_retried(tmp_path: Path) -> None:
    storage = FaultyStorage(Fault("sync", nth=3))
    with begin(tmp_path, storage=storage) as writer:
        durable = writer.durable_lsn
        put(writer)
        with pytest.raises(JournalWriteError, match="fsync of") as caught:
            writer.sync()
        assert caught.value.errno == errno.EIO
        assert "safeh5 recover" in str(caught.value)
        calls = len(storage.calls)
        for attempt in (writer.sync, lambda: put(writer), lambda: writer.append(Kind.SEAL, encode_meta())):
            with pytest.raises(SessionFailedError, match="fsync of"):
                attempt()
        assert len(storage.calls) == calls
        assert (writer.failed, writer.durable_lsn) == (True, durable)


@pytest.mark.parametrize("error", [errno.EIO, errno.EROFS], ids=["EIO", "EROFS"])
def test_a_write_error_other_than_a_full_disk_leaves_the_journal_whole_and_the_writer_usable(
    tmp_path: Path, error: int
) -> None:
    storage = FaultyStorage(Fault("append", nth=4, short=20, error=error))
    with begin(tmp_path, storage=storage) as writer:
        with pytest.raises(JournalWriteError) as caught:
            put(writer)
        assert caught.value.errno == error and not writer.failed
        assert scan_of(tmp_path).torn is None
        put(writer)
        writer.sync()
    found = scan_of(tmp_path)
    assert (found.damage, found.torn, found.records) == ((), None, 1)


def test_a_partial_frame_that_cannot_be_cut_off_ends_the_writer(tmp_path: Path) -> None:
    storage = FaultyStorage(disk_full("append", nth=4, short=20), Fault("truncate"))
    with begin(tmp_path, storage=storage) as writer:
        with pytest.raises(JournalWriteError, match="shortening"):
            put(writer)
        with pytest.raises(SessionFailedError):
            writer.sync()
    found = scan_of(tmp_path)
    assert found.damage == ()
    assert found.torn is not None
    assert found.torn.size == 20


@pytest.mark.parametrize("effect", ["rename", "sync_directory", "open_append"])
def test_a_new_segment_whose_name_is_uncertain_ends_the_writer(tmp_path: Path, effect: str) -> None:
    storage = FaultyStorage(Fault(effect, nth=2, error=errno.ENOSPC))
    with begin(tmp_path, storage=storage, segment_bytes=300) as writer:
        put(writer, b"x" * 200)
        with pytest.raises(JournalWriteError):
            put(writer)
        with pytest.raises(SessionFailedError):
            put(writer)
    assert (scan_of(tmp_path).damage, scan_of(tmp_path).records) == ((), 1)


def test_a_closed_writer_says_so(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    writer.close()
    writer.close()
    with pytest.raises(SessionFailedError, match="closed"):
        put(writer)


def drive(directory: Path, storage: Storage, acknowledged: list[int]) -> None:
    """A session with rolls, batches, a resume; tells in `acknowledged` what it was promised."""
    with begin(directory, storage=storage, segment_bytes=500) as writer:
        for n in range(4):
            put_batch(writer, b"a" * 60, bytes([n]))
            acknowledged.append(writer.sync())
        writer.abort_batch(put_batch(writer, b"no", end=False))
    with resume(directory, storage=storage, segment_bytes=500) as writer:
        for _ in range(3):
            put(writer, b"b" * 90)
            acknowledged.append(writer.sync())
        writer.append(Kind.SEAL, encode_meta(time=0))
        acknowledged.append(writer.sync())


@pytest.mark.parametrize("fault", [{"kill": True}, {"kill": True, "done": True}, {"kill": True, "short": 30}])
def test_a_kill_at_any_disk_effect_leaves_all_that_was_acknowledged(
    tmp_path: Path, fault: dict[str, object]
) -> None:
    clean = FaultyStorage()
    drive(tmp_path / "clean", clean, [])
    whole = [facts[3:] for facts in content(tmp_path / "clean")]
    for number, plan in enumerate(each_call(clean, **fault)):
        directory, acknowledged = tmp_path / str(number), [0]
        with pytest.raises(Killed):
            drive(directory, FaultyStorage(plan), acknowledged)
        if not any(path.suffix == ".log" for path in directory.iterdir()):
            assert acknowledged == [0]
            continue
        found = scan_of(directory)
        assert found.damage == ()
        assert found.last_lsn >= acknowledged[-1]
        kept = [facts[3:] for facts in content(directory)]
        assert kept == whole[: len(kept)]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_error_at_any_disk_effect_leaves_all_that_was_acknowledged(tmp_path: Path, number: int) -> None:
    clean = FaultyStorage()
    drive(tmp_path / "clean", clean, [])
    for index, plan in enumerate(each_call(clean, error=number)):
        directory, acknowledged = tmp_path / str(index), [0]
        try:
            drive(directory, FaultyStorage(plan), acknowledged)
        except SafeH5Error:
            pass
        except OSError as error:
            assert error.errno == number, "reading it may fail as the disk fails"
        if any(path.suffix == ".log" for path in directory.iterdir()):
            found = scan_of(directory)
            assert found.damage == ()
            assert found.last_lsn >= acknowledged[-1]


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
