"""A journal that is long enough for an anchor, and what stands in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from safeh5.journal import JournalWriter, records
from safeh5.storage import Storage
from tests.journal.building import (
    STORAGE,
    begin,
    put,
    put_batch,
    scan_of,
)


def grow(directory: Path, storage: Storage = STORAGE) -> JournalWriter:
    """A journal of several segments, with a batch that was ended and one that was cancelled."""
    writer = begin(directory, storage=storage, segment_bytes=400)
    for n in range(4):
        put(writer, b"x" * 100, sync=n % 2 == 0)
    put_batch(writer, b"a", b"b")
    writer.abort_batch(put_batch(writer, b"c"))
    return writer


def lsns(directory: Path) -> list[int]:
    return [frame.lsn for frame in records(STORAGE, scan_of(directory))]


def numbers(directory: Path) -> list[int]:
    return [info.number for info in scan_of(directory).segments]


def copy(directory: Path, name: str) -> Path:
    target = directory.with_name(name)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(directory, target)
    return target
