"""Objects that have moved are journaled where they are."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from tests.h5.files import content, run_script


def test_objects_below_a_group_that_moves_are_journaled_where_they_are(target: Path) -> None:
    done = run_script(
        f"""
        import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from tests.h5.test_moved_objects import moving
        file = safeh5.File(target, "w", durability="record")
        moving(file)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        target,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    safeh5.recover(target)
    with h5py.File(target) as file:
        assert file["a/q/x"][:].tolist() == [10, 20] and file["a/b/x"][:].tolist() == [2, 2]
        assert file["a/q/x"].attrs["mark"] == 6 and file["a/q/y"][()] == 3
        assert file["hard"] == file["a/q/x"] == file[file["reference"][()]]
        assert file[file["region"][()]] == file["hard"]


def moving(file: h5py.File) -> None:
    """Move groups above open objects, and go on with the objects."""
    inner = file.create_dataset("a/b/x", data=[1, 1])
    holder = file["a/b"]
    file.move("a", "c")
    file.create_dataset("a/b/x", data=[2, 2])  # another one, at the place of the first
    inner[0] = 10
    inner.attrs["mark"] = 1
    attribute = h5py.h5a.open(inner.id, b"mark")
    file.move("c/b", "a/q")
    attribute.write(np.array(5))
    for found in h5py.h5f.get_obj_ids(file.id, h5py.h5f.OBJ_ATTR):
        found.write(np.array(6))
    holder["y"] = 3
    file["reference"] = inner.ref
    file["region"] = inner.regionref[1:]
    file["hard"] = inner
    inner[1] = 20
    assert file.session.describe_reference(inner.ref).path in ("/a/q/x", "/hard")


def test_a_search_for_a_moved_object_is_made_once(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safeh5.h5 import native

    searches: list[Any] = []
    with safeh5.File(target, "w") as file:
        inner = file.create_dataset("a/b/x", data=[1, 1])
        file.move("a", "c")
        search = native.name_of_reference
        monkeypatch.setattr(native, "name_of_reference", lambda *args: searches.append(args) or search(*args))
        for i in range(10):
            inner[0] = i
    assert len(searches) == 1
    assert content(target) == {"c/b/x": [9, 1]}
