"""Records wait in the caller to be applied: bounded, and applied as soon as the file is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import safeh5
from safeh5 import MicroDataset
from safeh5.errors import ApplyError
from safeh5.journal import WHOLE, frames, scan
from safeh5.operations import model
from safeh5.session import workspace_inline
from safeh5.storage import Storage
from tests.session.gathering import content, row


def test_what_waits_is_applied_when_the_file_is_needed_and_named_when_hdf5_refuses_it(target: Path) -> None:
    session = safeh5.open(target)
    stream = session.stream("/a", (8,), "i4")
    stream.append(row(0))
    stream.append(row(1))
    assert session.lag_bytes == 32
    assert session._look()["a"].shape == (2, 8) and session.lag_bytes == 0
    # Behind the back of the session: what was known to be sure is so no more.
    del session._look()["a"]
    session._workspace.inline._staging.applier.release()  # type: ignore[attr-defined]
    lsn = stream.append(row(2))
    with pytest.raises(ApplyError) as caught:
        session._workspace.checkpoint(session.sync())
    assert caught.value.lsn == lsn
    stream.append(row(3))
    # Made again from the journal, in which nothing is wrong.
    assert session.file["a"][..., 0].tolist() == [0, 1, 2, 3]
    session.commit()
    assert content(target, "/a") == [0, 1, 2, 3]


def test_an_append_to_what_is_no_longer_there_is_refused_before_it_is_acknowledged(target: Path) -> None:
    with safeh5.open(target) as session:
        stream = session.stream("/a", (8,), "i4")
        stream.append(row(0)), stream.append(row(1))
        session.record(model.Delete(path="/a"))
        for _ in range(2):
            with pytest.raises(ApplyError):
                stream.append(row(2))
        session.write(MicroDataset("b", np.arange(3)))


def test_what_waits_in_the_caller_is_bounded(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace_inline, "_WAITING_BYTES", 10 * 4096)
    most = 0
    with safeh5.open(target, durability="flush", checkpoint_bytes=1 << 40) as session:
        stream = session.stream("/a", (1024,), "f4")
        monkeypatch.setattr(stream, "_gathers", False)
        for n in range(100):
            stream.append(np.full(1024, n))
            most = max(most, session.lag_bytes)
        assert 0 < most <= 12 * 4096
    assert content(target, "/a") == list(range(100))


def test_one_record_is_one_frame_and_replays_to_the_same_file(target: Path) -> None:
    session = safeh5.open(target)
    stream = session.stream("/a", (8,), "i4")
    for n in range(6):
        stream.append(row(n))
    storage = Storage()
    found = [frame for frame in frames(storage, scan(storage, f"{target}.safeh5")) if frame.flags & WHOLE]
    assert len(found) == 5 and len({frame.batch for frame in found}) == 5
    session._abandon()
    safeh5.open(target, recover="replay").rollback()
    assert content(target, "/a") == list(range(6))


@pytest.mark.parametrize("durability", ["record", "flush"])
def test_a_file_that_was_handed_out_shows_everything_at_once(target: Path, durability: str) -> None:
    with safeh5.open(target, durability=durability, applier="inline") as session:
        stream = session.stream("/a", (8,), "i4")
        stream.append(row(0)), stream.append(row(1))
        file = session.file
        for number in range(2, 5):
            stream.append(row(number))
            assert file["a"][..., 0].tolist() == list(range(number + 1))
            session.write(MicroDataset(f"d{number}", np.arange(3), attrs={"a": number}))
            assert file[f"d{number}"].attrs["a"] == number
    assert content(target, "/a") == list(range(5))
