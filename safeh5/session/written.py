"""What `Session.write` tells about the tree it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from safeh5.microdata import MicroData


@dataclass(frozen=True, slots=True)
class Written:
    """A tree that is in the journal, applied, and durable as the session's policy says.

    Attributes
    ----------
    lsn : int
        The record that ends the batch; inside another batch, the tree's last record.
    paths : tuple of str
        Where each node of the tree stands in the file, parents first; the
        names of indexed groups are the final ones.
    by_node : mapping
        The same, looked up by node.
    """

    lsn: int
    paths: tuple[str, ...]
    by_node: Mapping[MicroData, str]
