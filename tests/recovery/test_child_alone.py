"""The applier beside the acquisition, without its process: what it does with its orders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import safeh5
from safeh5.options import CheckpointOptions
from safeh5.recovery import child as child_module
from safeh5.recovery import orders
from safeh5.storage import Names, Storage
from tests.support import batches, copied, held, write_batch


@contextmanager
def begun(tmp_path: Path, limits: CheckpointOptions) -> Iterator[tuple[child_module.Child, int]]:
    """The applier of a session of five batches, on a copy of it; and the LSN up to which all is durable."""
    (tmp_path / "live").mkdir()
    session = safeh5.open(tmp_path / "live" / "run.h5")
    for number in range(5):
        write_batch(session, number)
    lsn = session.sync()
    names = Names.of(str(copied(tmp_path / "live" / "run.h5", tmp_path / "dead")))
    parts = session._parts
    begin = orders.Begin(
        os.fsencode(names.target), os.fsencode(names.sidecar), parts.session_id, parts.record, limits
    )
    yield child_module.Child(begin, Storage()), lsn
    session.rollback()


@pytest.mark.parametrize(("every_bytes", "made"), [(1, 5), (1 << 30, 1)])
def test_what_comes_at_once_is_checkpointed_between_its_batches_as_often_as_it_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_bytes: int, made: int
) -> None:
    told: list[orders.News] = []
    monkeypatch.setattr(child_module, "tell", told.append)
    with begun(tmp_path, CheckpointOptions(every_bytes=every_bytes)) as (child, lsn):
        child.take(orders.Durable(lsn))
        child.take(orders.Finish(lsn))
        assert not child.work()
        checkpoints = [one.lsn for one in told if isinstance(one, orders.Checkpointed)]
        assert checkpoints == sorted(set(checkpoints)) and len(checkpoints) >= made - 1
        assert (len(checkpoints) == 0) == (every_bytes > 1)
        assert held(child.staging.path) == batches(0, 1, 2, 3, 4)


def test_what_waits_is_checkpointed_when_its_time_has_come_though_nothing_new_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[orders.News] = []
    monkeypatch.setattr(child_module, "tell", told.append)
    with begun(tmp_path, CheckpointOptions(every_bytes=1 << 30, every_seconds=3600)) as (child, lsn):
        child.take(orders.Durable(lsn))
        assert child.work() and not [one for one in told if isinstance(one, orders.Checkpointed)]
        child._fresh_since -= 3600
        assert child.work()
        assert [one for one in told if isinstance(one, orders.Checkpointed)] == [orders.Checkpointed(lsn)]
