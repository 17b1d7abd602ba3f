"""The applier beside the acquisition, without its process: what it does with its orders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import safeh5
from safeh5.options import CheckpointOptions
from safeh5.recovery import child as child_module
from safeh5.recovery import orders
from safeh5.storage import Names, Storage
from tests.support import batches, copied, held, write_batch


@pytest.mark.parametrize(("every_bytes", "made"), [(1, 5), (1 << 30, 1)])
def test_what_comes_at_once_is_checkpointed_between_its_batches_as_often_as_it_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_bytes: int, made: int
) -> None:
    (tmp_path / "live").mkdir()
    session = safeh5.open(tmp_path / "live" / "run.h5")
    for number in range(5):
        write_batch(session, number)
    lsn = session.sync()
    names = Names.of(str(copied(tmp_path / "live" / "run.h5", tmp_path / "dead")))
    told: list[orders.News] = []
    monkeypatch.setattr(child_module, "tell", told.append)
    record, limits = session._parts.record, CheckpointOptions(every_bytes=every_bytes)
    begin = orders.Begin(
        os.fsencode(names.target), os.fsencode(names.sidecar), session._parts.session_id, record, limits
    )
    child = child_module.Child(begin, Storage())
    child.take(orders.Durable(lsn))
    child.take(orders.Finish(lsn))
    assert not child.work()
    checkpoints = [one.lsn for one in told if isinstance(one, orders.Checkpointed)]
    assert checkpoints == sorted(set(checkpoints)) and len(checkpoints) >= made - 1
    assert (len(checkpoints) == 0) == (every_bytes > 1)
    assert held(names.staging) == batches(0, 1, 2, 3, 4)
    session.rollback()
