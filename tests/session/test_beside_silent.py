"""An applier that gives no sign of life is ended and started again; one that lives is not."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.session import beside as module
from tests.load import slowness


def child_of(session: safeh5.Session) -> int:
    process = session._workspace.beside.beside._process  # type: ignore[attr-defined]
    return int(process.pid)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
@pytest.mark.timed
def test_a_commit_does_not_wait_for_ever_for_an_applier_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = safeh5.open(tmp_path / "run.h5", applier="process")
    stream = session.stream("/s", (100,), "i8")
    stream.append(np.zeros(100, "i8"))
    session.checkpoint()
    hung = child_of(session)
    os.kill(hung, signal.SIGSTOP)
    monkeypatch.setattr(module, "_STALL_SECONDS", 1.0 * slowness())  # the next one has to start in that
    for number in range(1, 20):
        stream.append(np.full(100, number))
    session.commit()
    with pytest.raises(ProcessLookupError):
        os.kill(hung, 0)
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["s"][:, 0].tolist() == list(range(20))


def test_an_applier_that_works_for_long_gives_signs_of_life(tmp_path: Path) -> None:
    """Nothing is ordered for longer than a beat, and the child is heard of all the same."""
    session = safeh5.open(tmp_path / "run.h5", applier="process")
    session.stream("/s", (), "i8").append(1)
    session.checkpoint()
    beside = session._workspace.beside.beside  # type: ignore[attr-defined]
    heard = beside._heard
    deadline = time.monotonic() + 30
    while beside._heard == heard and time.monotonic() < deadline:
        time.sleep(0.2)
    assert beside._heard > heard
    session.commit()


def test_a_tree_written_by_one_of_many_threads_is_told_the_lsn_of_its_own_end(tmp_path: Path) -> None:
    session = safeh5.open(tmp_path / "run.h5")
    written: dict[str, int] = {}

    def write(name: str) -> None:
        written[name] = session.write(safeh5.MicroDataGroup(name)).lsn

    threads = [threading.Thread(target=write, args=(f"g{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(written.values())) == 8
    with session.batch():
        first = session.write(safeh5.MicroDataGroup("first")).lsn
        second = session.write(safeh5.MicroDataGroup("second")).lsn
    assert max(written.values()) < first < second < session.last_lsn
    session.commit()
