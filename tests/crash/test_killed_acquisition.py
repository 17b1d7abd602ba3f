"""An acquisition goes on, whoever of it is killed, and ends in the file that it would have made."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import h5py
import pytest

from safeh5.testing.modes.acquisition import Counts, acquire, check

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the applier in /proc")


@pytest.fixture(scope="module")
def acquired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an acquisition that was killed once."""
    once = iter([False])
    place = tmp_path_factory.mktemp("acquired")
    acquire(place, seed=1, over=lambda counts: next(once, True))
    return place / "run.h5"


@pytest.mark.timeout(300)
def test_acquirer_and_applier_killed_at_random_end_in_the_file_of_the_oracle(tmp_path: Path) -> None:
    end = time.monotonic() + 60

    def over(counts: Counts) -> bool:
        enough = counts["acquirer killed"] >= 8 and counts["applier killed"] >= 8
        return enough or time.monotonic() > end

    counts = acquire(tmp_path, seed=20261122, over=over)
    assert counts["acquirer killed"] and counts["applier killed"] and counts["items"]


@pytest.mark.parametrize("spoil", ["a frame", "a row", "a tree", "the end"])
def test_a_file_that_is_not_the_oracles_is_found_out(tmp_path: Path, acquired: Path, spoil: str) -> None:
    target = Path(shutil.copy(acquired, tmp_path))
    with h5py.File(target, "r+") as file:
        count = len(file["camera/frames"])
        if spoil == "the end":
            file["encoder/rows"].resize(count + 1, axis=0)
        elif spoil == "a tree":
            file["step_00000000"].attrs["number"] = 5
        else:
            stream = file["camera/frames" if spoil == "a frame" else "encoder/rows"]
            stream[count - 1] = 0 * stream[count - 1]
    with pytest.raises(AssertionError):
        check(target, count)


def test_items_that_were_acknowledged_and_are_gone_are_found_out(acquired: Path) -> None:
    with pytest.raises(AssertionError, match="of 1000000"):
        check(acquired, 1_000_000)
