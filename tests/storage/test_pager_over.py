"""A pager over a file that is only read: what libhdf5 writes is held, and goes to the copy."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from safeh5.storage import Storage
from safeh5.storage.pager import Pager, read_redo, trim_checkpoint
from safeh5.storage.redo import PAGE
from safeh5.testing.faults import Fault, FaultyStorage

SESSION = bytes(range(16))


def put(pager: Pager, offset: int, data: bytes) -> None:
    """Write as libhdf5 does."""
    pager.seek(offset, 0)
    pager.write(data)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "run.h5"
    path.write_bytes(os.urandom(3 * PAGE + 100))
    return path


def changed(pager: Pager, content: bytes) -> bytes:
    """Write to a page and cut the end off; what the file is then."""
    put(pager, PAGE + 10, b"held")
    pager.truncate(2 * PAGE + 50)
    return content[: PAGE + 10] + b"held" + content[PAGE + 14 : 2 * PAGE + 50]


def test_what_was_held_over_a_file_goes_to_its_copy_and_never_to_the_file(
    source: Path, tmp_path: Path
) -> None:
    content, storage = source.read_bytes(), Storage()
    copy = tmp_path / "staging.h5"
    copy.write_bytes(content)
    with Pager.over(storage, source) as pager:
        expected = changed(pager, content)
        assert pager.borrowed and pager.peek(0, pager.size) == expected
        pager.rebase(storage.open_random(copy))
        assert not pager.borrowed and pager.dirty_bytes == 0
        assert pager.peek(0, pager.size) == copy.read_bytes() == expected
        put(pager, 0, b"on")
        assert copy.read_bytes() == b"on" + expected[2:]
    assert source.read_bytes() == content


@pytest.mark.parametrize("effect", ["write_at", "truncate"])
def test_a_copy_that_cannot_be_written_leaves_the_pager_over_the_file(
    source: Path, tmp_path: Path, effect: str
) -> None:
    content = source.read_bytes()
    copy = tmp_path / "staging.h5"
    copy.write_bytes(content)
    storage = FaultyStorage(Fault(effect, error=errno.ENOSPC, path="staging"))
    with Pager.over(storage, source) as pager:
        expected = changed(pager, content)
        with storage.open_random(copy) as refused, pytest.raises(OSError):
            pager.rebase(refused)
        assert pager.borrowed and pager.error is None and pager.peek(0, pager.size) == expected
        pager.rebase(storage.open_random(copy))
        assert copy.read_bytes() == expected
    assert source.read_bytes() == content


def test_what_lies_behind_the_last_checkpoint_is_given_back_and_the_checkpoint_stays(tmp_path: Path) -> None:
    storage, path = Storage(), tmp_path / "staging.h5"
    with Pager.create(storage, path) as pager:
        put(pager, 0, b"a" * (PAGE + 10))
        pager.checkpoint(storage, SESSION, 1)
        put(pager, 5 * PAGE, b"b" * PAGE)
    assert path.stat().st_size == 6 * PAGE
    for _ in range(2):  # the second time there is nothing to give back
        trim_checkpoint(storage, path, SESSION)
        assert path.stat().st_size == 2 * PAGE
    redo = read_redo(storage, path, SESSION)
    assert redo is not None
    with Pager.restore(storage, path, redo):
        assert path.read_bytes() == b"a" * (PAGE + 10)
