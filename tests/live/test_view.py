"""What a live view shows, through the whole life of a session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5 import LiveState, Shows
from safeh5.errors import (
    NotHDF5Error,
    SessionStateError,
    TargetIsDirectoryError,
    TargetNotFoundError,
)
from tests.support import batches, dead_session, entries, held, held_in, make_old, write_batch

# --- before, during and after a session ---------------------------------------------------------------


def test_without_file_and_session_there_is_nothing_to_look_at(target: Path) -> None:
    with pytest.raises(TargetNotFoundError):
        safeh5.live(target)


def test_a_directory_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(TargetIsDirectoryError):
        safeh5.live(tmp_path)


def test_without_a_session_the_file_itself_is_shown(target: Path) -> None:
    make_old(target)
    with safeh5.live(target) as view:
        assert held_in(view.file) == batches(old=True)
        assert (view.shows, view.state, view.ended, view.lsn) == (Shows.TARGET, LiveState.ENDED, True, 0)
        assert not view.refresh() and not view.wait(10)
    assert entries(target) == []


def test_a_file_that_is_no_hdf5_is_an_error(target: Path) -> None:
    target.write_bytes(b"something else" * 1000)
    with pytest.raises(NotHDF5Error):
        safeh5.live(target)


@pytest.mark.parametrize("old", [False, True])
def test_before_the_first_checkpoint_the_old_file_is_shown_or_an_empty_one(target: Path, old: bool) -> None:
    if old:
        make_old(target)
    with safeh5.open(target) as session, safeh5.live(target) as view:
        write_batch(session, 0)
        assert not view.refresh()
        assert held_in(view.file) == batches(old=old)
        assert view.shows is (Shows.TARGET if old else Shows.NOTHING)
        assert view.state is LiveState.RUNNING
        session.checkpoint()
        assert view.wait(10) and view.refresh()
        assert held_in(view.file) == batches(0, old=old)


@pytest.mark.parametrize("applier", ["inline", "process"])
def test_a_view_shows_checkpoint_after_checkpoint_and_then_the_committed_file(
    target: Path, applier: str
) -> None:
    make_old(target)
    with safeh5.open(target, applier=applier) as session:  # type: ignore[arg-type]
        write_batch(session, 0)
        session.checkpoint()
        with safeh5.live(target) as view:
            lsn = view.lsn
            assert view.shows is Shows.CHECKPOINT and lsn > 0 and not view.ended
            assert view.age is not None and view.age < 60
            write_batch(session, 1)
            assert held_in(view.file) == batches(0, old=True) and not view.refresh()
            session.checkpoint()
            assert held_in(view.file) == batches(0, old=True)
            assert view.refresh() and held_in(view.file) == batches(0, 1, old=True)
            assert view.lsn > lsn
            write_batch(session, 2)
            session.commit()
            assert held_in(view.file) == batches(0, 1, old=True)
            assert view.ended and view.wait(0) and view.refresh()
            assert held_in(view.file) == batches(0, 1, 2, old=True)
            assert view.shows is Shows.TARGET and not view.refresh()
    assert entries(target) == []


@pytest.mark.parametrize("keep", [False, True])
def test_after_a_roll_back_the_old_file_is_shown_and_no_reader_is_left(target: Path, keep: bool) -> None:
    make_old(target)
    session = safeh5.open(target)
    write_batch(session, 0)
    session.checkpoint()
    with safeh5.live(target) as view:
        session.rollback(keep=keep)
        assert held_in(view.file) == batches(0, old=True)
        assert view.refresh() and held_in(view.file) == batches(old=True)
        assert not list(target.parent.glob("*/staging.reader-*"))


def test_after_a_roll_back_without_an_old_file_refreshing_says_that_there_is_none(target: Path) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    session.checkpoint()
    with safeh5.live(target) as view:
        session.rollback()
        with pytest.raises(TargetNotFoundError):
            view.refresh()
        assert held_in(view.file) == batches(0)


def test_a_view_goes_on_with_the_next_session(target: Path) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    session.checkpoint()
    with safeh5.live(target) as view:
        session.commit()
        with safeh5.open(target) as following:
            assert view.refresh() and held_in(view.file) == batches(0)
            write_batch(following, 1)
            following.checkpoint()
            assert view.state is LiveState.RUNNING
            assert view.refresh() and held_in(view.file) == batches(0, 1)


@pytest.mark.parametrize("how", ["recover", "resume"])
def test_a_crash_of_the_writer_leaves_the_view_whole_and_what_follows_is_shown(
    tmp_path: Path, how: str
) -> None:
    target = dead_session(tmp_path / "dead", 0, 1)
    (tmp_path / "dead" / "run.h5.safeh5.lock").touch()
    with safeh5.live(target) as before:
        assert before.state is LiveState.STOPPED and before.shows is Shows.NOTHING
    with safeh5.open(target, resume=True) as session:
        session.checkpoint()
        with safeh5.live(target) as view:
            session.suspend()
            assert view.state is LiveState.STOPPED and not view.wait(5)
            if how == "recover":
                safeh5.recover(target)
                assert held_in(view.file) == batches(0, 1)
                assert view.refresh() and view.shows is Shows.TARGET
            else:
                with safeh5.open(target, resume=True) as again:
                    write_batch(again, 2)
                    assert not view.refresh() and held_in(view.file) == batches(0, 1)
                    again.checkpoint()
                    assert view.refresh() and held_in(view.file) == batches(0, 1, 2)
    assert held(target) >= batches(0, 1)


def test_a_killed_writer_leaves_the_view_whole(target: Path) -> None:
    code = f"""
import safeh5, sys
from tests.support import write_batch
session = safeh5.open({str(target)!r})
for number in range(1000):
    write_batch(session, number)
    session.checkpoint()
    print(number, flush=True)
"""
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    with safeh5.live(target) as view:
        shown = held_in(view.file)
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert held_in(view.file) == shown and view.state is LiveState.STOPPED
        view.refresh()
        assert held_in(view.file) >= shown
        safeh5.recover(target)
        assert held_in(view.file) >= shown
        assert view.refresh() and view.shows is Shows.TARGET


def test_readers_are_no_leftovers_to_status(target: Path) -> None:
    with safeh5.open(target) as session:
        write_batch(session, 0)
        session.checkpoint()
        with safeh5.live(target):
            report = safeh5.status(target)
            assert report.condition is safeh5.Condition.LIVE and not report.leftovers


# --- as an h5py.File --------------------------------------------------------------------------------


def test_a_view_is_used_like_a_file_of_h5py(target: Path) -> None:
    with safeh5.open(target) as session:
        write_batch(session, 0)
        write_batch(session, 1)
        session.checkpoint()
        with safeh5.live(target) as view:
            assert list(view) == list(view.keys()) == ["b0", "b1"] and len(view) == 2
            assert "b0/data" in view and "b7" not in view and view.get("b7") is None
            assert [type(v) for v in view.values()] == [h5py.Group] * 2
            assert dict(view.items())["b1"].name == "/b1"
            seen: list[str] = []
            view.visititems(lambda name, _: seen.append(name))
            assert seen == ["b0", "b0/data", "b1", "b1/data"]
            assert dict(view.attrs) == {} and view.filename == str(target) and view.mode == "r"
            assert isinstance(view.file, h5py.File) and "checkpoint" in repr(view)
            with pytest.raises((OSError, ValueError, KeyError)):
                view.file.create_group("x")


def test_objects_taken_before_a_refresh_are_closed_and_never_show_anything_else(target: Path) -> None:
    with safeh5.open(target) as session:
        write_batch(session, 0)
        session.checkpoint()
        with safeh5.live(target) as view:
            data = view["b0/data"]
            write_batch(session, 1)
            session.checkpoint()
            view.refresh()
            assert not data
            with pytest.raises((ValueError, RuntimeError)):
                data[()]
        with pytest.raises(SessionStateError):
            view.keys()
        view.close()


def test_waiting_sees_a_checkpoint_when_it_comes_and_ends_with_the_session(target: Path) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    session.checkpoint()
    with safeh5.live(target) as view:
        began = time.monotonic()
        assert not view.wait(0.05) and time.monotonic() - began >= 0.05

        def later() -> None:
            for number in range(1, 4):
                time.sleep(0.1)
                write_batch(session, number)
                session.checkpoint()
            session.commit()

        thread = threading.Thread(target=later)
        thread.start()
        shown = []
        while view.wait():
            view.refresh()
            shown.append(len(view))
        thread.join()
        assert shown[-1] == 4 and shown == sorted(shown)


@pytest.mark.parametrize("name", ["run.h5", "Überlauf 测量.h5"])
def test_a_view_of_a_file_that_h5py_itself_is_made_to_journal_is_a_view(tmp_path: Path, name: str) -> None:
    with safeh5.install():
        file = h5py.File(tmp_path / name, "w")
        with safeh5.live(tmp_path / name) as view:
            assert view.shows is Shows.NOTHING
            file["x"] = np.arange(5)
            file.flush()
            view.refresh()
            assert view.path == view.filename == str(tmp_path / name)
            file.close()
            assert view.refresh() and view.shows is Shows.TARGET
            np.testing.assert_array_equal(view["x"][()], np.arange(5))


def test_the_file_of_a_process_session_can_be_read_where_h5py_is_made_to_journal(target: Path) -> None:
    with safeh5.install(), safeh5.open(target, applier="process") as session:
        write_batch(session, 0)
        assert held_in(session.file) == batches(0)


def test_what_stands_in_another_file_is_an_error_and_not_a_fill_value(target: Path) -> None:
    other = target.parent / "other.h5"
    with h5py.File(other, "w") as file:
        file["x"] = np.arange(10)
    with h5py.File(target, "w") as file:
        file["own"] = np.arange(10)
        file["link"] = h5py.ExternalLink(str(other), "/x")
        for name, source in (("far", str(other)), ("near", ".")):
            layout = h5py.VirtualLayout((10,), "i8")
            layout[:] = h5py.VirtualSource(source, "x" if name == "far" else "own", (10,))
            file.create_virtual_dataset(name, layout, fillvalue=-1)
    with safeh5.open(target) as session:
        write_batch(session, 0)
        session.checkpoint()
        with safeh5.live(target) as view:
            np.testing.assert_array_equal(view["near"][()], np.arange(10))
            if h5py.version.hdf5_version_tuple < (1, 14, 4):  # follows links by the system's driver
                assert view["link"][3] == 3
            else:
                with pytest.raises((OSError, KeyError)):
                    view["link"]
            if h5py.version.hdf5_version_tuple < (2, 0, 0):  # takes what it cannot open for missing
                assert set(view["far"][()]) == {-1}
            else:
                with pytest.raises(OSError):
                    view["far"][()]
            np.testing.assert_array_equal(view["own"][()], np.arange(10))
