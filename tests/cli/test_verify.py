"""``safeh5 verify``: words, JSON and exit codes; what it finds is tested with verify itself."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.cli.conftest import Run


@pytest.fixture
def good(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "good.h5", "w") as file:
        file.create_dataset("d", data=np.arange(100), chunks=(10,), fletcher32=True)
        file["nowhere"] = h5py.SoftLink("/x")
    return tmp_path / "good.h5"


@pytest.fixture
def bad(good: Path, tmp_path: Path) -> Path:
    with h5py.File(good) as file:
        offset = file["d"].id.get_chunk_info(3).byte_offset
    data = bytearray(good.read_bytes())
    data[offset] ^= 1
    (tmp_path / "bad.h5").write_bytes(data)
    return tmp_path / "bad.h5"


def test_a_good_file_is_good(run: Run, good: Path) -> None:
    ran = run("verify", good)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("good")
    assert "/nowhere" in ran.out


def test_damage_is_named_and_ends_as_damaged(run: Run, bad: Path) -> None:
    ran = run("verify", bad)
    assert ran.code == 6
    assert "NOT GOOD" in ran.out
    assert "[30:40]" in ran.out


def test_json_is_one_object_with_a_report_per_file(run: Run, good: Path, bad: Path, tmp_path: Path) -> None:
    ran = run("verify", good, bad, tmp_path / "none.h5", "--json")
    assert ran.code == 6
    assert [report["ok"] for report in ran.json["reports"]] == [True, False]
    assert [error["exit_code"] for error in ran.json["errors"]] == [3]


def test_the_structure_level_reads_no_elements(run: Run, bad: Path) -> None:
    assert run("verify", bad, "--level", "structure").code == 0


def test_what_cannot_be_read_is_a_failure_not_damage(run: Run, tmp_path: Path) -> None:
    assert run("verify", tmp_path).code == 1


def test_a_file_that_is_no_hdf5_is_damaged(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"what is this")
    assert run("verify", tmp_path / "a.h5").code == 6


def test_an_unknown_level_is_a_usage_error(run: Run, good: Path) -> None:
    assert run("verify", good, "--level", "all").code == 2
