"""Readers that are a burden, and readers that may not write: they expire; the checkpoint is made."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from safeh5.errors import LiveViewExpiredError
from safeh5.storage import readers
from safeh5.storage.pager import forget_checkpoint, slot_path
from safeh5.storage.readers import PREFIX, Readers
from safeh5.storage.redo import PAGE
from safeh5.storage.registration import Registration
from safeh5.testing.faults import Fault, FaultyStorage
from tests.live.snapshots import SESSION, Calm, Run, content, filled

# --- readers that are a burden ---------------------------------------------------------------------


def test_a_snapshot_that_would_need_more_than_its_limit_expires_and_never_shows_other_bytes(run: Run) -> None:
    old = filled(run)
    with run.look(limit=3 * (PAGE + 64)) as snapshot, run.look() as patient:
        for number in range(6):
            run.put(number * PAGE, b"n" * PAGE)
            run.checkpoint()
            if number < 2:
                assert content(snapshot) == old
        with pytest.raises(LiveViewExpiredError, match="refresh"):
            content(snapshot)
        assert content(patient) == old


@pytest.mark.parametrize("effect", ["write_at", "open_random", "read_at", "truncate"])
def test_a_readers_file_that_cannot_be_written_expires_and_the_checkpoint_is_made(
    tmp_path: Path, effect: str
) -> None:
    clean = Run(tmp_path)
    filled(clean)
    with clean.look() as snapshot:
        clean.put(0, b"n" * PAGE)
        plan = [Fault(effect, path=PREFIX, times=None, error=errno.ENOSPC)]
        if effect == "truncate":
            plan.append(Fault("write_at", path=PREFIX, times=None, error=errno.ENOSPC))
        clean.pager._readers = None
        clean.pager.checkpoint(FaultyStorage(*plan), SESSION, 2)
        assert clean.pager.error is None
        with pytest.raises(LiveViewExpiredError):
            content(snapshot)
    assert clean.look().redo.sequence == 2
    clean.pager.close()


def test_the_last_room_on_the_disk_is_not_taken_for_a_reader(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(run)
    with run.look() as snapshot:
        monkeypatch.setattr(Calm, "free_space", lambda self, path: readers.RESERVE, raising=False)
        run.put(0, b"n")
        run.checkpoint()
        with pytest.raises(LiveViewExpiredError):
            content(snapshot)


def test_the_file_of_a_reader_that_is_gone_is_removed_at_the_next_checkpoint(run: Run) -> None:
    filled(run)
    pid = os.fork()
    if pid == 0:
        run.look()
        os._exit(0)
    os.waitpid(pid, 0)
    assert len(run.reader_files()) == 1
    (run.path.parent / f"{PREFIX}1-half.new").touch()
    run.checkpoint()
    assert run.reader_files() == []


def test_a_file_that_the_writer_takes_for_left_over_while_it_is_made_is_made_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = filled(run)
    real, taken = Calm.create_private, []

    def removed_once(self: Calm, path: str, owner: int | None = None) -> object:
        file = real(self, path, owner)
        if not taken:
            taken.append(path)
            run.pager._readers = Readers(run.storage, run.path)
            run.pager._readers._living()  # as a checkpoint of another file would, or one that then fails
        return file

    monkeypatch.setattr(Calm, "create_private", removed_once, raising=False)
    with run.look() as snapshot:
        assert taken and snapshot.registered
        run.put(0, b"n")
        run.checkpoint()
        assert content(snapshot) == old


def test_a_page_is_saved_once_for_a_snapshot_however_often_it_changes(run: Run) -> None:
    filled(run)
    with run.look():
        sizes = []
        for number in range(4):
            run.put(0, bytes([number]))
            run.checkpoint()
            sizes.append((run.path.parent / run.reader_files()[0]).stat().st_size)
        assert len(set(sizes)) == 1 and sizes[0] < 2 * PAGE
        run.killed()
        run.put(0, b"after")
        run.checkpoint()
        assert (run.path.parent / run.reader_files()[0]).stat().st_size == sizes[0]


# --- readers that may not write --------------------------------------------------------------------


@pytest.fixture
def unregistered(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(errno.EACCES, "may not write there")

    monkeypatch.setattr(Registration, "make", refuse)


@pytest.mark.usefixtures("unregistered")
def test_without_registration_a_snapshot_is_whole_until_the_next_checkpoint_and_an_error_from_then_on(
    run: Run,
) -> None:
    old = filled(run)
    with run.look() as snapshot:
        assert not snapshot.registered
        run.put(0, b"n" * (9 * PAGE))
        assert content(snapshot) == old
        run.checkpoint()
        with pytest.raises(LiveViewExpiredError, match="refresh"):
            content(snapshot)


@pytest.mark.usefixtures("unregistered")
@pytest.mark.parametrize("what", ["begun anew", "committed", "taken back"])
def test_without_registration_a_snapshot_is_not_believed_when_its_file_has_gone(run: Run, what: str) -> None:
    filled(run)
    with run.look() as snapshot:
        if what == "begun anew":
            forget_checkpoint(run.storage, run.path)
            run.path.write_bytes(b"another")
        elif what == "committed":
            os.replace(run.path, run.path.parent / "run.h5")
        else:
            os.unlink(slot_path(run.path, snapshot.redo.sequence % 2))
        with pytest.raises(LiveViewExpiredError):
            content(snapshot)


@pytest.mark.usefixtures("unregistered")
def test_a_slot_that_was_left_half_written_does_not_expire_a_snapshot(run: Run) -> None:
    old = filled(run)
    run.put(0, b"n")
    run.checkpoint()
    now = run.path.read_bytes()
    with open(slot_path(run.path, 1), "r+b") as file:
        head = bytearray(file.read(72))
        head[32:40] = (3).to_bytes(8, "little")
        file.seek(0)
        file.write(head)
    with run.look() as snapshot:
        assert snapshot.redo.sequence == 2 and content(snapshot) == now != old
