"""The target: what of it is kept, who else may hold it, and who changed it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

import safeh5
from safeh5.errors import (
    InterruptedSessionError,
    LockLostError,
    NotHDF5Error,
    NotReadableError,
    SessionLockedError,
    SessionStateError,
    TargetChangedError,
)
from safeh5.operations.model import CreateGroup
from safeh5.recovery import Condition
from safeh5.session import State
from tests.support import (
    batches,
    entries,
    held,
    interrupted,
    make_old,
    sidecar,
    snapshot,
    write_batch,
)

ENDINGS: dict[str, Callable[[safeh5.Session], None]] = {
    "commit": safeh5.Session.commit,
    "rollback": safeh5.Session.rollback,
    "suspend": safeh5.Session.suspend,
    "fail": safeh5.Session._abandon,
}


# --- the target -----------------------------------------------------------------------------------


def test_a_symbolic_link_is_followed_and_stays_a_link(target: Path, old: bytes) -> None:
    link = target.parent.parent / "link.h5"
    link.symlink_to(target)
    with safeh5.open(link) as session:
        write_batch(session, 0)
        assert entries(target) == ["run.h5.safeh5", "run.h5.safeh5.lock"]
        with pytest.raises(SessionLockedError):
            safeh5.open(target)
    assert link.is_symlink() and held(target) == held(link) == batches(0, old=True)


def test_a_dangling_link_makes_the_file_that_it_names(target: Path) -> None:
    link = target.parent.parent / "link.h5"
    link.symlink_to(target)
    with safeh5.open(link) as session:
        write_batch(session, 0)
    assert link.is_symlink() and held(target) == batches(0)


@pytest.mark.parametrize("mode", ["a", "w"])
def test_the_mode_of_an_existing_target_is_kept(target: Path, old: bytes, mode: str) -> None:
    target.chmod(0o640)
    with safeh5.open(target, mode) as session:
        write_batch(session, 0)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_new_target_gets_the_mode_that_any_new_file_gets(target: Path) -> None:
    with safeh5.open(target) as session:
        write_batch(session, 0)
    plain = target.with_name("plain")
    plain.touch()
    assert target.stat().st_mode == plain.stat().st_mode


@pytest.mark.root
def test_the_owner_of_an_existing_target_is_kept(target: Path, old: bytes) -> None:
    os.chown(target, 12345, 23456)
    with safeh5.open(target) as session:
        write_batch(session, 0)
    assert (target.stat().st_uid, target.stat().st_gid) == (12345, 23456)


def test_a_target_that_others_changed_is_not_overwritten_and_nothing_is_lost(
    target: Path, old: bytes
) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    # Not by h5py at that path: where h5py is made to journal, it refuses to write beside a session.
    other = target.with_name("other.h5")
    other.write_bytes(old)
    with h5py.File(other, "r+") as file:
        file["theirs"] = 1
    other.replace(target)
    theirs = target.read_bytes()
    with pytest.raises(TargetChangedError) as caught:
        session.commit()
    assert str(target) in str(caught.value) and "--output" in str(caught.value)
    assert session.state is State.OPEN and target.read_bytes() == theirs
    session.suspend()
    safeh5.recover(target, output=target.with_name("other.h5"))
    assert target.read_bytes() == theirs


def test_a_target_that_others_made_or_removed_is_not_overwritten(target: Path) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    theirs = make_old(target.with_name("other.h5"))
    target.with_name("other.h5").replace(target)
    with pytest.raises(TargetChangedError):
        session.commit()
    assert target.read_bytes() == theirs
    target.unlink()
    session.commit()
    assert held(target) == batches(0)


# --- who else is there ----------------------------------------------------------------------------


def test_a_second_writer_is_told_who_holds_the_lock(target: Path, old: bytes) -> None:
    with safeh5.open(target) as session:
        write_batch(session, 0)
        for options in ({}, {"resume": True}, {"recover": "replay"}, {"mode": "w"}):
            with pytest.raises(SessionLockedError) as caught:
                safeh5.open(target, **options)  # type: ignore[arg-type]
            assert str(os.getpid()) in str(caught.value) and str(target) in str(caught.value)
            assert caught.value.holder is not None and str(os.getpid()) in caught.value.holder
        with pytest.raises(SessionLockedError):
            safeh5.recover(target)
        assert safeh5.status(target).condition is Condition.LIVE
    assert held(target) == batches(0, old=True)


def test_an_interrupted_session_is_never_passed_over_and_the_command_is_named(
    target: Path, old: bytes
) -> None:
    interrupted(target, 0)
    before = snapshot(target.parent)
    for mode in ("a", "r+", "w", "x", "w-"):
        with pytest.raises(InterruptedSessionError) as caught:
            safeh5.open(target, mode)
        text = str(caught.value)
        assert f"safeh5 recover {target}" in text and f"safeh5 recover {target} --rollback" in text
        assert "resume=True" in text
    assert snapshot(target.parent) == before


def test_a_lock_file_that_was_removed_stops_the_commit_and_is_not_made_again(
    target: Path, old: bytes
) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    target.with_name("run.h5.safeh5.lock").unlink()
    with pytest.raises(LockLostError):
        session.commit()
    assert target.read_bytes() == old


@pytest.mark.parametrize("ending", ["commit", "rollback", "suspend"])
def test_a_session_that_lost_its_lock_keeps_its_hands_off_the_next_session(
    target: Path, old: bytes, ending: str
) -> None:
    first = safeh5.open(target)
    write_batch(first, 0)
    target.with_name("run.h5.safeh5.lock").unlink()
    second = safeh5.open(target, resume=True)
    with pytest.raises(LockLostError):
        ENDINGS[ending](first)
    assert first.state is State.FAILED
    write_batch(second, 1)
    write_batch(second, 2)
    second.commit()
    assert held(target) == batches(0, 1, 2, old=True) and entries(target) == []


def test_a_fork_of_the_process_can_neither_use_nor_end_the_session(target: Path, old: bytes) -> None:
    session = safeh5.open(target)
    write_batch(session, 0)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with session:
                session.record(CreateGroup(path="/child"))
        except SessionStateError:
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert sidecar(target).exists()
    with pytest.raises(SessionLockedError):
        safeh5.open(target)
    write_batch(session, 1)
    session.commit()
    assert held(target) == batches(0, 1, old=True)


def test_a_fork_that_ends_as_programs_do_writes_nothing_to_the_sessions_file(target: Path) -> None:
    script = f"""
import os, sys
import safeh5
from tests.support import write_batch, held
session = safeh5.open({str(target)!r})
write_batch(session, 0)
session.checkpoint()
write_batch(session, 1)
if os.fork() == 0:
    sys.exit(0)  # libhdf5 flushes what it has open when a process ends
assert os.wait()[1] == 0
for number in range(2, 30):
    write_batch(session, number)
session.commit()
assert len(held({str(target)!r})) == 30
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("call", [safeh5.open, safeh5.status, safeh5.recover])
def test_a_target_that_cannot_be_read_is_named_with_its_cause(tmp_path: Path, call: Any) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(NotHDF5Error, match=r"symbolic links.*loop.*Nothing was touched"):
        call(loop)
    if os.geteuid() != 0:
        make_old(tmp_path / "run.h5")
        (tmp_path / "run.h5").chmod(0)
        with pytest.raises(NotReadableError, match="may not be read"):
            call(tmp_path / "run.h5")
