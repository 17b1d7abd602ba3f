"""Frames whose payload somebody changes while they are written."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from safeh5.errors import SafeH5Error
from safeh5.journal import JournalWriter, Kind
from safeh5.journal.format import encode_meta
from safeh5.journal.shared import COPIED
from safeh5.storage import AppendFile, Storage
from safeh5.testing.faults import Fault, FaultyStorage, Killed, disk_full, each_call
from tests.journal.building import begin, content, put, record_content, resume, scan_of

LARGE = COPIED + 1001
"""Not a multiple of 8: there is padding behind it."""


def append(writer: JournalWriter, payload: np.ndarray) -> int:
    return writer.append(
        Kind.OPERATION, encode_meta(op="write"), payload, batch=writer.last_batch + 1, whole=True
    )


@contextmanager
def changing(
    patch: pytest.MonkeyPatch, before: Callable[[], None], after: Callable[[], None]
) -> Iterator[None]:
    """Do something right before, and right after the system copies what is written to a journal."""
    write = AppendFile._do_write

    def changed(file: AppendFile, views: list[memoryview]) -> int:
        before()
        try:
            return write(file, views)
        finally:
            after()

    with patch.context() as inside:
        inside.setattr(AppendFile, "_do_write", changed)
        yield


@pytest.mark.parametrize("size", [1, 2048, 2049, COPIED, LARGE, 1 << 20])
def test_an_array_that_changes_between_checksum_and_write_leaves_a_good_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    array = np.zeros(size, np.uint8)
    with begin(tmp_path) as writer:
        with changing(monkeypatch, lambda: array.fill(7), lambda: None):
            append(writer, array)
        put(writer, b"next", sync=True)
    found = scan_of(tmp_path)
    assert (found.damage, found.torn) == ((), None)
    payload, following = (payload for *_, payload in record_content(tmp_path))
    assert set(payload) <= {0, 7} and len(payload) == size
    assert following == b"next"


@pytest.mark.parametrize("size", [COPIED, LARGE, 1 << 20])
def test_an_array_that_changes_and_changes_back_leaves_a_good_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    # The same bytes before and after, others in between: no look at the array could tell.
    array = np.zeros(size, np.uint8)
    with begin(tmp_path) as writer:
        with changing(monkeypatch, lambda: array.fill(7), lambda: array.fill(0)):
            append(writer, array)
        put(writer, b"next", sync=True)
    found = scan_of(tmp_path)
    assert (found.damage, found.torn, found.records) == ((), None, 2)


def test_an_array_that_changes_after_the_write_is_in_the_journal_as_it_was_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.arange(LARGE, dtype=np.uint8)
    before = array.tobytes()
    with begin(tmp_path) as writer:
        with changing(monkeypatch, lambda: None, lambda: array.fill(0)):
            append(writer, array)
        writer.sync()
    assert [payload for *_, payload in record_content(tmp_path)] == [before]


def test_an_array_that_changes_while_the_disk_is_full_is_kept_whole(tmp_path: Path) -> None:
    array = np.zeros(LARGE, np.uint8)
    storage = FaultyStorage()
    with begin(tmp_path, storage=storage) as writer:
        storage.replan(disk_full("append"))
        writer.append_applied(encode_meta(op="write"), array, gather=False)
        array.fill(7)
        storage.mend()
        writer.sync()
    found = scan_of(tmp_path)
    assert (found.damage, found.torn) == ((), None)
    assert [payload for *_, payload in record_content(tmp_path)] == [bytes(LARGE)]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("short", [0, 10])
def test_a_large_frame_that_fails_at_any_step_leaves_nothing_behind(
    tmp_path: Path, number: int, short: int
) -> None:
    clean = FaultyStorage()
    with begin(tmp_path / "clean", storage=clean) as writer:
        del clean.calls[:]
        append(writer, np.ones(LARGE, np.uint8))
    for count, fault in enumerate(each_call(clean, error=number, short=short)):
        directory = tmp_path / str(count)
        storage = FaultyStorage()
        with begin(directory, storage=storage) as writer:
            size = writer.size
            storage.replan(fault)
            with pytest.raises(SafeH5Error):
                append(writer, np.ones(LARGE, np.uint8))
            assert writer.size == size == (directory / "journal-00000001.log").stat().st_size
            append(writer, np.full(LARGE, 2, np.uint8))
            writer.sync()
        assert scan_of(directory).torn is None
        assert [payload for *_, payload in record_content(directory)] == [b"\2" * LARGE]


@pytest.mark.parametrize("done", [False, True])
def test_a_kill_at_any_step_of_a_large_frame_leaves_a_torn_tail_or_the_frame(
    tmp_path: Path, done: bool
) -> None:
    clean = FaultyStorage()
    with begin(tmp_path / "clean", storage=clean) as writer:
        del clean.calls[:]
        append(writer, np.ones(LARGE, np.uint8))
    for count, fault in enumerate(each_call(clean, kill=True, done=done)):
        directory = tmp_path / str(count)
        storage = FaultyStorage()
        writer = begin(directory, storage=storage)
        storage.replan(fault)
        with pytest.raises(Killed):
            append(writer, np.ones(LARGE, np.uint8))
        found = scan_of(directory)
        assert found.damage == ()
        whole = done and count == len(clean.calls) - 1
        assert [payload for *_, payload in record_content(directory)] == [b"\1" * LARGE] * whole
        with resume(directory) as writer:
            put(writer, b"on", sync=True)
        assert scan_of(directory).damage == ()
        assert content(directory)[-2][-1] == b"on"


def test_a_journal_that_somebody_cuts_off_in_mid_frame_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begin(tmp_path) as writer:
        path = tmp_path / "journal-00000001.log"
        with (
            changing(monkeypatch, lambda: None, lambda: _cut(path)),
            pytest.raises(SafeH5Error, match="not there any more"),
        ):
            append(writer, np.ones(LARGE, np.uint8))


def _cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 500)


def test_what_was_appended_last_can_be_read_and_put_right(tmp_path: Path) -> None:
    with Storage().create(tmp_path / "f") as file:
        file.write([b"abcdef"])
        file.amend(b"XY", 1)
        read = bytearray(8)
        assert file.read_into(memoryview(read), 0) == 6
        file.write([b"gh"])
        file.truncate(7)
        file.write([b"!"])
        assert file.size == 8
    assert bytes(read) == b"aXYdef\0\0"
    assert (tmp_path / "f").read_bytes() == b"aXYdefg!"
    assert Fault("amend").effect == "amend"
