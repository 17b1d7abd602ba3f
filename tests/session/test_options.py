"""A wrong option is refused by name, before anything is made on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import safeh5
from safeh5.errors import InvalidOptionError


@pytest.mark.parametrize(
    "option",
    [
        {"interval_ms": -5},
        {"interval_ms": "100"},
        {"journal_limit": 0},
        {"journal_limit": "1G"},
        {"segment_bytes": -1},
        {"checkpoint_bytes": -1},
        {"checkpoint_seconds": None},
        {"checkpoint_seconds": float("nan")},
        {"backlog_bytes": -1},
        {"refuse_below": -1},
        {"reserve": "1M"},
        {"warn_below": True},
        {"libver": "v9"},
        {"progress": 3},
        {"durability": "fast"},
        {"applier": "thread"},
        {"on_backlog": "wait"},
    ],
    ids=str,
)
def test_a_wrong_option_is_named_and_nothing_is_touched(tmp_path: Path, option: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError, match=next(iter(option))):
        safeh5.open(tmp_path / "run.h5", **option)
    assert not list(tmp_path.iterdir())


def test_a_path_of_bytes_is_the_path(tmp_path: Path) -> None:
    with safeh5.open(bytes(tmp_path / "run.h5")) as session:
        session.stream("/frames", shape=(), dtype="f8").append(1.0)
    assert (tmp_path / "run.h5").is_file()
