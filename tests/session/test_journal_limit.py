"""A session keeps its journal within the limit, and goes on when it cannot."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

import safeh5
from safeh5.errors import InvalidOptionError
from safeh5.journal import scan
from safeh5.session import core as session_module
from safeh5.storage import Storage
from safeh5.testing.faults import Fault, FaultyStorage
from tests.support import batches, held, sidecar, write_batch

LIMIT = 4000


def journal_bytes(target: Path) -> int:
    return sum(path.stat().st_size for path in sidecar(target).glob("journal-*"))


@pytest.mark.parametrize("applier", ["inline", "process"])
@pytest.mark.parametrize("durability", ["record", "interval", "flush"])
def test_the_journal_never_takes_more_than_the_limit_and_two_segments(
    tmp_path: Path, applier: str, durability: str
) -> None:
    target, largest = tmp_path / "run.h5", 0
    with safeh5.open(
        target, journal_limit=LIMIT, applier=applier, durability=durability, interval_ms=1
    ) as session:
        for number in range(40):
            write_batch(session, number)
            largest = max(largest, journal_bytes(target))
        assert not scan(Storage(), sidecar(target)).is_complete
    assert LIMIT / 2 < largest <= LIMIT + 2 * (LIMIT // 4)
    assert held(target) == batches(*range(40))


def test_a_batch_larger_than_the_limit_is_kept_whole(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    with safeh5.open(target, journal_limit=LIMIT) as session:
        with session.batch():
            for number in range(30):
                write_batch(session, number)
            assert journal_bytes(target) > 2 * LIMIT
        assert journal_bytes(target) < LIMIT
    assert held(target) == batches(*range(30))


def test_a_batch_that_failed_before_and_after_pruning_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    with safeh5.open(target, journal_limit=1000) as session:
        for number in range(12):
            with pytest.raises(KeyError), session.batch():
                write_batch(session, 100 + number)
                raise KeyError
            write_batch(session, number)
    assert held(target) == batches(*range(12))


def test_without_room_for_a_checkpoint_the_session_goes_on_and_prunes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "run.h5"
    storage = FaultyStorage(Fault("create_random", error=errno.ENOSPC, path="redo", times=1))
    with safeh5.open(target, journal_limit=LIMIT, storage=storage) as session:
        for number in range(20):
            write_batch(session, number)
        tries = [call for call in storage.calls if call.effect == "create_random" and "redo" in call.path]
        assert len(tries) == 1, "after a failed one there is a pause"
        assert journal_bytes(target) > LIMIT
        monkeypatch.setattr(session_module, "_CHECKPOINT_PAUSE", 0.0)
        session._no_checkpoint_before = 0.0
        write_batch(session, 20)
        assert journal_bytes(target) < LIMIT
    assert held(target) == batches(*range(21))


def test_a_limit_below_one_byte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionError):
        safeh5.open(tmp_path / "run.h5", journal_limit=0)
    assert list(tmp_path.iterdir()) == []
