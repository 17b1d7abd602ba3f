"""After a crash a session says what it has of each stream, and what it has not."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import InvalidTreeError
from tests.support import sidecar


def append_rows(session: safeh5.Session, path: str, *rows: int) -> None:
    stream = session.stream(path, (4,), "i8")
    for row in rows:
        stream.append(np.full(4, row))


def last_segment(target: Path) -> Path:
    return max(sidecar(target).glob("journal-*"))


def cut(target: Path, size: int) -> None:
    """Take the last bytes of the journal away, and what proves that they were durable."""
    with last_segment(target).open("r+b") as file:
        file.truncate(last_segment(target).stat().st_size - size)


def test_a_session_that_begins_anew_has_nothing_to_report(tmp_path: Path) -> None:
    with safeh5.open(tmp_path / "run.h5", resume=True) as session:
        assert session.resume_report is None


def test_every_stream_is_listed_with_its_items_and_the_time_of_the_last(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    before = datetime.now(UTC) - timedelta(seconds=1)
    session = safeh5.open(target)
    append_rows(session, "/a", *range(5))
    session.stream("/group/b", (), "f4").extend(np.arange(7))
    session._abandon()

    report = safeh5.open(target, resume=True).resume_report
    assert report is not None and report.torn is None and report.unfinished is None
    assert {each.path: (each.kept, each.lost) for each in report.streams} == {
        "/a": (5, 0),
        "/group/b": (7, 0),
    }
    assert before < datetime.fromisoformat(report["group/b"].last or "") < datetime.now(UTC)
    with pytest.raises(KeyError):
        report["/nothing"]


def test_items_of_a_torn_end_are_counted_as_lost_and_are_not_there(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    session = safeh5.open(target, durability="flush")
    append_rows(session, "/a", 0, 1)
    session.sync()
    stream = session.stream("/a")
    stream.extend(np.arange(12).reshape(3, 4))
    session._flush_rows()  # out of memory, and not on the disk
    session._abandon()
    cut(target, 16)

    session = safeh5.open(target, resume=True)
    report = session.resume_report
    assert report is not None and report.torn is not None
    assert (report["/a"].kept, report["/a"].lost) == (2, 3)
    assert session.stream("/a").length == 2


def test_items_of_a_batch_without_its_end_are_counted_as_lost(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    script = """
        import os, signal, sys
        import safeh5
        session = safeh5.open(sys.argv[1])
        stream, other = session.stream("/a", (4,), "i8"), session.stream("/b", (), "i8")
        stream.append([1, 1, 1, 1])
        with session.batch():
            stream.append([2, 2, 2, 2])
            other.append(5)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(target)], check=False)
    assert done.returncode == -signal.SIGKILL

    report = safeh5.open(target, resume=True).resume_report
    assert report is not None and report.unfinished is not None and report.unfinished.records == 2
    assert (report["/a"].kept, report["/a"].lost) == (1, 1)
    assert (report["/b"].kept, report["/b"].lost, report["/b"].last) == (0, 1, None)


def test_cancelled_items_are_neither_kept_nor_lost(tmp_path: Path) -> None:
    session = safeh5.open(tmp_path / "run.h5")
    append_rows(session, "/a", 0, 1)
    with pytest.raises(ZeroDivisionError), session.batch():
        append_rows(session, "/a", 2)
        _ = 1 / 0
    append_rows(session, "/a", 3)
    session.rewind("/a", 1)
    session._abandon()
    report = safeh5.open(tmp_path / "run.h5", resume=True).resume_report
    assert report is not None and (report["/a"].kept, report["/a"].lost) == (1, 0)


@pytest.mark.parametrize("applier", ["inline", "process"])
def test_streams_whose_records_were_removed_are_still_listed(tmp_path: Path, applier: str) -> None:
    target = tmp_path / "run.h5"
    for _ in range(2):  # the second session knows of /a only from the first one's anchor
        session = safeh5.open(target, resume=True, journal_limit=4000, applier=applier)
        if session.resume_report is None:
            append_rows(session, "/a", *range(3))
        append_rows(session, "/b", *range(60))
        if applier == "process":
            session.checkpoint()
        session._abandon()
    numbers = [path.name for path in sidecar(target).glob("journal-*")]
    assert "journal-00000001.log" not in numbers
    session = safeh5.open(target, resume=True)
    report = session.resume_report
    assert report is not None and report["/a"].kept == 3 and report["/b"].kept == 120
    assert report["/a"].last is not None and report["/b"].last is not None
    assert report["/a"].last <= report["/b"].last
    session.commit()
    with h5py.File(target) as file:
        assert len(file["a"]) == 3 and len(file["b"]) == 120


def test_a_dataset_opened_twice_is_one_stream(tmp_path: Path) -> None:
    with safeh5.open(tmp_path / "run.h5") as session:
        first = session.stream("/a/s", (), "i8")
        second = session.stream("a//s")
        first.append(1)
        second.append(2)
        first.append(3)
        assert first is second
        with pytest.raises(InvalidTreeError):
            session.stream("/a/s", (2,))
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["a/s"][:].tolist() == [1, 2, 3]


def test_a_stream_of_a_cancelled_batch_is_made_anew_when_it_is_asked_for_again(tmp_path: Path) -> None:
    with safeh5.open(tmp_path / "run.h5") as session:
        with pytest.raises(KeyError), session.batch():
            session.stream("/s", (), "i8")
            raise KeyError
        session.stream("/s", (2,), "f4").append([1, 2])
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["s"].dtype == "f4" and file["s"].shape == (1, 2)


def test_a_dataset_written_anew_is_a_new_stream(tmp_path: Path) -> None:
    with safeh5.open(tmp_path / "run.h5") as session:
        session.stream("/s", (), "i8").extend([1, 2, 3])
        node = safeh5.MicroDataset("s", np.zeros(1, "i8"), chunking=(4,), resizable=True)
        session.write(node, overwrite=True)
        session.stream("/s").append(7)
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["s"][:].tolist() == [0, 7]


def test_rewinding_by_path_drops_items_also_of_a_stream_not_yet_opened(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    session = safeh5.open(target)
    append_rows(session, "/a", *range(6))
    session._abandon()
    with safeh5.open(target, resume=True) as session:
        session.rewind("/a", 4)
        append_rows(session, "/a", 40)
    with h5py.File(target) as file:
        assert file["a"][:, 0].tolist() == [0, 1, 2, 3, 40]
