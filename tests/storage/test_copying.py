"""What a copy of a target keeps."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from safeh5.events import ProgressEvent
from safeh5.storage import CopyMethod, Storage, copying

DATA = os.urandom(1 << 16) * 5 + b"end"


def test_a_copy_has_the_bytes_and_tells_its_progress(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    seen: list[ProgressEvent] = []
    method = Storage().copy_file(tmp_path / "a", tmp_path / "b", seen.append)
    assert method in CopyMethod
    assert (tmp_path / "b").read_bytes() == DATA
    assert (seen[-1].done, seen[-1].total, seen[-1].unit) == (len(DATA), len(DATA), "bytes")


@pytest.mark.parametrize("refusal", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, 0])
def test_where_the_kernel_refuses_the_bytes_are_streamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    def refuse(*_: object) -> int:
        if refusal:
            raise OSError(refusal, "refused")
        return 0

    monkeypatch.setattr(copying, "_reflink", lambda *_: False)
    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    monkeypatch.setattr(copying, "_BLOCK", 1000)
    (tmp_path / "a").write_bytes(DATA)
    assert Storage().copy_file(tmp_path / "a", tmp_path / "b") is CopyMethod.STREAM
    assert (tmp_path / "b").read_bytes() == DATA


def test_an_empty_file_is_copied(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    Storage().copy_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b""


@pytest.mark.skipif(not hasattr(os, "SEEK_HOLE"), reason="the system does not tell of holes")
def test_holes_of_a_file_stay_holes_and_its_length_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_reflink", lambda *_: False)
    size = 64 << 20
    with open(tmp_path / "a", "wb") as file:
        file.seek(size // 2)
        file.write(b"island")
        file.truncate(size)
    if (tmp_path / "a").stat().st_blocks * 512 > size // 2:
        pytest.skip("this file system has no holes")
    Storage().copy_file(tmp_path / "a", tmp_path / "b")
    copy = (tmp_path / "b").stat()
    assert copy.st_size == size
    assert copy.st_blocks * 512 < size // 8
    with open(tmp_path / "b", "rb") as file:
        file.seek(size // 2)
        assert file.read(6) == b"island"


def test_a_copy_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    (tmp_path / "b").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        Storage().copy_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"precious"


def test_a_failed_copy_leaves_nothing(tmp_path: Path) -> None:
    def fail(_: ProgressEvent) -> None:
        raise OSError(errno.ENOSPC, "full")

    (tmp_path / "a").write_bytes(DATA)
    with pytest.raises(OSError):
        Storage().copy_file(tmp_path / "a", tmp_path / "b", fail)
    assert os.listdir(tmp_path) == ["a"]


def test_a_source_that_shrinks_under_the_copy_is_an_error_not_a_short_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_reflink", lambda *_: False)
    monkeypatch.setattr(copying, "_BLOCK", 1000)
    (tmp_path / "a").write_bytes(DATA)
    with pytest.raises(OSError, match="shorter"):
        Storage().copy_file(tmp_path / "a", tmp_path / "b", lambda _: os.truncate(tmp_path / "a", 1000))
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_the_copy_is_private_until_it_gets_the_mode_of_its_source(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    (tmp_path / "a").chmod(0o664)
    Storage().copy_file(tmp_path / "a", tmp_path / "b")
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600
    assert Storage().copy_metadata(tmp_path / "a", tmp_path / "b") == ()
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o664


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="no extended attributes")
def test_extended_attributes_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    try:
        os.setxattr(tmp_path / "a", "user.sample", b"graphene")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    assert Storage().copy_metadata(tmp_path / "a", tmp_path / "b") == ()
    assert os.getxattr(tmp_path / "b", "user.sample") == b"graphene"


@pytest.mark.root
def test_root_keeps_owner_and_group(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    os.chown(tmp_path / "a", 4321, 8765)
    assert Storage().copy_metadata(tmp_path / "a", tmp_path / "b") == ()
    status = (tmp_path / "b").stat()
    assert (status.st_uid, status.st_gid) == (4321, 8765)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_a_group_that_cannot_be_kept_gets_no_more_than_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_copy_owner", lambda *_: ["group"])
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    (tmp_path / "a").chmod(0o674)
    assert "group" in Storage().copy_metadata(tmp_path / "a", tmp_path / "b")
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o644
