"""Many processes open, commit and crash on one target: one at a time, and nothing acknowledged is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fcntl")

from safeh5.testing.modes.locks import race
from tests.load import slowness


def test_of_many_processes_only_one_ever_holds_a_target_and_all_that_was_acknowledged_is_there(
    tmp_path: Path,
) -> None:
    assert race(tmp_path, processes=6, seconds=6 * min(3.0, slowness()), seed=0)["sessions"] > 20


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [10_000, 20_000, 30_000])
def test_of_very_many_processes_only_one_ever_holds_a_target(tmp_path: Path, seed: int) -> None:
    race(tmp_path, processes=24, seconds=90, seed=seed)
