"""A view that has expired is an error, and never anything else."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import (
    LiveViewExpiredError,
)
from safeh5.storage.registration import Registration
from tests.support import batches, entries, held, held_in, make_old, write_batch

# --- a view that has expired -------------------------------------------------------------------------


ROADS: dict[str, Callable[[Any, Any], object]] = {
    "item": lambda f, g: f["g9"],
    "in": lambda f, g: "g9/d" in f,
    "get": lambda f, g: f.get("g9"),
    "getlink": lambda f, g: f.get("g9", getlink=True),
    "list": lambda f, g: list(g["many"]),
    "len": lambda f, g: len(g["many"]),
    "visit": lambda f, g: f.visit(lambda name: None),
    "attribute": lambda f, g: g.attrs["text"],
    "values": lambda f, g: g["d"][()],
    "slice": lambda f, g: g["d"][3:5],
    "points": lambda f, g: g["d"][[1, 5]],
    "read_direct": lambda f, g: g["d"].read_direct(np.empty(5000)),
    "chunks": lambda f, g: g["c"][()],
    "raw chunk": lambda f, g: g["c"].id.read_direct_chunk((0,)),
    "strings": lambda f, g: g["v"][()],
    "asstr": lambda f, g: g["v"].asstr()[()],
    "array": lambda f, g: np.asarray(g["d"]),
    "exists": lambda f, g: f.id.links.exists(b"g9"),
    "copy": lambda f, g: h5py.File("x", "w", driver="core", backing_store=False).copy(g, "y"),
}


@pytest.fixture
def many(target: Path) -> Path:
    with h5py.File(target, "w") as file:
        for number in range(10):
            group = file.create_group(f"g{number}")
            group.attrs["text"] = "text" * number
            group["d"] = np.arange(5000.0)
            group.create_dataset("c", data=np.arange(5000.0), chunks=(100,), compression="gzip")
            group["v"] = np.array(["x" * 50] * 100, h5py.string_dtype())
            for name in range(50):
                group.create_group(f"many/{name}")
    return target


@pytest.mark.parametrize("road", ROADS)
def test_what_has_expired_is_an_error_on_every_road_and_never_zeros(many: Path, road: str) -> None:
    with safeh5.open(many) as session:
        write_batch(session, 0)
        session.checkpoint()
        with safeh5.live(many, keep_bytes=1) as view:
            group = view["g3"]
            write_batch(session, 1)
            session.checkpoint()
            with pytest.raises(LiveViewExpiredError, match="refresh"):
                ROADS[road](view, group)
            assert view.wait(0) and view.refresh()
            ROADS[road](view, view["g3"])
            assert "b1" in view
        session.rollback()


def test_a_reader_that_may_not_write_in_the_sidecar_is_told_to_refresh(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "may not")

    with safeh5.open(target) as session:
        write_batch(session, 0)
        session.checkpoint()
        with monkeypatch.context() as patch:
            patch.setattr(Registration, "make", refuse)
            view = safeh5.live(target)
        assert held_in(view.file) == batches(0)
        write_batch(session, 1)
        assert held_in(view.file) == batches(0)
        session.checkpoint()
        with pytest.raises(LiveViewExpiredError):
            view["b0/data"]
            view["b0/data"][()]
        assert view.refresh() and held_in(view.file) == batches(0, 1)
        view.close()


@pytest.fixture
def shared() -> Iterator[Path]:
    """A target where every user may go; pytest's own directories are closed to others."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield Path(directory, "run.h5")


@pytest.mark.root
def test_another_user_may_look_if_he_may_look_into_the_directory(shared: Path) -> None:
    target = shared
    make_old(target)
    with safeh5.open(target) as session:
        write_batch(session, 0)
        session.checkpoint()
        os.chmod(target.parent / "run.h5.safeh5" / "staging.h5", 0o644)
        os.seteuid(65534)
        try:
            view = safeh5.live(target)
            assert held_in(view.file) == batches(0, old=True)
        finally:
            os.seteuid(0)
        write_batch(session, 1)
        session.checkpoint()
        os.seteuid(65534)
        try:
            with pytest.raises(LiveViewExpiredError):
                held_in(view.file)
            assert view.refresh() and held_in(view.file) == batches(0, 1, old=True)
        finally:
            os.seteuid(0)
        view.close()


@pytest.mark.root
def test_a_reader_of_another_user_does_not_get_in_the_way_of_the_writer(shared: Path) -> None:
    """The reader is root, the writer is not: the reader's file is the writer's."""
    target = shared
    os.chown(target.parent, 65534, 65534)
    os.seteuid(65534)
    try:
        session = safeh5.open(target)
        write_batch(session, 0)
        session.checkpoint()
        os.seteuid(0)
        view = safeh5.live(target)
        os.seteuid(65534)
        write_batch(session, 1)
        session.checkpoint()
        assert held_in(view.file) == batches(0)
        view.close()
        session.commit()
    finally:
        os.seteuid(0)
    assert entries(target) == []


def test_a_closed_view_leaves_no_file_and_no_descriptor(target: Path) -> None:
    with safeh5.open(target) as session:
        write_batch(session, 0)
        session.checkpoint()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            with safeh5.live(target) as view:
                held_in(view.file)
        session.checkpoint()
        assert len(os.listdir("/proc/self/fd")) <= before + 1
        assert not list(target.parent.glob("*/staging.reader-*"))


def test_an_object_kept_from_the_file_of_a_process_session_is_never_torn(target: Path) -> None:
    with safeh5.open(target, applier="process") as session:
        write_batch(session, 0)
        kept, below = session.file, session._workspace.beside._below  # type: ignore[attr-defined]
        assert below.registered
        assert held_in(kept) == batches(0)
        write_batch(session, 1)
        assert not kept  # closed, as it says
        assert held_in(session.file) == batches(0, 1)


# --- a disk without room ----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB: less than what is left to the writer in any case."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], capture_output=True)
    if done.returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.root
def test_on_a_disk_without_room_to_spare_views_expire_and_the_writer_goes_on(small_disk: Path) -> None:
    target = small_disk / "run.h5"
    with safeh5.open(target) as session:
        write_batch(session, 0)
        session.checkpoint()
        with safeh5.live(target) as view:
            filler = small_disk / "filler"
            write_batch(session, 1)
            session.checkpoint()
            with pytest.raises(LiveViewExpiredError):
                held_in(view.file)
            assert view.refresh() and held_in(view.file) == batches(0, 1)
            filler.write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096 - 3_000_000))
            write_batch(session, 2)
            session.checkpoint()
            assert view.refresh() and held_in(view.file) == batches(0, 1, 2)
            with safeh5.live(target) as second:
                assert held_in(second.file) == batches(0, 1, 2)
            filler.unlink()
    assert held(target) == batches(0, 1, 2)
