"""A disk that fails under a reader of `session.file`: an error, never zeros; and the session goes on."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import ApplyError, SafeH5Error
from safeh5.session import State
from safeh5.testing.faults import Fault, FaultyStorage
from safeh5.testing.world import batches, make_old, write_batch

Reading = Callable[[h5py.File], Any]
LARGE = np.arange(20_000, dtype="u4")
HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, SafeH5Error)

READINGS: dict[str, Reading] = {
    "contiguous": lambda f: f["large"][()].tobytes(),
    "chunked": lambda f: f["packed"][::7].tobytes(),
    "attributes": lambda f: sorted((k, str(v)) for k, v in f["large"].attrs.items()),
    "strings": lambda f: list(f["names"].asstr()[()]),
    "names": lambda f: sorted(f) + sorted(f["many"]),
    "walk": lambda f: _walked(f),
    "reference": lambda f: f[f["large"].attrs["ref"]].shape,
    "new": lambda f: f["b0/data"][()].tobytes(),
}


def _walked(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, obj: found.append(f"{name} {getattr(obj, 'shape', '')}"))
    return found


def make_target(path: Path) -> None:
    make_old(path)
    with h5py.File(path, "r+") as file:
        file["large"] = LARGE
        file.create_dataset("packed", data=LARGE, chunks=(5000,), compression="gzip")
        file["names"] = [f"name {n}" * 20 for n in range(100)]
        file["large"].attrs.update({f"a{n}": n for n in range(20)})
        file["large"].attrs["ref"] = file["packed"].ref
        for number in range(60):
            file.require_group("many").create_group(f"group {number}")


@pytest.mark.parametrize("times", [1, pytest.param(None, marks=pytest.mark.slow)], ids=["once", "for-ever"])
@pytest.mark.parametrize("changed", [False, True], ids=["unchanged", "changed"])
def test_a_read_that_the_disk_fails_is_an_error_and_never_zeros(
    tmp_path: Path, times: int | None, changed: bool
) -> None:
    template = tmp_path / "template.h5"
    make_target(template)
    right = _right(template, tmp_path / "right.h5", changed)
    struck = 0
    for name, reading in READINGS.items():
        if name == "new" and not changed:
            continue
        for nth in range(1, 1000, 1 if name in ("contiguous", "reference", "new") else 5):
            target = tmp_path / f"{name}-{nth}.h5"
            target.write_bytes(template.read_bytes())
            storage = FaultyStorage()
            session = safeh5.open(target, storage=storage)
            if changed:
                write_batch(session, 0)
            file = session.file
            storage.calls.clear()
            storage.replan(Fault("read_at", nth=nth, times=times, error=errno.EIO))
            failed = _read(file, reading, right[name])
            hit = len([c for c in storage.calls if c.effect == "read_at"]) >= nth
            assert failed or not hit, f"{name}: read {nth} failed and nobody was told"
            _goes_on(session, storage, failed, changed)
            target.unlink()
            struck += hit
            if not hit:
                break
    assert struck > 10


def _right(template: Path, target: Path, changed: bool) -> dict[str, Any]:
    target.write_bytes(template.read_bytes())
    session = safeh5.open(target)
    if changed:
        write_batch(session, 0)
    right = {name: reading(session.file) for name, reading in READINGS.items() if changed or name != "new"}
    session.rollback()
    return right


def _read(file: h5py.File, reading: Reading, right: Any) -> bool:
    """Whether it failed; what did not fail is right."""
    try:
        found = reading(file)
    except HDF5_ERRORS:
        return True
    assert found == right
    return False


def _goes_on(session: safeh5.Session, storage: FaultyStorage, failed: bool, changed: bool) -> None:
    if failed:
        with pytest.raises((ApplyError, OSError)):
            session.check()
    storage.replan()
    write_batch(session, 1)
    np.testing.assert_array_equal(session.file["large"][()], LARGE)
    session.commit()
    assert session.state is State.COMMITTED
    with h5py.File(session.target) as file:
        assert set(file) >= batches(*([0, 1] if changed else [1]), old=True)
        np.testing.assert_array_equal(file["packed"][()], LARGE)


def test_a_failing_read_in_the_middle_of_a_change_never_reaches_libhdf5(tmp_path: Path) -> None:
    template = tmp_path / "template.h5"
    make_target(template)
    refused = 0
    for nth in range(1, 200):
        target = tmp_path / f"{nth}.h5"
        target.write_bytes(template.read_bytes())
        storage = FaultyStorage(Fault("read_at", nth=nth, error=errno.EIO))
        session = safeh5.open(target, storage=storage)
        try:
            with session.batch():
                session.file["many"].name  # noqa: B018
                for number in range(3):
                    write_batch(session, number)
        except (SafeH5Error, OSError):
            refused += 1
            session._require_open()
            for number in range(3):
                write_batch(session, number)
        try:
            session.commit()
        except ApplyError:
            session.commit()
        with h5py.File(target) as file:
            assert set(file) >= batches(0, 1, 2, old=True)
            assert len(file["many"]) == 60
        target.unlink()
        if len([c for c in storage.calls if c.effect == "read_at"]) < nth:
            break
    assert refused > 5


def test_a_snapshot_of_the_process_beside_tells_of_a_disk_that_fails(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    make_target(target)
    storage = FaultyStorage()
    session = safeh5.open(target, storage=storage, applier="process")
    for number in range(2):
        file = session.file
        storage.replan(Fault("read_at", times=None, error=errno.EIO))
        with pytest.raises(HDF5_ERRORS):
            file["large"][()]
        storage.replan()
        np.testing.assert_array_equal(session.file["large"][()], LARGE)
        write_batch(session, number)
    session.commit()
    with h5py.File(target) as done:
        assert set(done) >= batches(0, 1, old=True)
