"""The writer of the journal on a disk that is full, or broken."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from safeh5.errors import (
    DiskFullError,
    JournalWriteError,
    SafeH5Error,
    SessionFailedError,
)
from safeh5.journal import Kind
from safeh5.journal.format import encode_meta
from safeh5.storage import Storage
from safeh5.testing.faults import Fault, FaultyStorage, Killed, disk_full, each_call
from tests.journal.building import (
    begin,
    content,
    put,
    put_batch,
    record_content,
    resume,
    scan_of,
    segment,
)

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
