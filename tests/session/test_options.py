"""A wrong option is refused by name, before anything is made on the disk."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import InvalidOptionError, NotWritableError, TargetNotFoundError
from safeh5.storage import Storage


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
        {"lock_timeout": "1 s"},
        {"lock_timeout": None},
        {"lock_timeout": float("nan")},
        {"resume": "yes"},
        {"resume": 1},
        {"track_order": "yes"},
        {"userblock_size": "512"},
        {"userblock_size": 100},
        {"userblock_size": 256},
        {"userblock_size": 513},
        {"userblock_size": 512.0},
        {"storage": "disk"},
        {"storage": 3},
        {"creation": {}},
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


def test_a_path_no_file_can_have_is_refused_with_the_reason(tmp_path: Path) -> None:
    for use in (safeh5.open, safeh5.recover, safeh5.status, safeh5.live):
        with pytest.raises(InvalidOptionError, match="NUL"):
            use(tmp_path / "a\0b.h5")
        with pytest.raises(InvalidOptionError, match="303 bytes"):
            use(tmp_path / ("a" * 300 + ".h5"))
    for use in (safeh5.open, safeh5.recover):
        with pytest.raises(InvalidOptionError, match="at most"):
            use(tmp_path / ("a" * 250 + ".h5"))
    with pytest.raises(InvalidOptionError, match="lock_timeout"):
        safeh5.recover(tmp_path / "run.h5", lock_timeout="1 s")  # type: ignore[arg-type]


def test_a_user_block_of_a_size_that_hdf5_knows_is_taken(tmp_path: Path) -> None:
    for size in (0, 512, 4096, np.int64(1024)):
        with safeh5.open(tmp_path / f"{size}.h5", userblock_size=size) as session:
            session.stream("/frames", shape=(), dtype="f8").append(1.0)
        with h5py.File(tmp_path / f"{size}.h5") as file:
            assert file.userblock_size == size


@pytest.mark.parametrize(
    "storage", ["disk", 3, object(), Storage], ids=["a-name", "a number", "an object", "the class"]
)
def test_what_is_no_storage_is_refused_by_every_call_that_takes_one(tmp_path: Path, storage: Any) -> None:
    path = tmp_path / "run.h5"
    with h5py.File(path, "w"):
        pass
    changing = partial(safeh5.File, mode="a")
    for use in (safeh5.open, changing, safeh5.recover, safeh5.status, safeh5.status_tree, safeh5.live):
        with pytest.raises(InvalidOptionError, match="storage="):
            use(path, storage=storage)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["dry_run", "purge"])
@pytest.mark.parametrize("value", [1, 0, "yes", None, object()], ids=["1", "0", "text", "None", "an object"])
def test_recover_takes_a_truth_value_where_it_asks_for_one(tmp_path: Path, name: str, value: Any) -> None:
    # "no" taken for true would delete what was to be kept.
    session = safeh5.open(tmp_path / "run.h5")
    session.suspend()
    for action in ("replay", "rollback"):
        with pytest.raises(InvalidOptionError, match=name):
            safeh5.recover(tmp_path / "run.h5", action, **{name: value})
    assert safeh5.status(tmp_path / "run.h5").condition is safeh5.Condition.SUSPENDED


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that makes no files")
def test_where_no_file_can_be_made_is_not_said_to_be_locked() -> None:
    with pytest.raises(NotWritableError, match="cannot be made"):
        safeh5.open("/proc/x.h5")


def test_to_rewind_needs_a_stream_and_a_number_of_its_items(tmp_path: Path) -> None:
    with safeh5.open(tmp_path / "run.h5") as session:
        frames = session.stream("/frames", shape=(), dtype="f8")
        frames.extend([1.0, 2.0, 3.0])
        with pytest.raises(InvalidOptionError, match="it has 3 items"):
            session.rewind("frames")
        for length in ("1", 1.5, True, -1, 4):
            with pytest.raises(InvalidOptionError, match="cannot rewind"):
                session.rewind("frames", length)  # type: ignore[arg-type]
        with pytest.raises(InvalidOptionError, match="neither a stream"):
            session.rewind(5, 1)  # type: ignore[arg-type]
        assert frames.length == 3
        session.rewind(frames, np.int64(1))  # type: ignore[arg-type]
        assert frames.length == 1


def test_a_file_whose_session_has_not_committed_is_not_simply_missing_to_verify(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    session = safeh5.open(target)
    session.stream("/frames", shape=(), dtype="f8").append(1.0)
    session.suspend()
    with pytest.raises(TargetNotFoundError, match="has not committed") as caught:
        safeh5.verify(target)
    assert "safeh5 status" in str(caught.value) and "safeh5 recover" in str(caught.value)
    with pytest.raises(TargetNotFoundError, match="no file to verify"):
        safeh5.verify(tmp_path / "other.h5")
