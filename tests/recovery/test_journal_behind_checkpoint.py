"""A journal that ends before its checkpoint has lost acknowledged records, however sound it looks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import safeh5
from safeh5.errors import CorruptJournalError
from safeh5.journal import scan
from safeh5.recovery import Condition, Loss
from safeh5.recovery.salvage import _is_behind
from safeh5.storage import Storage
from tests.support import batches, held, segments, sidecar, write_batch


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """A session with two batches in its checkpoint and one in its journal."""
    target = tmp_path / "run.h5"
    session = safeh5.open(target)
    write_batch(session, 0)
    size = segments(target)[0].stat().st_size
    write_batch(session, 1)
    session.checkpoint()
    session._abandon()
    os.truncate(segments(target)[0], size)
    return target


def test_a_journal_that_ends_before_its_checkpoint_is_not_gone_on_with(cut: Path) -> None:
    # A session that did would give its records LSNs that the checkpoint claims to hold already.
    assert safeh5.status(cut).condition is Condition.CORRUPT
    with pytest.raises(CorruptJournalError, match="checkpointed at LSN"):
        safeh5.open(cut, resume=True)
    with pytest.raises(CorruptJournalError, match="--salvage"):
        safeh5.recover(cut)


def test_salvage_brings_back_what_the_checkpoint_has_and_the_journal_has_lost(cut: Path) -> None:
    safeh5.recover(cut, "salvage")
    assert held(cut) == batches(0, 1)


def test_a_loss_behind_the_checkpoint_is_named_although_another_lies_before_it(cut: Path) -> None:
    found = scan(Storage(), sidecar(cut))
    assert _is_behind(Loss(what="", first_lsn=20, last_lsn=20), 10, found)
    assert _is_behind(Loss(what="", first_lsn=20), 10, found)
    assert not _is_behind(Loss(what="", first_lsn=5, last_lsn=5), 10, found)
