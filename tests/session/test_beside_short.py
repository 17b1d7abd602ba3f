"""The applier in a process of its own: the short form of test_beside.py."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np

import safeh5
from safeh5 import MicroDataset


def test_what_an_applier_beside_the_session_applied_is_what_was_written(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    with safeh5.open(target, applier="process") as session:
        session.write(MicroDataset("before", np.arange(5)))
        frames = session.stream("/scan/frames", shape=(4, 4), dtype="u2")
        for number in range(50):
            with session.batch():
                frames.append(np.full((4, 4), number))
        assert frames.durable_length == 50
    with h5py.File(target) as file:
        np.testing.assert_array_equal(file["before"][()], np.arange(5))
        np.testing.assert_array_equal(file["scan/frames"][:, 0, 0], np.arange(50))
    assert os.listdir(tmp_path) == ["run.h5"]


def test_a_session_suspended_with_an_applier_beside_it_can_be_replayed_without(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    session = safeh5.open(target, applier="process")
    rows = session.stream("/rows", shape=(3,), dtype="f8")
    rows.extend(np.ones((7, 3)))
    session.suspend()
    report = safeh5.recover(target)
    assert report.before is safeh5.Condition.SUSPENDED
    with h5py.File(target) as file:
        np.testing.assert_array_equal(file["rows"][()], np.ones((7, 3)))
    assert os.listdir(tmp_path) == ["run.h5"]
