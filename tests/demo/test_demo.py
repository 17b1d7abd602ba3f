"""The demonstration keeps what it promises, with every kind of source."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.cli import demo as command
from safeh5.demo import SimulatedMicroscope, acquire, check_target, compare, open_source, prepare
from safeh5.errors import InvalidOptionError, NotHDF5Error, TargetNotFoundError
from tests.cli.conftest import Run, run

__all__ = ["run"]


def test_the_demo_runs_to_its_end_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    ran = run("demo", "--frames", 12, "--dir", tmp_path)
    assert ran.code == 0, ran.out + ran.err
    assert "Nothing was lost." in ran.out
    assert "SIGKILL" in ran.out
    assert list(tmp_path.iterdir()) == []


def test_with_keep_the_result_stays(run: Run, tmp_path: Path) -> None:
    ran = run("demo", "--frames", 2, "--dir", tmp_path, "--keep")
    assert ran.code == 0, ran.out + ran.err
    (place,) = tmp_path.iterdir()
    assert str(place) in ran.out
    with h5py.File(place / "run.h5") as file:
        assert file["Measurement/Raw_Data"].shape == (2, 256, 256)


def test_the_demo_takes_pixels_of_a_file(run: Run, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "map.h5", "w") as file:
        file["curves"] = np.random.default_rng(1).normal(size=(5, 6, 7))
    ran = run("demo", "--source", tmp_path / "map.h5", "--dir", tmp_path)
    assert ran.code == 0, ran.out + ran.err
    assert "30 frames" in ran.out
    assert "pixels" in ran.out


def test_a_broken_promise_is_an_exit_code(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(SimulatedMicroscope):
        def frame(self, index: int) -> np.ndarray:
            return super().frame(index + 1)

    monkeypatch.setattr(command, "open_source", lambda path, count: Other(6))
    ran = run("demo", "--frames", 6, "--dir", tmp_path)
    assert ran.code == 6
    assert "lost or wrong" in ran.out


def test_a_killed_acquisition_leaves_the_target_and_its_acknowledged_frames(tmp_path: Path) -> None:
    scene, source = prepare(tmp_path), SimulatedMicroscope(20)
    seen = acquire(scene, source, options=("--frames", "20"), kill_after=8)
    assert seen.killed
    assert seen.acknowledged >= 8
    assert check_target(scene).same_bytes
    assert safeh5.status(scene.target).condition == "interrupted"
    safeh5.recover(scene.target)
    found = compare(scene, source)
    assert found.ok
    assert found.frames >= seen.next_frame


def test_the_largest_numeric_dataset_is_the_source(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["line"] = np.zeros(10**6)
        file["words"] = [["a", "b"]]
        file["small"] = np.zeros((3, 3))
        file["group/large"] = np.arange(3000.0).reshape(300, 10)
    source = open_source(tmp_path / "a.h5", None)
    assert (source.count, source.shape) == (300, (10,))
    assert "/group/large" in source.name
    assert source.frame(7).tolist() == list(np.arange(70.0, 80.0))
    assert open_source(tmp_path / "a.h5", 5).count == 5


def test_frame_numbers_mean_the_same_frames_every_time() -> None:
    first, second = SimulatedMicroscope(3), SimulatedMicroscope(3)
    assert all((first.frame(i) == second.frame(i)).all() for i in range(3))
    assert not (first.frame(0) == first.frame(1)).all()


def test_sources_that_do_not_fit_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(TargetNotFoundError):
        open_source(tmp_path / "none.h5", None)
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(NotHDF5Error):
        open_source(tmp_path / "text.h5", None)
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        file["line"] = np.zeros(10)
    with pytest.raises(InvalidOptionError, match="two axes"):
        open_source(tmp_path / "flat.h5", None)
