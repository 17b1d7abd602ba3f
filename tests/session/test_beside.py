"""An applier in a process beside: the same file, whatever becomes of it, however the session ends."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import SessionStateError, TargetChangedError
from safeh5.microdata import MicroDataGroup, MicroDataset
from safeh5.operations.model import Delete
from safeh5.session import Session, State
from safeh5.testing.compare import assert_same
from tests.session.appliers import appliers_below, child_of, opened
from tests.support import batches, entries, held, held_in, make_old, sidecar, write_batch

NO_STAMPS = {"machine_id": None, "timestamp": None}

# The short form for every run is test_beside_short.py.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_applier_is_left")]


# --- the same file ---------------------------------------------------------------------------------


def mixed_work(session: Session) -> None:
    """Trees, streams, batches that are cancelled, rewinding, deleting."""
    session.write(
        MicroDataGroup(
            "a", attrs=NO_STAMPS, children=[MicroDataset("x", np.arange(100.0)), MicroDataset("s", "text")]
        )
    )
    session.write(
        MicroDataGroup("b", "/a/", NO_STAMPS, children=[MicroDataset("y", np.eye(20), compression="gzip")])
    )
    frames = session.stream("/run/frames", (8, 8), "u2", attrs={"camera": "A"})
    words = session.stream("/run/words", (), h5py.string_dtype())
    for number in range(30):
        frames.append(np.full((8, 8), number))
        words.append(f"step {number}")
        if number % 7 == 0:
            with pytest.raises(ZeroDivisionError), session.batch():
                frames.append(np.full((8, 8), 999))
                words.append("never")
                _ = 1 / 0
    frames.rewind(25)
    frames.write((slice(0, 3), 0), 77)
    frames.extend(np.arange(5 * 64).reshape(5, 8, 8))
    session.write(MicroDataset("x", np.arange(7), parent="/a/"), overwrite=True)
    session.record(Delete(path="/a/s"))


@pytest.mark.parametrize("durability", ["record", "interval", "flush"])
def test_the_file_is_the_one_that_an_inline_applier_makes(target: Path, durability: str) -> None:
    other = target.with_name("inline.h5")
    for path in (target, other):
        make_old(path)
    with opened(target, durability=durability) as session:
        mixed_work(session)
    with safeh5.open(other) as session:
        mixed_work(session)
    assert_same(target, other)
    assert entries(target) == ["inline.h5"]


@pytest.mark.parametrize("durability", ["record", "interval", "flush"])
def test_what_is_written_can_be_read_at_once(target: Path, durability: str) -> None:
    session = opened(target, durability=durability)
    for number in range(3):
        write_batch(session, number)
        assert held_in(session.file) == batches(*range(number + 1))
    shown = session.file
    write_batch(session, 3)
    assert not shown  # closed: it would be torn by the next checkpoint
    with session.batch():
        assert session.file  # nothing is in the batch yet
        session.record(Delete(path="/b0"))
        with pytest.raises(SessionStateError, match="inline"):
            _ = session.file
    assert held_in(session.file) == batches(1, 2, 3)
    session.rollback()


# --- endings ---------------------------------------------------------------------------------------


def test_a_commit_that_was_refused_leaves_the_session_open_and_can_be_repeated(target: Path) -> None:
    old = make_old(target)
    session = opened(target)
    write_batch(session, 0)
    session.checkpoint()
    target.write_bytes(old + b"changed")
    for number in (1, 2):
        with pytest.raises(TargetChangedError):
            session.commit()
        assert session.state is State.OPEN
        write_batch(session, number)
        assert held_in(session.file) == batches(*range(number + 1), old=True)
    session.rollback()
    assert target.read_bytes() == old + b"changed"


def test_a_target_that_changed_before_the_applier_had_copied_it_is_named(target: Path) -> None:
    old = make_old(target)
    session = opened(target)
    target.write_bytes(old + b"changed")
    write_batch(session, 0)
    with pytest.raises(TargetChangedError) as caught:
        session.commit()
    assert str(target) in str(caught.value) and "--salvage" not in str(caught.value)
    session.rollback()


@pytest.mark.parametrize("durability", ["record", "interval", "flush"])
@pytest.mark.parametrize("again", ["process", "inline"])
def test_a_suspended_session_goes_on_with_either_applier(target: Path, again: str, durability: str) -> None:
    make_old(target)
    session = opened(target, durability=durability)
    write_batch(session, 0)
    session.suspend()
    assert appliers_below(os.getpid()) == []
    session = safeh5.open(target, resume=True, applier=again)
    write_batch(session, 1)
    assert held_in(session.file) == batches(0, 1, old=True)
    session.suspend()
    with opened(target, resume=True, durability=durability) as session:
        write_batch(session, 2)
    assert held(target) == batches(0, 1, 2, old=True)


def test_two_sessions_have_an_applier_each(target: Path) -> None:
    other = target.with_name("other.h5")
    with opened(target) as one, opened(other) as two:
        write_batch(one, 0)
        write_batch(two, 1)
        assert child_of(one) != child_of(two)
    assert (held(target), held(other)) == (batches(0), batches(1))


def test_a_checkpoint_of_the_applier_is_a_whole_file_on_disk(target: Path) -> None:
    session = opened(target, libver="latest")
    for number in range(3):
        write_batch(session, number)
        session.checkpoint()
        assert held(sidecar(target) / "staging.h5") == batches(*range(number + 1))
    session.rollback()


def test_a_tree_may_build_on_another_one_of_the_same_batch(target: Path) -> None:
    with opened(target) as session:
        write_batch(session, 0)
        with session.batch():
            first = session.write(safeh5.MicroDataGroup("Scan_")).paths[0]
            second = session.write(safeh5.MicroDataGroup("Scan_")).paths[0]
            session.write(safeh5.MicroDataset("values", [1.0, 2.0], parent=second))
            with pytest.raises(SessionStateError, match="inside a batch"):
                session.file  # noqa: B018
        assert (first, second) == ("/Scan_000", "/Scan_001")
        with pytest.raises(ZeroDivisionError), session.batch():
            session.write(safeh5.MicroDataGroup("Scan_"))
            assert session.write(safeh5.MicroDataGroup("Scan_")).paths[0] == "/Scan_003"
            raise ZeroDivisionError
        frames = session.stream("/Scan_001/frames", shape=(2,), dtype="f8")
        frames.append([3.0, 4.0])
        assert set(session.file) == {"b0", "Scan_000", "Scan_001"}
        assert child_of(session)  # and the applier is at work again
    with h5py.File(target) as file:
        assert set(file) == {"b0", "Scan_000", "Scan_001"}
        assert file["Scan_001/values"][:].tolist() == [1.0, 2.0]
        assert file["Scan_001/frames"][:].tolist() == [[3.0, 4.0]]


def test_a_session_that_ends_behind_such_a_batch_is_whole(target: Path) -> None:
    make_old(target)
    with opened(target) as session, session.batch():
        for number in range(3):
            assert session.write(safeh5.MicroDataGroup("Scan_")).paths[0] == f"/Scan_{number:03d}"
    with h5py.File(target) as file:
        assert set(file) == {"old", "Scan_000", "Scan_001", "Scan_002"}
