"""``safeh5 inspect`` shows what stands in a journal, sound or damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import safeh5
from safeh5.cli.journal_rows import find_journal, rows
from tests.cli.conftest import Run


def test_records_are_listed_with_lsn_operation_object_and_size(run: Run, interrupted: Path) -> None:
    ran = run("inspect", interrupted)
    assert ran.code == 0, ran.err
    line = next(line for line in ran.out.splitlines() if "write_data" in line and "/Scan_000/frames" in line)
    assert line.split()[0].isdigit()
    assert "1.2 KiB" in line
    assert "journal-00000001.log" in ran.out


def test_lsns_are_dense(run: Run, interrupted: Path) -> None:
    (report,) = run("inspect", interrupted, "--json", "--limit", 0).json["reports"]
    assert [row["lsn"] for row in report["listed"]] == list(range(1, report["last_lsn"] + 1))
    assert report["omitted"] == 0


def test_what_does_not_count_is_marked(run: Run, interrupted: Path) -> None:
    (report,) = run("inspect", interrupted, "--json", "--limit", 0).json["reports"]
    states = {row["path"]: row["state"] for row in report["listed"] if row["kind"] == "operation"}
    assert states["/cancelled"] == "aborted"
    assert states["/after"] == ""


@pytest.mark.parametrize("place", ["run.h5", "run.h5.safeh5", "run.h5.safeh5/journal-00000001.log"])
def test_target_sidecar_and_segment_are_understood(run: Run, interrupted: Path, place: str) -> None:
    ran = run("inspect", interrupted.parent / place)
    assert ran.code == 0
    assert "/Scan_000" in ran.out


def test_a_journal_that_was_moved_elsewhere_is_understood(
    run: Run, interrupted: Path, tmp_path: Path
) -> None:
    (tmp_path / "run.h5.safeh5").rename(tmp_path / "moved")
    assert "/Scan_000" in run("inspect", tmp_path / "moved").out
    assert "/Scan_000" in run("inspect", tmp_path / "moved" / "journal-00000001.log").out


def test_the_limit_shows_the_last_records_and_says_so(run: Run, interrupted: Path) -> None:
    (report,) = run("inspect", interrupted, "--json", "--limit", 2).json["reports"]
    assert [row["lsn"] for row in report["listed"]] == [report["last_lsn"] - 1, report["last_lsn"]]
    assert report["omitted"] == report["last_lsn"] - 2
    assert "--limit 0" in run("inspect", interrupted, "--limit", 2).out


def test_the_tree_holds_what_counts_and_nothing_else(run: Run, interrupted: Path) -> None:
    ran = run("inspect", interrupted, "--tree", "--limit", 1)
    assert "Scan_000" in ran.out
    assert "uint16 6 x 10 x 10" in ran.out
    assert "cancelled" not in ran.out
    (report,) = run("inspect", interrupted, "--tree", "--json").json["reports"]
    nodes = {node["path"]: node for node in report["tree"]}
    assert nodes["/Scan_000/frames"]["bytes"] == 1200
    assert "operator" in nodes["/Scan_000"]["attributes"]


def test_a_damaged_journal_is_listed_past_its_damage(run: Run, corrupt: Path) -> None:
    ran = run("inspect", corrupt, "--json", "--limit", 0)
    assert ran.code == 6
    (report,) = ran.json["reports"]
    assert len(report["damage"]) == 1
    (lost,) = [row for row in report["listed"] if row["kind"] == "lost"]
    assert lost["lsn"] == report["damage"][0]["lsn"]
    assert any(row.get("path") == "/after" for row in report["listed"])
    assert "lost" in run("inspect", corrupt).out


def test_a_live_session_can_be_looked_at(run: Run, tmp_path: Path) -> None:
    with safeh5.open(tmp_path / "live.h5") as session:
        session.write(safeh5.MicroDataset("x", [1, 2]))
        assert run("inspect", tmp_path / "live.h5").code == 0
        session.write(safeh5.MicroDataset("y", [1, 2]))


def test_what_a_live_session_writes_during_the_listing_is_not_called_damaged(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    with safeh5.open(target) as session:
        stream = session.stream("/frames", shape=(), dtype="f8")
        stream.append(1.0)
        last = find_journal(target).scan.last_lsn
        stream.append(2.0)
        grown = find_journal(target)
        # The scan ended before what was written while it walked.
        listed = list(rows(replace(grown, scan=replace(grown.scan, last_lsn=last))))
    assert [row.lsn for row in listed] == list(range(1, last + 1))
    assert {row.state for row in listed} == {""}


def test_no_journal_is_not_found(run: Run, tmp_path: Path) -> None:
    ran = run("inspect", tmp_path / "nothing.h5")
    assert ran.code == 3
    assert "no journal" in ran.err


def test_a_foreign_sidecar_is_a_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.h5.safeh5").mkdir()
    ran = run("inspect", tmp_path / "a.h5")
    assert ran.code == 1
    assert "Traceback" not in ran.err
