"""What is written: the same bytes for every competitor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Items:
    """Items that come one by one and are to be durable every so often.

    Attributes
    ----------
    name, text : str
        How it is called, and what it is.
    count : int
        Items.
    shape : tuple of int
        Of one item.
    dtype : str
        Of its elements.
    every : int
        Items after which all so far must be durable.
    """

    name: str
    text: str
    count: int
    shape: tuple[int, ...]
    dtype: str
    every: int

    @property
    def item_bytes(self) -> int:
        """Bytes of one item."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    @property
    def bytes(self) -> int:
        """Bytes of all items."""
        return self.count * self.item_bytes

    def scaled(self, scale: float) -> Items:
        """The same with fewer or more items."""
        return replace(self, count=max(2 * self.every, round(self.count * scale)))

    def stamped(self) -> npt.NDArray[Any]:
        """One item of noise, whose first element is to be set to the item's number."""
        noise = np.random.default_rng(1)
        if np.dtype(self.dtype).kind == "f":
            return noise.random(self.shape).astype(self.dtype)
        return noise.integers(0, 4000, self.shape).astype(self.dtype)


@dataclass(frozen=True, slots=True)
class Tree:
    """Groups, each with one small dataset and some attributes, written at once.

    Attributes
    ----------
    groups : int
        How many.
    values : int
        Doubles in each dataset.
    attributes : int
        Attributes of each dataset.
    """

    name: str
    text: str
    groups: int
    values: int = 64
    attributes: int = 5

    @property
    def bytes(self) -> int:
        """Bytes of all values."""
        return self.groups * (self.values + self.attributes) * 8

    def scaled(self, scale: float) -> Tree:
        """The same with fewer or more groups."""
        return replace(self, groups=max(10, round(self.groups * scale)))

    def data(self) -> npt.NDArray[np.float64]:
        """The values, one row for each group; the first of each row is its number."""
        values = np.random.default_rng(1).random((self.groups, self.values))
        values[:, 0] = np.arange(self.groups)
        return values

    def attrs(self, number: int) -> dict[str, Any]:
        """The attributes of one group's dataset."""
        return {f"attribute_{index}": number + index / 8 for index in range(self.attributes)}


Workload = Items | Tree

WORKLOADS: Final[dict[str, Workload]] = {
    each.name: each
    for each in (
        Items("frames", "400 frames of 2 MiB, each durable before the next", 400, (1024, 1024), "u2", 1),
        Items("group", "2 GiB in frames of 2 MiB, durable every 64 MiB", 1024, (1024, 1024), "u2", 32),
        Items("rows", "20,000 rows of 1 KiB, durable every 100", 20_000, (128,), "f8", 100),
        Tree("tree", "2,000 groups, each a dataset of 64 doubles with 5 attributes, one commit", 2000),
    )
}
