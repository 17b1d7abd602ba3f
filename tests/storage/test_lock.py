"""Only one session ever holds the lock of a target."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest

from safeh5.errors import InternalError, SessionLockedError
from safeh5.storage import TargetLock
from safeh5.storage import lock as lock_module
from tests.storage.holders import Child, needs_posix


@pytest.fixture
def holder(path: str) -> Iterator[Child]:
    child = Child(
        path, "lock.acquire(); print('held', flush=True); sys.stdin.readline(); lock.release(remove=True)"
    )
    assert child.hear() == "held"
    yield child
    child.kill()


def test_a_second_opener_is_refused_and_told_who_holds(path: str, holder: Child) -> None:
    lock = TargetLock(path, lambda: "process 4711 on lab-2")
    with pytest.raises(SessionLockedError) as caught:
        lock.acquire()
    assert caught.value.holder == "process 4711 on lab-2"
    assert "process 4711 on lab-2" in str(caught.value)
    assert caught.value.path == path.removesuffix(".safeh5.lock")
    assert not lock.held()
    assert os.path.exists(path)


def test_a_second_session_in_the_same_process_is_refused(path: str) -> None:
    first = TargetLock(path)
    first.acquire()
    with pytest.raises(SessionLockedError):
        TargetLock(path).acquire()
    assert first.held()
    first.release(remove=True)


def test_an_opener_that_waits_gets_the_lock_when_it_is_released(path: str, holder: Child) -> None:
    threading.Timer(0.5, holder.tell).start()
    lock = TargetLock(path)
    lock.acquire(timeout=20)
    assert lock.held()
    lock.release(remove=True)


@needs_posix
def test_the_lock_of_a_killed_holder_is_free_at_once(path: str, holder: Child) -> None:
    assert TargetLock.is_held(path)
    holder.kill()
    assert not TargetLock.is_held(path)
    assert os.path.exists(path)
    lock = TargetLock(path)
    lock.acquire()
    lock.release(remove=True)
    assert not os.path.exists(path)


def test_release_with_remove_leaves_no_file(path: str) -> None:
    lock = TargetLock(path)
    for _ in range(3):
        lock.acquire()
        lock.release(remove=True)
        assert os.listdir(os.path.dirname(path)) == []
    lock.release(remove=True)


@needs_posix
def test_release_without_remove_leaves_the_file_free(path: str) -> None:
    lock = TargetLock(path)
    lock.acquire()
    lock.release(remove=False)
    assert os.path.exists(path)
    assert not TargetLock.is_held(path)


def test_the_lock_may_be_released_by_another_thread(path: str) -> None:
    lock = TargetLock(path)
    lock.acquire()
    thread = threading.Thread(target=lock.release, kwargs={"remove": True})
    thread.start()
    thread.join()
    assert not lock.held()
    assert not os.path.exists(path)


def test_acquiring_twice_is_a_bug_and_says_so(path: str) -> None:
    lock = TargetLock(path)
    lock.acquire()
    with pytest.raises(InternalError):
        lock.acquire()
    lock.release(remove=True)


@needs_posix
@pytest.mark.parametrize("replace", [False, True])
def test_a_lock_file_taken_away_is_noticed_and_a_strangers_is_not_removed(path: str, replace: bool) -> None:
    lock = TargetLock(path)
    lock.acquire()
    os.unlink(path)
    other = TargetLock(path)
    if replace:
        other.acquire()
    assert not lock.held()
    lock.release(remove=True)
    assert os.path.exists(path) == replace
    assert other.held() == replace
    other.release(remove=True)


@needs_posix
def test_a_lock_won_on_a_file_that_lost_its_name_does_not_count(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, stranger = TargetLock(path), TargetLock(path)
    note = lock._note

    def lose_the_name(fd: int) -> None:
        note(fd)
        if not stranger.held():
            os.rename(path, path + ".moved")  # still linked: only the name tells
            stranger.acquire()

    monkeypatch.setattr(lock, "_lock", filelock.FileLock(path, on_acquired=lose_the_name, thread_local=False))
    with pytest.raises(SessionLockedError):
        lock.acquire()
    assert stranger.held()
    stranger.release(remove=True)


@needs_posix
def test_a_symbolic_link_at_the_place_of_the_lock_is_not_followed(path: str, tmp_path: Path) -> None:
    os.symlink(tmp_path / "elsewhere", path)
    with pytest.raises(OSError):
        TargetLock(path).acquire()
    assert not TargetLock.is_held(path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_missing_directory_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        TargetLock(tmp_path / "no" / "lock").acquire()
    assert not (tmp_path / "no").exists()


def test_a_file_system_that_cannot_lock_is_an_error_never_a_soft_lock(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform == "win32":
        pytest.skip("flock")
    import errno
    import fcntl

    def refuse(fd: int, how: int) -> None:
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock = TargetLock(path)
    with pytest.raises(OSError) as caught:
        lock.acquire()
    assert caught.value.errno == errno.ENOSYS
    assert isinstance(lock._lock, filelock.UnixFileLock)
    assert not lock.held()


@pytest.mark.parametrize("listed", [True, False])
def test_a_probe_tells_held_from_free_with_and_without_the_kernels_list(
    path: str, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    if not listed:
        monkeypatch.setattr(lock_module, "_listed_by_kernel", lambda _: False)
    assert not TargetLock.is_held(path)
    assert not os.path.exists(path)
    lock = TargetLock(path)
    lock.acquire()
    assert TargetLock.is_held(path)
    lock.release(remove=False)
    assert not TargetLock.is_held(path)


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="Linux lists its locks")
def test_a_held_lock_is_seen_without_touching_it(path: str) -> None:
    identity = lock_module._identity_of(path)
    assert identity is None
    lock = TargetLock(path)
    lock.acquire()
    identity = lock_module._identity_of(path)
    assert identity is not None
    if not lock_module._listed_by_kernel(identity):
        pytest.skip("this file system is listed under another device")
    lock.release(remove=False)
    assert not lock_module._listed_by_kernel(identity)


@needs_posix
def test_probes_never_make_an_opener_fail(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "_listed_by_kernel", lambda _: False)
    stop = threading.Event()

    def probe() -> None:
        while not stop.is_set():
            TargetLock.is_held(path)

    threads = [threading.Thread(target=probe) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        lock = TargetLock(path)
        for _ in range(100):
            lock.acquire()
            lock.release(remove=False)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
