"""A power cut in the recovery of a session that was only killed: what was not synced goes then."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import safeh5
from safeh5.recovery import Condition
from safeh5.testing.camera import Camera, Shot
from tests.support import batches, held, make_old, write_batch


def killed(target: Path, camera: Camera, *, flush: bool) -> Path:
    """What a killed session leaves: what it had not synced is in the page cache, and not on the disk."""
    make_old(target)
    options = {"durability": "flush"} if flush else {}
    session = safeh5.open(target, storage=camera, **options)  # type: ignore[arg-type]
    write_batch(session, 0)
    session.sync()
    write_batch(session, 1)
    picture = camera.take()
    session.rollback()
    camera.disarm()
    camera.directory = picture
    return picture


@pytest.mark.parametrize("flush", [True, False])
def test_a_power_cut_in_a_replay_leaves_no_checkpoint_that_reaches_farther_than_the_journal(
    tmp_path: Path, flush: bool
) -> None:
    cuts = 0
    for nth in range(1, 100):
        root = tmp_path / str(nth)
        (root / "data").mkdir(parents=True)
        camera = Camera(root / "data", root)
        place = killed(root / "data" / "run.h5", camera, flush=flush)
        camera.arm(Shot(nth, lost=1.0), lambda: None)
        safeh5.recover(place / "run.h5", storage=camera)
        if camera.picture is None:
            break
        cuts += 1
        found = camera.picture / "run.h5"
        assert safeh5.status(found).condition is not Condition.CORRUPT, f"cut at effect {nth}"
        safeh5.recover(found)
        least = batches(0, old=True) if flush else batches(0, 1, old=True)
        assert least <= held(found) <= batches(0, 1, old=True)
        shutil.rmtree(root)
    assert cuts > 15
