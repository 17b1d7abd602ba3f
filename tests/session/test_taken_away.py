"""What others may do to a session's files and processes while it runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import ApplyError, JournalError, JournalWriteError, SessionFailedError, TargetChangedError
from safeh5.session import Session, ending
from safeh5.session import beside as module


@pytest.mark.parametrize("durability", ["record", "interval", "flush"])
def test_nothing_is_acknowledged_once_the_journal_was_deleted(target: Path, durability: str) -> None:
    session = safeh5.open(target, durability=durability)
    stream = session.stream("/s", (5000,), "i8")
    stream.append(np.zeros(5000, "i8"))
    session.sync()
    shutil.rmtree(f"{target}.safeh5")
    with pytest.raises((JournalWriteError, SessionFailedError), match="deleted by somebody else"):
        stream.append(np.ones(5000, "i8"))
        session.sync()
    assert stream.durable_length == 1
    with pytest.raises(SessionFailedError):
        stream.append(np.ones(5000, "i8"))


def test_a_directory_in_the_place_of_the_target_is_left_alone_and_the_session_stays_open(
    target: Path, old: bytes
) -> None:
    session = safeh5.open(target)
    session.stream("/s", (), "i8").append(1)
    target.unlink()
    target.mkdir()
    with pytest.raises(TargetChangedError, match="changed by someone else"):
        session.commit()
    target.rmdir()
    with pytest.raises(TargetChangedError, match="is gone"):
        session.commit()
    session.rollback()


def test_a_commit_that_the_system_refuses_can_be_tried_again(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.stream("/s", (), "i8").append(1)
    prepare = ending.prepare

    def refuse(parts: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(ending, "prepare", refuse)
    with pytest.raises(JournalError, match=r"Cannot allocate memory.*open as before"):
        session.commit()
    monkeypatch.setattr(ending, "prepare", prepare)
    session.commit()
    with h5py.File(session.target) as file:
        assert file["s"][:].tolist() == [1]


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
@pytest.mark.timed
def test_an_acquisition_does_not_wait_for_an_applier_that_was_stopped(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAKE_SECONDS", 0.3)
    session = safeh5.open(target, applier="process", backlog_bytes=1 << 16)
    stream = session.stream("/s", (1 << 12,), "i8")
    stream.append(np.zeros(1 << 12, "i8"))
    session.checkpoint()
    process = session._workspace.beside.beside._process  # type: ignore[attr-defined]
    os.kill(process.pid, signal.SIGSTOP)
    began = time.monotonic()
    for number in range(1, 40):
        stream.append(np.full(1 << 12, number))
    session.commit()
    assert time.monotonic() - began < 20
    with h5py.File(target) as file:
        assert file["s"][:, 0].tolist() == list(range(40))


def test_an_applier_that_cannot_be_started_is_told_with_its_cause_and_the_session_goes_on(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = safeh5.open(target, applier="process")
    popen = subprocess.Popen

    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(ApplyError, match=r"could not be started: Too many open files.*call again"):
        session.stream("/s", (), "i8")
    monkeypatch.setattr(subprocess, "Popen", popen)
    session.stream("/s", (), "i8").append(1)
    session.commit()
    with h5py.File(target) as file:
        assert file["s"][:].tolist() == [1]
