"""Checkpoints that nobody waits for, and what a sync does inside a batch."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import safeh5
from safeh5.journal import Kind, scan
from safeh5.session import Session, State
from safeh5.session import core as core_module
from safeh5.storage import Storage
from safeh5.testing.faults import FaultyStorage
from tests.support import batches, copied, held, operations, sidecar, write_batch


def last_checkpoint(session: Session, target: Path) -> int:
    """LSN of the last CHECKPOINT record in the journal of a session; 0 for none."""
    session.sync()
    found = scan(Storage(), sidecar(target), live=True).last(Kind.CHECKPOINT)
    return found.lsn if found is not None else 0


def test_a_checkpoint_that_is_owed_is_not_made_when_another_came_before_it(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_module, "FLUSH_BYTES", 0)
    monkeypatch.setattr(core_module, "FLUSH_SECONDS", 1e9)
    session = safeh5.open(target)
    write_batch(session, 0)
    session.checkpoint()
    first = last_checkpoint(session, target)
    write_batch(session, 1)
    session.checkpoint_soon()
    assert last_checkpoint(session, target) == first, "it is owed"
    session._checkpoint_owed()  # as the thread does
    second = last_checkpoint(session, target)
    session._checkpoint_owed()
    assert second > first and last_checkpoint(session, target) == second, "nothing was written since"
    session.rollback()
    session._checkpoint_owed()
    assert not target.exists() and session.state is State.ROLLED_BACK


def test_a_session_that_another_thread_ends_after_a_batch_is_not_checkpointed(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = safeh5.open(target)

    def ended_meanwhile() -> bool:
        thread = threading.Thread(target=session.suspend)
        thread.start()
        thread.join()
        return True

    monkeypatch.setattr(session._workspace, "is_due", ended_meanwhile)
    write_batch(session, 0)
    assert session.state is State.SUSPENDED
    safeh5.recover(target)
    assert held(target) == batches(0)


@pytest.mark.parametrize("written", [0, 3], ids=["before-its-first-record", "with-records"])
def test_a_sync_inside_a_batch_leaves_what_came_before_durable_and_the_batch_whole_or_not_there(
    target: Path, tmp_path: Path, written: int
) -> None:
    storage = FaultyStorage()
    session = safeh5.open(target, durability="flush", storage=storage)
    write_batch(session, 0)
    with session.batch():
        for operation, payload in list(operations(1))[:written]:
            session.record(operation, payload)
        before = storage.effects().count("sync")
        assert session.sync() == session.durable_lsn
        # Half of a batch is nothing after a power cut, so there is nothing to wait for.
        assert (storage.effects().count("sync") > before) == (written == 0)
        killed = copied(target, tmp_path / "killed")
        for operation, payload in list(operations(1))[written:]:
            session.record(operation, payload)
    session.commit()
    assert held(target) == batches(0, 1)
    safeh5.recover(killed)
    assert held(killed) == batches(0)


def test_a_session_without_an_applier_beside_it_has_nothing_that_waits(target: Path) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    assert (session.lag_bytes, session.lag_seconds) == (0, 0)
    session.rollback()
