"""Streams of numbered rows, and what a tail shows of them."""

from __future__ import annotations

from typing import Any

import numpy as np

import safeh5
from safeh5.session import Session

ROW = (3,)


def rows(session: Session, path: str = "/rows") -> Any:
    return session.stream(path, ROW, "i4")


def row(number: int) -> np.ndarray[Any, Any]:
    return np.full(ROW, number, "i4")


def drained(tail: safeh5.Tail, seconds: float = 0.0) -> list[tuple[Any, Any]]:
    """What is there now, rows by their first element."""
    found = []
    while (item := tail.poll(seconds)) is not None:
        assert isinstance(item.data, np.ndarray) and (item.data == item.data.flat[0]).all()
        found.append((item.at, int(item.data.flat[0])))
    return found


def numbers(first: int, stop: int) -> list[tuple[int, int]]:
    return [(n, n) for n in range(first, stop)]
