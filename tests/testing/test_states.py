"""The states mode: what it records, which states it builds, and that it finds what is wrong."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from safeh5.storage.children import environment
from safeh5.testing.harness import registry
from safeh5.testing.harness.report import MORE
from safeh5.testing.harness.settings import Settings, UsageError
from safeh5.testing.modes import states as mode
from safeh5.testing.states import check, explore
from safeh5.testing.states.choices import cut_off, states
from safeh5.testing.states.contents import Contents
from safeh5.testing.states.disk import Disk, Fate, Tree, read_tree
from safeh5.testing.states.events import Event, Kind
from safeh5.testing.states.explore import Explorer, story, with_half
from safeh5.testing.states.proof import ProofError, prove
from safeh5.testing.states.recorder import Recorder, recording
from safeh5.testing.states.smallest import simplest
from safeh5.testing.states.workload import Recording, record
from safeh5.testing.states.workloads import WORKLOADS

EMPTY = Tree({}, ())
LOST = Fate("lost")


@contextlib.contextmanager
def recorded(root: Path) -> Iterator[list[Event]]:
    root.mkdir(exist_ok=True)
    with recording(Recorder(os.path.realpath(root))) as recorder:
        yield recorder.events


def write(path: Path, data: bytes, *, sync: bool = False) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, data)
    if sync:
        os.fdatasync(fd)
    os.close(fd)


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def disk_of(events: list[Event]) -> Disk:
    disk = Disk(EMPTY)
    for event in events:
        disk.apply(event)
    return disk


def everything_lost(disk: Disk) -> Tree:
    return next(
        disk.build(state.choice) for state in states(disk, 0, 0) if state.family == "everything pending lost"
    )


# --- the recorder -----------------------------------------------------------------------


def test_what_was_recorded_done_again_gives_the_real_tree(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with recorded(root) as events:
        os.mkdir(root / "a")
        write(root / "a" / "x", b"0123456789")
        os.rename(root / "a", root / "b")
        fd = os.open(root / "b" / "x", os.O_RDWR | os.O_APPEND)
        os.writev(fd, [b"ab", b"cd"])
        os.pwrite(fd, b"!", 2)
        os.ftruncate(fd, 12)
        os.close(fd)
        os.chmod(root / "b" / "x", 0o600)
        write(root / "gone", b"x")
        os.unlink(root / "gone")
        shutil.copytree(root / "b", root / "c", copy_function=copy)
        os.mkdir(root / "d")
        write(root / "d" / "y", b"y")
        shutil.rmtree(root / "d")
        os.replace(root / "c" / "x", root / "b" / "x")
    assert disk_of(events).build({}) == read_tree(root)


def copy(source: str, target: str) -> None:
    there, here = os.open(source, os.O_RDONLY), os.open(target, os.O_WRONLY | os.O_CREAT)
    os.copy_file_range(there, here, 100)
    os.close(there)
    os.close(here)


def test_after_recording_the_functions_of_os_are_what_they_were(tmp_path: Path) -> None:
    before = dict(vars(os))
    with recorded(tmp_path):
        assert os.open is not before["open"]
    assert dict(vars(os)) == before


@pytest.mark.parametrize("name", ["stream, group commit", "applier beside", "death in recovery"])
def test_the_trace_of_a_workload_gives_its_real_tree(name: str, tmp_path: Path) -> None:
    found = record(WORKLOADS[name], tmp_path)
    assert not prove(found)
    assert sum(event.kind is Kind.SYNC for event in found.events) > 5


def test_a_trace_that_leaves_out_a_write_is_refused(tmp_path: Path) -> None:
    found = record(WORKLOADS["tree"], tmp_path)
    events = list(found.events)
    writes = [i for i, event in enumerate(events) if "staging" in event.path and len(event.data) > 100]
    del events[writes[-1]]
    less = Recording(found.workload, found.start, events, found.end, "", [])
    with pytest.raises(ProofError):
        prove(less)


# --- the disk ---------------------------------------------------------------------------


def test_what_was_not_synced_may_be_lost_and_what_was_may_not(tmp_path: Path) -> None:
    with recorded(tmp_path / "root") as events:
        write(tmp_path / "root" / "synced", b"abc", sync=True)
        write(tmp_path / "root" / "not", b"abc")
        sync_directory(tmp_path / "root")
        write(tmp_path / "root" / "nameless", b"abc", sync=True)
    disk = disk_of(events)
    assert {path: file.data for path, file in disk.build({}).files.items()} == dict.fromkeys(
        ("synced", "not", "nameless"), b"abc"
    )
    assert {path: file.data for path, file in everything_lost(disk).files.items()} == {
        "synced": b"abc",
        "not": b"",
    }


def test_a_rename_that_was_not_synced_leaves_the_old_name_or_the_new_one(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with recorded(root) as events:
        write(root / "old", b"old", sync=True)
        write(root / "new", b"new", sync=True)
        sync_directory(root)
        os.replace(root / "new", root / "old")
    disk = disk_of(events)
    found = {
        tuple(sorted((p, f.data) for p, f in disk.build(s.choice).files.items())) for s in states(disk, 0, 0)
    }
    assert found == {(("new", b"new"), ("old", b"old")), (("old", b"new"),)}


@pytest.mark.parametrize(
    ("fate", "left"),
    [
        (Fate("lost"), b"AAAA"),
        (Fate("first", 3), b"AAbbb"),
        (Fate("last", 3), b"AAAA\0b"),
        (Fate("zeros"), b"AAAA\0\0"),
    ],
)
def test_a_write_over_the_end_of_a_file_may_be_left_in_part(fate: Fate, left: bytes, tmp_path: Path) -> None:
    root = tmp_path / "root"
    with recorded(root) as events:
        write(root / "x", b"AAAA", sync=True)
        sync_directory(root)
        fd = os.open(root / "x", os.O_RDWR)
        os.pwrite(fd, b"bbbb", 2)
        os.close(fd)
    disk = disk_of(events)
    assert disk.build({len(events): fate}).files["x"].data == left


def test_a_sync_of_data_may_leave_the_times_behind_and_a_whole_one_may_not(tmp_path: Path) -> None:
    for sync, survive in (("fdatasync", False), ("fsync", True)):
        root = tmp_path / sync
        root.mkdir()
        with recorded(root) as events:
            fd = os.open(root / "x", os.O_RDWR | os.O_CREAT)
            os.write(fd, b"x")
            os.utime(root / "x", ns=(5, 5))
            getattr(os, sync)(fd)
            os.close(fd)
            sync_directory(root)
        disk = disk_of(events)
        left = {disk.build(state.choice).files["x"].mtime for state in states(disk, 0, 0)}
        assert left == {5} if survive else len(left) > 1


def test_each_length_of_a_write_that_was_cut_off_is_built_and_none_stays_behind(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with recorded(root) as events:
        write(root / "x", b"0123456789")
    disk = disk_of(events[:-1])
    lengths = [len(half.data) for half in cut_off(events[-1], random.Random(1))]
    found = [with_half(disk, half).files["x"].data for half in cut_off(events[-1], random.Random(1))]
    assert found == [b"0123456789"[:length] for length in lengths] and len(set(lengths)) > 2
    disk.apply(events[-1])
    assert disk.build({}).files["x"].data == b"0123456789"


# --- what it finds ----------------------------------------------------------------------


def found_in(name: str, directory: Path, most: int = 4000) -> list[str]:
    recording = record(WORKLOADS[name], directory / "recording")
    prove(recording)
    explorer = Explorer(recording, Contents(directory / "contents"), directory / "explored", 1)
    for found in explorer.explore():
        if found is not None:
            return [found.what]
        if explorer.complete or explorer.tally.checked >= most:
            break
    return []


@pytest.mark.parametrize("name", ["tree over old", "stream, group commit"])
def test_every_crash_state_of_a_workload_is_recovered_as_promised(name: str, tmp_path: Path) -> None:
    assert not found_in(name, tmp_path, most=500)


LEFT_OUT = {
    "the journal's": ("tree", r"journal-\d+\.log$"),
    "the directory's, around the rename of a commit": ("tree", r"^$"),
    "the last one of the new file, with times and mode": ("tree over old", r"staging\.h5$"),
    "that of the names in a sidecar being made": ("tree", r"^\.run\.h5\.safeh5\.new-\w+$"),
    "that of a new segment": ("segments, flush", r"\d\.log\.new$"),
    "those of a redo slot": ("checkpoints far apart", r"staging\.redo-1$"),
}


@pytest.mark.parametrize("what", LEFT_OUT)
def test_a_sync_that_is_left_out_is_found(what: str, tmp_path: Path) -> None:
    name, path = LEFT_OUT[what]
    real = record(WORKLOADS[name], tmp_path / "recording")
    events = [e for e in real.events if not (e.kind is Kind.SYNC and re.search(path, e.path))]
    assert len(events) < len(real.events)
    less = replace(real, events=events)
    explorer = Explorer(less, Contents(tmp_path / "contents"), tmp_path / "explored", 1)
    for found in explorer.explore():
        if found is not None:
            break
        assert explorer.tally.checked < 2500, "it was not found"
    small = simplest(explorer, found, seconds=4.0)
    assert small.point <= found.point
    assert len(small.state.choice) <= max(1, len(found.state.choice))
    assert explorer.judge(small.tree, small.expected, small.way) == small.what
    assert any("<-" in line for line in story(less, small)) or small.state.family == "killed"


def test_a_failure_is_kept_with_its_disk_and_shown_again_until_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = "everything acknowledged is thrown away"
    real = check.check

    def blind(*arguments: Any) -> list[int]:
        raise check.StateError(what)

    with monkeypatch.context() as planted:
        planted.setattr(explore, "check", blind)
        settings = Settings(1, cases=200, corpus=tmp_path / "corpus", program="python -m fuzz")
        planted.setattr(mode, "WORKLOADS", {"tree": WORKLOADS["tree"]})
        report = registry.run("states", settings)
        # Every state fails, so the simplest that each can be made is the same one: kept once, and counted.
        (failure,) = report.failures
        assert report.figures[MORE] == 2
        assert what in failure.what
        assert failure.command.startswith("python -m fuzz replay ")
        with pytest.raises(check.StateError, match=what):
            registry.replay(failure.kept)
    assert explore.check is real
    registry.replay(failure.kept)


def test_a_workload_of_ours_that_fails_by_itself_is_a_failure_and_shown_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        WORKLOADS, "broken", replace(WORKLOADS["tree"], name="broken", command=("workload", "?"))
    )
    report = registry.run("states", Settings(1, cases=5, corpus=tmp_path / "corpus", only=("broken",)))
    [failure] = report.failures
    assert "which nothing was done to" in failure.what
    with pytest.raises(AssertionError, match="broken"):
        registry.replay(failure.kept)
    monkeypatch.setitem(WORKLOADS, "broken", WORKLOADS["tree"])
    registry.replay(failure.kept)


def test_a_workload_that_there_is_not_is_refused_with_the_names_of_those_that_there_are(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match=r"no workload 'nothing'.*tree over old"):
        registry.run("states", Settings(1, cases=5, corpus=tmp_path, only=("nothing",)))
    with pytest.raises(UsageError, match="cannot be chosen from"):
        registry.run("damage", Settings(1, cases=5, corpus=tmp_path, only=("nothing",)))


# --- scripts of users -------------------------------------------------------------------

SCRIPT = """
import numpy as np
import safeh5

with safeh5.open("scan.h5") as session:
    frames = session.stream("/scan/frames", shape=(4,), dtype="u2")
    for number in range(3):
        frames.append(np.full(4, number, "u2"))
{more}
"""


def run_script(tmp_path: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "my_acquisition.py").write_text(text)
    command = [sys.executable, "-m", "safeh5.testing", "states", "--workload", "my_acquisition.py"]
    return subprocess.run(
        [*command, "--seed", "1", *options], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )


def test_a_script_of_a_user_is_crash_tested_without_being_changed(tmp_path: Path) -> None:
    done = run_script(tmp_path, SCRIPT.format(more='open("notes.txt", "w").write("x")'), "--cases", "60")
    assert done.returncode == 0, done.stderr
    assert "my_acquisition.py wrote scan.h5" in done.stdout
    assert "notes.txt was written past safeh5" in done.stdout
    assert "no failures" in done.stdout
    assert not (tmp_path / "scan.h5").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("raise ValueError('no camera')", "no camera"),
        ("print('nothing to do')", "relative paths"),
        (
            SCRIPT.format(more="").replace('"scan.h5"', "__file__ + '.h5'"),
            "relative paths",
        ),
    ],
)
def test_a_script_that_cannot_be_crash_tested_is_told_why(tmp_path: Path, text: str, says: str) -> None:
    done = run_script(tmp_path, text, "--cases", "60")
    assert done.returncode == 2
    assert says in done.stderr
    assert "safeh5/testing" not in done.stderr, "a traceback of the harness"
