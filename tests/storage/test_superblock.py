"""The mark "open for writing" is taken off, and off nothing but an HDF5 file."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from safeh5.applier.superblock import clear_open_mark, lookup3


class InMemory:
    """Bytes that can be patched."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)

    def peek(self, offset: int, size: int) -> bytes:
        return bytes(self.data[offset : offset + size])

    def patch(self, offset: int, data: bytes) -> None:
        self.data[offset : offset + len(data)] = data


@pytest.mark.parametrize("userblock", [0, 512, 4096])
@pytest.mark.parametrize("libver", ["v108", "v110", "v112", "latest"])
def test_our_checksum_is_the_one_that_hdf5_wrote(tmp_path: Path, libver: str, userblock: int) -> None:
    with h5py.File(tmp_path / "f", "w", libver=libver, userblock_size=userblock) as file:
        file["x"] = 1
    block = (tmp_path / "f").read_bytes()[userblock : userblock + 48]
    assert block[8] in (2, 3)
    assert int.from_bytes(block[44:], "little") == lookup3(block[:44])


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"", 0xDEADBEEF), (b"Four score and seven years ago", 0x17770551)],
)
def test_the_checksum_gives_the_values_that_its_author_published(data: bytes, value: int) -> None:
    assert lookup3(data) == value


@pytest.mark.parametrize("userblock", [0, 1024])
def test_a_marked_file_without_its_mark_is_the_file_that_was_closed(tmp_path: Path, userblock: int) -> None:
    with h5py.File(tmp_path / "f", "w", libver="latest", userblock_size=userblock) as file:
        file["x"] = 1
        file.flush()
        marked = (tmp_path / "f").read_bytes()
    assert marked[userblock + 11] != 0
    patched = InMemory(marked)
    clear_open_mark(patched, userblock)
    superblock = slice(userblock, userblock + 48)
    assert patched.data[superblock] == (tmp_path / "f").read_bytes()[superblock]


@pytest.mark.parametrize("content", [b"", b"\x89HDF", b"no HDF5 at all" * 10])
def test_what_is_no_superblock_is_left_alone(content: bytes) -> None:
    file = InMemory(content)
    clear_open_mark(file, 0)
    assert file.data == content


def test_an_old_superblock_is_left_alone(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f", "w", libver="earliest") as file:
        file["x"] = np.arange(3)
    content = (tmp_path / "f").read_bytes()
    patched = InMemory(content)
    clear_open_mark(patched, 0)
    assert patched.data == content
