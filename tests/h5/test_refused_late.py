"""What only HDF5 itself refuses, half way: the program that catches the error goes on, as with h5py."""

from __future__ import annotations

import signal
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from tests.h5.files import run_script


def broken_chunk(file: h5py.File, count: int) -> h5py.Dataset:
    """A dataset of one chunk that cannot be decoded, so that no part of it can be changed."""
    dataset = file.create_dataset("d", (count,), "u1", chunks=(count,), compression="gzip")
    dataset.id.write_direct_chunk((0,), b"no deflate stream")
    return dataset


def fail_to_write(dataset: h5py.Dataset) -> None:
    """Change a half of it."""
    half = len(dataset) // 2
    with pytest.raises(OSError, match="filter"):
        dataset[:half] = np.ones(half, "u1")


@pytest.mark.parametrize("count", [10, 100_000, 4_000_000])
def test_after_a_refused_write_a_flush_leaves_every_object_usable(target: Path, count: int) -> None:
    with safeh5.File(target, "w") as file:
        other = file.create_dataset("other", data=[1, 2])
        fail_to_write(broken_chunk(file, count))
        file.flush()
        other[0] = 5
        file["after"] = 1
        file.flush()
        assert sorted(file) == ["after", "d", "other"]
    with h5py.File(target) as file:
        assert file["other"][:].tolist() == [5, 2] and file["after"][()] == 1


def test_after_a_refused_copy_the_program_goes_on(target: Path) -> None:
    with safeh5.File(target, "w") as file:
        group = file.create_group("g")
        group["nowhere"] = h5py.SoftLink("../missing")
        with pytest.raises(RuntimeError, match="component not found"):
            file.copy("g", file, "copied", expand_soft=True)
        file.flush()
        group["after"] = 1
    with h5py.File(target) as file:
        assert list(file) == ["g"] and file["g/after"][()] == 1


def test_what_was_flushed_after_a_refusal_survives_a_kill(target: Path) -> None:
    done = run_script(
        """
        from tests.h5.test_refused_late import broken_chunk, fail_to_write
        file = safeh5.File(target, "w")
        fail_to_write(broken_chunk(file, 10))
        file["kept"] = [1, 2, 3]
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        target,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    safeh5.recover(target)
    with h5py.File(target) as file:
        assert file["kept"][:].tolist() == [1, 2, 3]


def test_no_part_of_a_refused_write_is_in_the_file(target: Path) -> None:
    # The second chunk of the write is refused when the first has been changed in memory.
    with safeh5.File(target, "w") as file:
        dataset = file.create_dataset("d", (8,), "u1", chunks=(4,), compression="gzip")
        dataset[:4] = 7
        dataset.id.write_direct_chunk((4,), b"no deflate stream")
        with pytest.raises(OSError, match="filter"):
            dataset[2:6] = 1
        file.flush()
        file["after"] = 1
    with h5py.File(target) as file:
        assert file["d"][:4].tolist() == [7, 7, 7, 7] and "after" in file
