"""Streams of small rows that are gathered into blocks, and how they stand in the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

import safeh5
from safeh5.journal import Kind, frames, scan
from safeh5.operations import codec, model
from safeh5.session import Session
from safeh5.storage import Storage


def gathering(target: Path, **options: Any) -> Session:
    return safeh5.open(target, **{"durability": "flush", **options})


def row(number: int) -> Any:
    return np.full(8, number, "i4")


def appends(target: Path) -> list[tuple[str, int, int]]:
    """Path, start and count of every append in the journal of a session."""
    storage, found = Storage(), []
    for frame in frames(storage, scan(storage, f"{target}.safeh5")):
        if frame.kind is Kind.OPERATION:
            operation = codec.decode(frame.meta)
            if isinstance(operation, model.AppendData):
                found.append((operation.path, operation.start, operation.count))
    return found


def content(target: Path, path: str) -> list[int]:
    with h5py.File(target) as file:
        return [int(value) for value in file[path][..., 0]]
