"""Failures are made small before they are kept.

Smaller cases are tried, and one that fails in the same way is taken. Two failures
are taken for the same when their headlines are, numbers, paths and lists left out.
What is smaller is for each mode to say; here is what they have in common.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

SECONDS: Final = 20.0
"""How long a mode may take to make one failure small."""

_BRACKETS: Final = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]|\([^()]*\)")
_PATH: Final = re.compile(r"(?<!\w)/\S+")
_NUMBER: Final = re.compile(r"\b(?=\w*\d)[0-9a-zA-Z-]*\d[0-9a-zA-Z-]*\b")


class Patience:
    """How long smaller cases are tried.

    Parameters
    ----------
    seconds : float
        From now on.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._until = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether to be content with what there is."""
        return time.monotonic() >= self._until


def headline(text: str) -> str:
    """What went wrong, in one line that is the same for all failures of a kind.

    Parameters
    ----------
    text : str
        A message, or a traceback, whose last exception counts.
    """
    lines = text.strip().splitlines() or [""]
    begins = [number for number, line in enumerate(lines) if line.startswith("Traceback ")]
    if begins:
        # What is indented are the places; then comes the exception, whose message may have lines of its own.
        last = lines[begins[-1] + 1 :]
        lines = [line for line in last if line and not line.startswith(" ")] or lines
    line = lines[0]
    while (shorter := _BRACKETS.sub("", line)) != line:
        line = shorter
    return _NUMBER.sub("#", _PATH.sub("@", line)).strip()


def first(
    candidates: Iterable[T], fails: Callable[[T], str | None], way: str, patience: Patience
) -> tuple[T, str] | None:
    """The first case that fails in the same way, with what it says; None if none does in time.

    Parameters
    ----------
    candidates : iterable
        The smallest first.
    fails : callable
        Does a case; returns what was wrong, or None.
    way : str
        The `headline` of the failure that is made small.
    patience : Patience
        When to give up.
    """
    for candidate in candidates:
        if patience.is_over:
            return None
        what = fails(candidate)
        if what is not None and headline(what) == way:
            return candidate, what
    return None


def fewest(items: Sequence[T], still: Callable[[list[T]], bool], patience: Patience) -> list[T]:
    """Some of `items`, in their order, for which `still` holds: none of them can be left out alone.

    Halves are left out first, then quarters, and so on, so that much is gone after few trials.
    """
    kept, pieces = list(items), 2
    while kept and not patience.is_over:
        size = -(-len(kept) // pieces)
        for start in range(0, len(kept), size):
            less = kept[:start] + kept[start + size :]
            if patience.is_over or still(less):
                break
        else:
            if size == 1:
                return kept
            pieces = min(len(kept), pieces * 2)
            continue
        if patience.is_over:
            return kept
        kept, pieces = less, max(2, pieces - 1)
    return kept
