"""Whoever looks at a checkpoint of the staging file sees that checkpoint, byte for byte, or gets an error."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeh5.errors import LiveViewExpiredError
from safeh5.storage import Storage, undo
from safeh5.storage.pager import Pager, forget_checkpoint
from safeh5.storage.readers import Readers, remove_readers
from safeh5.storage.redo import PAGE
from safeh5.storage.snapshot import SnapshotFile
from safeh5.testing.faults import Fault, FaultyRandomFile, FaultyStorage, Killed
from tests.live.snapshots import SESSION, Run, content, filled


def test_a_snapshot_stays_what_it_is_while_later_checkpoints_are_placed_over_it(run: Run) -> None:
    old = filled(run)
    with run.look() as snapshot:
        for number in range(5):
            run.put(number * PAGE + 17, b"later")
            run.put((number + 6) * PAGE, bytes([number]) * PAGE)
            run.checkpoint()
            assert content(snapshot) == old
        assert run.path.read_bytes()[: len(old)] != old


def test_a_file_that_becomes_shorter_takes_nothing_from_a_snapshot(run: Run) -> None:
    old = filled(run)
    with run.look() as snapshot:
        run.pager.truncate(PAGE + 100)
        run.checkpoint()
        assert content(snapshot) == old
        run.put(PAGE + 100, b"x" * (8 * PAGE))  # straight into the file, where the snapshot reaches
        assert content(snapshot) == old
        run.checkpoint()
        assert content(snapshot) == old


def test_a_snapshot_outlives_its_file_its_directory_and_its_writer(run: Run, tmp_path: Path) -> None:
    old = filled(run)
    with run.look() as snapshot:
        run.put(0, b"later")
        run.checkpoint()
        run.pager.close()
        forget_checkpoint(run.storage, run.path)
        again = Run(tmp_path)
        for number in range(4):  # a file of the same session, with sequence numbers from 1 again
            again.put(0, bytes([number]) * (8 * PAGE))
            again.checkpoint()
        assert content(snapshot) == old
        again.pager.close()
        remove_readers(again.storage, again.path)
        again.path.unlink()
        assert content(snapshot) == old


@settings(max_examples=150)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["write", "write", "write", "truncate", "checkpoint", "look", "close", "killed"]),
            st.integers(0, 6 * PAGE),
            st.integers(1, 2 * PAGE),
        ),
        max_size=40,
    )
)
def test_every_snapshot_is_its_checkpoint_whatever_the_writer_does(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    run = Run(tmp_path_factory.mktemp("run"))
    last, open_ones = b"", []
    for number, (step, offset, size) in enumerate(steps):
        if step == "write":
            run.put(offset, bytes([number + 1]) * size)
        elif step == "truncate" and offset < run.pager.size:
            run.pager.truncate(offset)
        elif step == "checkpoint":
            last = run.checkpoint()
        elif step == "look" and run.number:
            open_ones.append((run.look(), last))
            assert open_ones[-1][0].registered
        elif step == "close" and open_ones:
            open_ones.pop(offset % len(open_ones))[0].close()
        elif step == "killed" and run.number:
            run.killed()
        for snapshot, expected in open_ones:
            assert content(snapshot) == expected
    assert len(run.reader_files()) == len(open_ones)
    for snapshot, _ in open_ones:
        snapshot.close()
    run.pager.close()
    assert run.reader_files() == []


# --- the writer dies in the middle -----------------------------------------------------------------


def test_a_writer_that_dies_anywhere_in_a_checkpoint_leaves_snapshots_whole(tmp_path: Path) -> None:
    """Each effect of the checkpoint is the last one in turn; then another writer goes on."""
    number = 0
    while True:
        directory = tmp_path / str(number)
        directory.mkdir()
        run = Run(directory)
        old = filled(run)
        with run.look() as snapshot, run.look() as second:
            run.put(0, b"n" * PAGE)
            run.put(3 * PAGE, b"n" * (4 * PAGE))
            faulty = FaultyStorage(Fault(nth=number + 1, kill=True))
            run.pager._file = FaultyRandomFile(faulty, Storage().open_random(run.path))
            survived = _checkpointed(run, faulty)
            assert content(snapshot) == old and content(second) == old
            run.killed()
            assert content(snapshot) == old
            run.put(PAGE, b"m" * PAGE)
            run.checkpoint()
            assert content(snapshot) == old and content(second) == old
        run.pager.close()
        if survived:
            return
        number += 1


def _checkpointed(run: Run, storage: FaultyStorage) -> bool:
    try:
        run.pager.checkpoint(storage, SESSION, 99)
    except Killed:
        return False
    return True


def test_a_record_that_was_cut_off_in_writing_is_written_again(run: Run) -> None:
    old = filled(run)
    with run.look() as snapshot:
        run.put(0, b"n" * (2 * PAGE))
        (name,) = run.reader_files()
        record = undo.pack_record(2, [0, 1], old[: 2 * PAGE])
        with open(run.path.parent / name, "ab") as file:
            file.write(record[: len(record) // 2])
        assert content(snapshot) == old
        run.checkpoint()
        assert content(snapshot) == old


def test_a_snapshot_of_a_checkpoint_that_was_taken_back_expires(run: Run) -> None:
    filled(run)
    run.put(0, b"never" * 1000)
    seen: list[SnapshotFile] = []

    class Looking(FaultyStorage):
        """Somebody looks between the writing of a slot and the sync of it, which fails."""

        def attempt(self, effect, path, action):  # type: ignore[no-untyped-def]
            if effect == "sync" and "redo-0" in os.fspath(path) and not seen:
                seen.append(run.look())
                raise OSError(errno.EIO, "sync failed")
            return super().attempt(effect, path, action)

    with pytest.raises(OSError):
        run.pager.checkpoint(Looking(), SESSION, 2)
    assert seen[0].redo.sequence == 2
    run.killed()
    with seen[0], pytest.raises(LiveViewExpiredError):
        content(seen[0])


# --- the tests can fail ----------------------------------------------------------------------------


def _nothing_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Readers, "save", lambda self, file, redo: None)


def _saved_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    from safeh5.storage import pager

    def late(self: Pager, storage: Storage, redo: object) -> None:
        pager._place(self._file, redo)  # type: ignore[arg-type]
        self._readers = self._readers or Readers(storage, self.path)
        self._readers.save(self._file, redo)  # type: ignore[arg-type]

    monkeypatch.setattr(Pager, "_place", late)


@pytest.mark.parametrize("plant", [_nothing_saved, _saved_too_late])
def test_a_pager_that_saves_nothing_or_too_late_is_found_out(
    run: Run, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    old = filled(run)
    with run.look() as snapshot:
        plant(monkeypatch)
        run.put(0, b"n")
        run.checkpoint()
        assert content(snapshot) != old


def test_a_file_that_lost_its_end_is_an_error_and_not_zeros(run: Run) -> None:
    filled(run)
    with run.look() as snapshot:
        os.truncate(run.path, 2 * PAGE)
        with pytest.raises(OSError, match="ends at byte"):
            content(snapshot)


def test_open_files_do_not_add_up(run: Run) -> None:
    filled(run)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        run.look().close()
        run.checkpoint()
    assert len(os.listdir("/proc/self/fd")) <= before
