"""A small world for the tests of sessions, recovery and crashes.

Everything is written in numbered batches, each of three operations: a group
``/b<i>``, a dataset in it, its values. `held` reads a file with plain h5py,
checks that every batch in it is whole, and says which are there; so a test
compares sets of names. A stream, if there is one, is ``/stream/frames``, its frames ``f<i>``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from h5py import h5s

import safeh5
from safeh5.operations.model import CreateDataset, CreateGroup, Operation, WriteData
from safeh5.operations.values import encode_type
from safeh5.session import Session

ELEMENTS = 5
TYPE = encode_type("<i4")
SPACE = h5s.create_simple((ELEMENTS,)).encode()


def values(number: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """What the dataset of batch `number` holds."""
    return np.arange(ELEMENTS, dtype="<i4") * 1000 + number + 1


def operations(number: int) -> Iterator[tuple[Operation, bytes]]:
    """The operations of batch `number`, with their payloads."""
    yield CreateGroup(path=f"/b{number}"), b""
    yield CreateDataset(path=f"/b{number}/data", type=TYPE, space=SPACE), b""
    yield WriteData(path=f"/b{number}/data", type=TYPE), values(number).tobytes()


def write_batch(session: Session, number: int) -> None:
    """Write batch `number` as one batch."""
    with session.batch():
        for operation, payload in operations(number):
            session.record(operation, payload)


REFUSED = WriteData(path="/nowhere", type=TYPE)
"""An operation that HDF5 refuses: there is no such dataset."""


def make_old(path: str | os.PathLike[str]) -> bytes:
    """Make an ordinary HDF5 file that holds ``old``; returns its bytes."""
    with h5py.File(path, "w") as file:
        file["old/data"] = np.arange(10)
        file["old"].attrs["kept"] = "yes"
    return Path(path).read_bytes()


def make_spread(path: str | os.PathLike[str]) -> None:
    """Make a file whose groups ``g0`` to ``g2`` lie some pages apart."""
    with h5py.File(path, "w") as file:
        for number in range(3):
            file.create_group(f"g{number}/first")
            file[f"p{number}"] = np.full(2500, number, "<i4")


def held(path: str | os.PathLike[str]) -> set[str]:
    """The names of what a file holds; fails unless each is whole."""
    with h5py.File(path, "r") as file:
        return held_in(file)


def held_in(file: h5py.File) -> set[str]:
    """The same for a file that is open."""
    names = set(file)
    if "stream" in names:
        names.remove("stream")
        names |= frames_in(file["stream/frames"])
    for name in names - {"old"} - {name for name in names if name.startswith("f")}:
        assert set(file[name]) == {"data"}, f"half of batch {name}"
        np.testing.assert_array_equal(file[name]["data"][()], values(int(name[1:])), name)
    if "old" in names:
        assert file["old"].attrs["kept"] == "yes"
        np.testing.assert_array_equal(file["old/data"][()], np.arange(10))
    return names


def frames_in(dataset: h5py.Dataset) -> set[str]:
    """``f0``, ``f1`` and so on: the frames of the stream; fails unless each is whole."""
    for number, frame in enumerate(dataset[()]):
        np.testing.assert_array_equal(frame, values(number), f"frame {number}")
    return {f"f{number}" for number in range(len(dataset))}


def batches(*numbers: int, old: bool = False) -> set[str]:
    """The names that `held` gives for these batches."""
    return {f"b{number}" for number in numbers} | ({"old"} if old else set())


def entries(target: str | os.PathLike[str]) -> list[str]:
    """Everything in the directory of `target`, less the target itself."""
    directory, name = os.path.split(os.fspath(target))
    return sorted(entry for entry in os.listdir(directory) if entry != name)


def dead_session(directory: Path, *numbers: int, old: bool = False, **options: object) -> Path:
    """A target in the new `directory` whose session wrote batches `numbers` and was killed then.

    Returns the target. Its sidecar is that of a live session, copied.
    """
    living = directory.with_name(directory.name + "-living")
    living.mkdir(parents=True)
    target = living / "run.h5"
    if old:
        make_old(target)
    session = safeh5.open(target, **options)  # type: ignore[arg-type]
    for number in numbers:
        write_batch(session, number)
    shutil.copytree(living, directory, ignore=shutil.ignore_patterns("*.lock"))
    session.rollback()
    shutil.rmtree(living)
    return directory / "run.h5"


def sidecar(target: Path) -> Path:
    """The directory of the session on `target`."""
    return target.with_name(target.name + ".safeh5")


def segments(target: Path) -> list[Path]:
    """The journal's segment files, in order."""
    return sorted(sidecar(target).glob("journal-*.log"))


def copied(target: Path, directory: Path) -> Path:
    """The directory of `target` again, as the new `directory`; returns the target there."""
    if directory.exists():
        shutil.rmtree(directory)
    shutil.copytree(target.parent, directory, symlinks=True)
    return directory / target.name


def snapshot(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, by relative path."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}
