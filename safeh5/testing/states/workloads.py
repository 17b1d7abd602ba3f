"""The workloads of the states mode: small, so that every state of each can be built.

What their processes do stands in `safeh5.testing.states.lives`. That a
state is whole is told from its names, by plain h5py, and not by what safeh5
would make of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from safeh5.testing.states import lives
from safeh5.testing.states.lives import LARGE_ITEM, TARGET
from safeh5.testing.states.workload import Life, Workload
from safeh5.testing.world import make_old, make_spread, values

Prepare = Callable[[Path], None]

LIVES: dict[str, tuple[Life, ...]] = {}
WORKLOADS: dict[str, Workload] = {}


def _add(name: str, *done: Life, old: bool | Prepare = False, from_checkpoint: bool = False) -> None:
    LIVES[name] = done
    WORKLOADS[name] = Workload(
        name,
        ("workload", name),
        len(done),
        prepare=_old if old is True else old or None,
        look=whole,
        from_checkpoint=from_checkpoint,
    )


def _old(directory: Path) -> None:
    make_old(directory / TARGET)
    os.chmod(directory / TARGET, 0o640)


def _spread(directory: Path) -> None:
    make_spread(directory / TARGET)


def whole(file: h5py.File) -> None:
    """Look whether everything in a file is whole, with plain h5py."""
    for name in file:
        if name.startswith("frames"):
            found = file[name][()]
            expected = np.arange(len(found)).reshape(-1, *[1] * (found.ndim - 1))
            expected = np.broadcast_to(expected, found.shape)
            np.testing.assert_array_equal(found, expected)
        elif name == "tree":
            assert set(file[name]) == {"energy", "labels"}, "half of a tree"
            np.testing.assert_array_equal(file[name]["energy"][()], np.arange(8.0))
            assert file[name]["energy"].attrs["units"] == "eV"
        elif name == "old":
            assert file["old"].attrs["kept"] == "yes"
            np.testing.assert_array_equal(file["old/data"][()], np.arange(10))
        elif name[0] in "gp":
            assert name[0] == "g" or (file[name][()] == int(name[1:])).all()
            assert name[0] == "p" or all(isinstance(file[name][below], h5py.Group) for below in file[name])
        elif name.startswith("h") and not (len(file[name]) and np.any(file[name]["data"][()])):
            continue  # made by h5py's calls, each a batch of its own
        else:
            np.testing.assert_array_equal(file[name]["data"][()], values(int(name[1:])), name)


_add("tree", lives.tree())
_add("tree over old", lives.tree(), old=True)
_add("tree, flush", lives.tree(durability="flush"), old=True)
_add("stream, record", lives.stream(5, 0))
_add("stream, group commit", lives.stream(9, 3, durability="flush"))
_add("stream, interval", lives.stream(8, 4, pause=0.004, durability="interval", interval_ms=6), old=True)
_add("stream, large", lives.stream(4, 2, shape=LARGE_ITEM, durability="flush", applier="inline"))
_add("segments", lives.batches(range(5), segment_bytes=900))
_add("segments, flush", lives.batches(range(4), segment_bytes=900, durability="flush"), old=True)
_add("checkpoints", lives.rewriting, old=True, from_checkpoint=True)
_add("checkpoints far apart", lives.far_apart, old=_spread, from_checkpoint=True)
_add("checkpoints, replayed", lives.batches(range(4), (0, 2), segment_bytes=1200), old=True)
_add("pruning", lives.batches(range(7), journal_limit=1600), old=True)
_add("overwrite", lives.overwriting, old=True)
_add("sessions in a row", lives.coming_and_going)
_add("cancelled batches", lives.cancelling)
_add("roll back", lives.rolling_back(keep=False), old=True)
_add("roll back, kept", lives.rolling_back(keep=True), old=True)
_add("suspend and resume", lives.suspending, lives.resuming(range(1, 3)), old=True)
_add("exception and resume", lives.failing)
_add("death and resume", lives.dying(), lives.resuming(range(3, 5)), old=True, from_checkpoint=True)
_add("death and recovery", lives.dying(), lives.recovering(), old=True)
_add(
    "unsynced death and recovery",
    lives.dying(durability="flush", segment_bytes=900),
    lives.recovering(),
    old=True,
    from_checkpoint=True,
)
_add("death and roll back", lives.dying(False), lives.recovering("rollback"), old=True)
_add(
    "death in recovery",
    lives.dying(durability="flush"),
    lives.recovering(nth=12),
    lives.recovering(),
    old=True,
)
_add("applier beside", lives.batches(range(4), (1,), applier="process"), old=True)
_add("applier beside, stream", lives.stream(6, 3, applier="process", durability="flush"))
_add("full disk", lives.full_disk)
_add("h5py objects", lives.through_h5py)
_add("safeh5.File", lives.through_file, old=True)
_add("live reader beside", lives.live_reader, old=_spread, from_checkpoint=True)
_add("rows, flush", lives.rows(4, 2, durability="flush", checkpoint_bytes=1))
_add("rows, interval", lives.rows(6, 3, 3, durability="interval", interval_ms=10**6, checkpoint_bytes=40))
_add("rows, pruned", lives.rows(9, 3, durability="flush", journal_limit=1200), old=True, from_checkpoint=True)
_add(
    "rows, death and resume",
    lives.rows_and_death(durability="flush", journal_limit=1200),
    lives.rows_resumed,
    from_checkpoint=True,
)
_add("reserve", lives.reserve, lives.resuming(range(1, 2)), old=True)
_add("applier beside, killed", lives.applier_dying, old=True, from_checkpoint=True)
_add("h5py objects, gathered", lives.direct, old=True, from_checkpoint=True)
_add("h5py objects, large", lives.large)
_add("h5py objects, plain", lives.plain, old=True, from_checkpoint=True)
_add("trees in a batch beside", lives.trees_in_a_batch, old=True)
_add("rewound", lives.rewinding, old=True, from_checkpoint=True)
