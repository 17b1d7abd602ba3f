"""Readers that read everything, all the time, while checkpoints follow each other: never a torn state."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import safeh5
from safeh5.storage import Storage, pager, readers
from safeh5.storage.pager import Pager
from tests.live import world
from tests.live.world import check, step
from tests.load import slowness

LEAST = 12
"""Batches that are written in any case: readers are stopped and killed at numbers below."""


def hammered(
    tmp_path: Path,
    applier: str,
    seconds: float,
    *kinds: str,
    meanwhile: Callable[[int], None] = lambda n: None,
) -> list[dict[str, object]]:
    """Checkpoint after every batch for some seconds, with readers of these kinds; returns what they saw.

    Longer on a busy machine, so that readers and writer get as far as they would alone.
    """
    target = tmp_path / "run.h5"
    with safeh5.open(target, applier=applier, durability="flush") as session:  # type: ignore[arg-type]
        world.begin(session)
        step(session, 0)
        session.checkpoint()
        reading = world.Readers(target, *kinds)
        deadline, n = time.monotonic() + seconds * min(3.0, slowness()), 0
        while time.monotonic() < deadline or n < LEAST:
            n += 1
            step(session, n)
            session.checkpoint()
            meanwhile(n)
    with safeh5.live(target) as view:
        assert check(view) == n
    found = reading.results()
    assert all(result.get("last", n) == n for result in found)
    return found


@pytest.mark.parametrize("applier", ["inline", "process"])
def test_readers_that_hammer_during_checkpoints_never_see_a_torn_state(tmp_path: Path, applier: str) -> None:
    fresh, patient, blind = hammered(tmp_path, applier, 3, "fresh", "patient", "blind")
    assert "error" not in {**fresh, **patient, **blind}, (fresh, patient, blind)
    assert fresh["seen"] > 3 and fresh["expired"] == 0, fresh  # type: ignore[operator]
    assert patient["seen"] <= 2 and patient["checks"] > 3 and patient["expired"] == 0  # type: ignore[operator]
    assert sorted(os.listdir(tmp_path)) == ["run.h5", *sorted(p.name for p in tmp_path.glob("*.ready"))]


@pytest.mark.slow
@pytest.mark.parametrize("applier", ["inline", "process"])
def test_readers_that_hammer_for_long_never_see_a_torn_state(tmp_path: Path, applier: str) -> None:
    kinds = ["fresh", "fresh", "patient", "blind"]
    results = hammered(tmp_path, applier, 60, *kinds)
    assert all("error" not in result for result in results), results


@pytest.mark.slow
def test_readers_see_no_torn_state_while_the_applier_is_killed_again_and_again(tmp_path: Path) -> None:
    def kill(n: int) -> None:
        if n % 7 == 0:
            found = subprocess.run(
                ["pgrep", "-P", str(os.getpid()), "-f", "safeh5.recovery.child"],
                capture_output=True,
                text=True,
            ).stdout.split()
            for pid in found:
                os.kill(int(pid), signal.SIGKILL)

    results = hammered(tmp_path, "process", 20, "fresh", "patient", meanwhile=kill)
    assert all("error" not in result for result in results), results


def test_a_killed_reader_does_not_stop_the_writer_and_leaves_nothing(tmp_path: Path) -> None:
    killed: list[int] = []

    def kill(n: int) -> None:
        files = list(tmp_path.glob("run.h5.safeh5/staging.reader-*"))
        if n == 5:
            killed.extend(int(path.name.split("-")[1]) for path in files)
            assert len(killed) == 1
            os.kill(killed[0], signal.SIGKILL)
            while os.path.exists(f"/proc/{killed[0]}/fd/0"):
                time.sleep(0.01)
        if n > 6:
            assert files == []

    (result,) = hammered(tmp_path, "inline", 1, "patient", meanwhile=kill)
    assert killed and result["error"] == "exit code -9"


@pytest.mark.timed
def test_a_stopped_reader_does_not_stop_the_writer_and_goes_on_reading_the_same(tmp_path: Path) -> None:
    stopped: list[int] = []

    def stop(n: int) -> None:
        if n == 2:
            stopped.extend(int(p.name.split("-")[1]) for p in tmp_path.glob("run.h5.safeh5/staging.reader-*"))
            os.kill(stopped[0], signal.SIGSTOP)
        if n == 10:
            os.kill(stopped[0], signal.SIGCONT)

    try:
        (result,) = hammered(tmp_path, "inline", 1, "patient", meanwhile=stop)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(stopped[0], signal.SIGCONT)
    assert "error" not in result and result["expired"] == 0


# --- the hammer can strike ---------------------------------------------------------------------------


def nothing_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers.Readers, "save", lambda self, file, redo: None)


def saved_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(self: Pager, storage: Storage, redo: object) -> None:
        pager._place(self._file, redo)  # type: ignore[arg-type]
        self._readers = self._readers or readers.Readers(storage, self.path)
        self._readers.save(self._file, redo)  # type: ignore[arg-type]

    monkeypatch.setattr(Pager, "_place", late)


def some_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = readers._Reader._wanted
    monkeypatch.setattr(readers._Reader, "_wanted", lambda self, redo: whole(self, redo)[::2])


@pytest.mark.parametrize("plant", [nothing_saved, saved_too_late, some_forgotten])
def test_the_hammer_finds_a_writer_that_saves_too_little_or_too_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    (result,) = hammered(tmp_path, "inline", 1.5, "patient")
    assert "error" in result
