"""What goes is gone by name at once; who waits for the blocks of large files is a thread."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from safeh5.journal.segment import remove_segments
from safeh5.storage import Storage, removal
from safeh5.storage.names import segment_name

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs to see what is open")


def test_segments_that_an_anchor_made_unnecessary_are_freed_beside_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "LARGE", 4096)
    may_close, close = threading.Event(), removal._close
    monkeypatch.setattr(removal, "_close", lambda held: may_close.wait(10) and close(held))
    for number in (1, 2, 3):
        (tmp_path / segment_name(number)).write_bytes(bytes(8192))
    remove_segments(Storage(), tmp_path, 3)
    assert os.listdir(tmp_path) == [segment_name(3)] and len(held(tmp_path)) == 2
    may_close.set()
    assert let_go(tmp_path)


@pytest.fixture
def garbage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with what counts as large, and what does not."""
    monkeypatch.setattr(removal, "LARGE", 4096)
    made = tmp_path / "garbage"
    (made / "below").mkdir(parents=True)
    (made / "small").write_bytes(b"x")
    (made / "link").symlink_to(made / "large-0")
    for number in range(3):
        (made / f"large-{number}").write_bytes(bytes(8192))
    return made


def held(path: Path) -> list[str]:
    """The removed files of a directory that this process still has open."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if name.startswith(str(path)):
            found.append(name)
    return found


def let_go(path: Path) -> bool:
    deadline = time.monotonic() + 10
    while held(path) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not held(path)


def test_every_name_is_gone_on_return_and_soon_every_descriptor(garbage: Path) -> None:
    Storage().remove_tree(garbage)
    assert not garbage.exists()
    assert let_go(garbage)


def test_the_caller_does_not_wait_for_the_blocks(garbage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_close, close = threading.Event(), removal._close
    monkeypatch.setattr(removal, "_close", lambda held: may_close.wait(10) and close(held))
    Storage().remove_tree(garbage)
    assert not garbage.exists() and len(held(garbage)) == 3
    may_close.set()
    assert let_go(garbage)


def test_on_a_disk_that_is_nearly_full_the_room_is_free_on_return(
    garbage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 50_000

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage)
    monkeypatch.setattr(removal, "_close_beside", lambda held: pytest.fail("held open"))
    Storage().remove_tree(garbage)
    assert not garbage.exists() and not held(garbage)


def test_where_open_files_keep_a_name_they_are_closed_first(
    garbage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rmtree, open_then = shutil.rmtree, []

    def of_a_network_disk(path: Any) -> None:
        open_then.append(len(held(garbage)))
        if open_then[-1]:
            raise OSError(errno.ENOTEMPTY, "Directory not empty", path)
        rmtree(path)

    monkeypatch.setattr(shutil, "rmtree", of_a_network_disk)
    Storage().remove_tree(garbage)
    assert open_then == [3, 0] and not garbage.exists()


def test_what_cannot_be_removed_is_told_and_nothing_stays_open(
    garbage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(PermissionError):
        Storage().remove_tree(garbage)
    assert let_go(garbage)
    with pytest.raises(FileNotFoundError):
        monkeypatch.undo()
        Storage().remove_tree(garbage / "nothing")


def test_without_a_thread_to_be_had_the_caller_waits(garbage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    Storage().remove_tree(garbage)
    assert not garbage.exists() and not held(garbage)


_FORK = """
import os, sys
from safeh5.storage import removal
removal._held.append(os.open(sys.argv[1], os.O_RDONLY))
if os.fork() == 0:
    print(any(os.path.realpath(f"/proc/self/fd/{n}") == sys.argv[1] for n in os.listdir("/proc/self/fd")))
    sys.stdout.flush()
    os._exit(0)
os.wait()
"""


def test_a_fork_keeps_no_blocks(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"x")
    done = subprocess.run(
        [sys.executable, "-c", _FORK, os.path.realpath(kept)], capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout == "False\n", done.stderr
