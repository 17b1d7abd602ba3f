"""Reading through a journaled file: as fresh as h5py's, as careful below, and in about as many steps."""

from __future__ import annotations

import copy
import ctypes
import errno
import gc
import weakref
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t

import safeh5
from safeh5.h5 import native, virtual
from safeh5.storage import staging
from safeh5.storage.staging import StagingFile


def test_a_dataset_without_extent_has_no_shape_as_in_h5py(tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file, h5py.File(tmp_path / "plain.h5", "w") as plain:
        for each in (file, plain):
            made = each.create_dataset("e", data=h5py.Empty("f4"))
            assert made.shape is None and made.size is None and made.id.shape is None
            assert made[()] == h5py.Empty("f4") and "shape None" in repr(made)


@pytest.mark.parametrize("refused", ["del", "move"])
def test_objects_stay_usable_after_a_name_in_a_dataset_was_refused_and_a_flush(
    refused: str, tmp_path: Path
) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        data = file.create_dataset("d", data=np.arange(4))
        with pytest.raises((KeyError, ValueError)):
            file.move("d/x", "x") if refused == "move" else file.__delitem__("d/x")
        file.flush()
        data[0] = 7
        assert data[:].tolist() == [7, 1, 2, 3]


@pytest.mark.parametrize("durability", ["record", "interval", "flush"])
def test_a_dataset_that_was_read_shows_what_it_was_resized_to_since(durability: str, tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "run.h5", "w", durability=durability) as file:
        data = file.create_dataset("d", data=np.arange(4), maxshape=(None,), chunks=(4,))
        other = file["d"]
        for length in (6, 3, 9):
            assert np.array_equal(data[:], other[:])
            other.resize((length,))
            other[-1] = length
            assert data[:].shape == (length,) and data[length - 1] == length


def test_a_dataset_that_was_read_shows_the_frames_that_its_session_streamed_since(tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        frames = file.session.stream("/frames", shape=(2,), dtype="i4")
        frames.append(np.zeros(2, "i4"))
        data = file["frames"]
        for number in range(1, 5):
            assert len(data[:]) == number
            frames.append(np.full(2, number, "i4"))
            assert data[number].tolist() == [number, number]


def test_a_nameless_dataset_that_was_read_shows_what_it_was_resized_to_since(tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        data = file.create_dataset(None, data=np.arange(4), maxshape=(None,), chunks=(4,))
        other = h5py.Dataset(copy.copy(data.id))
        assert len(other[:]) == 4
        data.resize((7,))
        assert len(other[:]) == 7


def test_a_dataset_that_compiled_code_resizes_is_read_as_it_is(tmp_path: Path) -> None:
    hdf5 = ctypes.PyDLL(h5py.defs.__file__)
    if not hasattr(hdf5, "H5Dset_extent"):
        pytest.skip("libhdf5 cannot be called from here")
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        data = file.create_dataset("d", data=np.arange(4), maxshape=(None,), chunks=(4,))
        assert len(data[:]) == 4
        assert hdf5.H5Dset_extent(ctypes.c_int64(data.id.id), (ctypes.c_uint64 * 1)(8)) == 0
        assert len(data[:]) == 8


def test_a_dataset_that_was_read_is_closed_when_it_is_let_go(tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        file["d"] = np.arange(4)
        data = file["d"]
        data[0], data[1]
        seen = weakref.ref(data.id)
        gc.disable()
        try:
            del data
            assert seen() is None
        finally:
            gc.enable()


def test_a_file_in_which_no_source_was_looked_for_is_not_asked_for_virtual_datasets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StagingFile, "refused_anywhere", 0)
    asked: list[object] = []
    monkeypatch.setattr(virtual, "_sources_elsewhere", lambda dataset: bool(asked.append(dataset)))
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        file["d"] = np.arange(4)
        into = np.zeros(4, "i8")
        file["d"].read_direct(into)
        assert file["d"][2] == into[2] == 2
    assert not asked


def test_the_shape_of_a_virtual_dataset_asked_before_does_not_hide_its_sources(tmp_path: Path) -> None:
    for number in range(3):
        with h5py.File(tmp_path / f"part-{number}.h5", "w") as part:
            part["data"] = np.full(5, number)
    with h5py.File(tmp_path / "run.h5", "w") as file:
        layout = h5py.VirtualLayout((3, 5), "i8")
        for number in range(3):
            layout[number] = h5py.VirtualSource(f"part-{number}.h5", "data", (5,))
        file.create_virtual_dataset("v", layout, fillvalue=-1)
    with safeh5.File(tmp_path / "run.h5", "a") as file:
        data = file["v"]
        assert data.shape == (3, 5)
        assert data[:, 0].tolist() == [0, 1, 2] and data[1:, 0].tolist() == [1, 2]


def test_sources_by_number_of_a_file_that_exists_are_all_read(tmp_path: Path) -> None:
    for number in range(3):
        with h5py.File(tmp_path / f"part-{number}.h5", "w") as part:
            part["data"] = np.full(5, number)
    with h5py.File(tmp_path / "run.h5", "w") as file:
        shape, parts = (1, 5), h5s.create_simple((1, 5), (h5s.UNLIMITED, 5))
        parts.select_hyperslab((0, 0), (h5s.UNLIMITED, 1), (1, 1), shape)
        dcpl = h5p.create(h5p.DATASET_CREATE)
        dcpl.set_virtual(parts, b"part-%b.h5", b"data", h5s.create_simple((5,)))
        h5d.create(file.id, b"v", h5t.NATIVE_INT64, h5s.create_simple(shape, (h5s.UNLIMITED, 5)), dcpl)
    for shape_first in (False, True):
        with safeh5.File(tmp_path / "run.h5", "a") as file:
            assert not shape_first or file["v"].shape == (3, 5)
            assert file["v"][:, 0].tolist() == [0, 1, 2] and file["v"].shape == (3, 5)


def test_the_file_of_an_object_is_the_one_it_was_opened_through(tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        file.create_group("g")["d"] = 1
        data = file["g/d"]
        assert data.file == file and data.file.filename == file.filename and data.file.mode == "r+"
        again = safeh5.File(tmp_path / "run.h5", "r+")
        assert again["g/d"].file.id.number == again.id.number != file.id.number == data.file.id.number
        kept = again["g"]
        again.id.close()  # what was opened through it keeps that opening
        assert kept.file["g/d"][()] == 1
        kept.id.close()
        with pytest.raises(ValueError):
            _ = kept.file


def test_a_second_file_identifier_is_closed_by_itself(tmp_path: Path) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        file["d"] = np.arange(3)
        handle = native.get_file_id(file["d"].id)
        users = h5py.h5i.get_ref(handle)
        for _ in range(5):
            assert file["d"].file.mode == "r+"
        assert h5py.h5i.get_ref(handle) == users


def test_a_read_that_the_disk_fails_is_raised_and_so_is_the_next(tmp_path: Path) -> None:
    file = safeh5.File(tmp_path / "run.h5", "w")
    file["d"] = np.arange(1000)
    data = file["d"]
    file.flush()
    below = next(each for each in staging._open_files if repr(each) == file.filename)
    real = below._file._do_read

    def broken(view: memoryview, offset: int) -> int:
        raise OSError(errno.EIO, "the disk is broken")

    below._file._do_read = broken  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(OSError, match="broken"):
            data[5]
    below._file._do_read = real  # type: ignore[method-assign]
    with pytest.raises(OSError, match="broken"):
        data[5]  # it stays failed until it is made again
    again = safeh5.File(tmp_path / "run.h5", "r+")
    again["e"] = 1
    again.close()
    file.close()
    with h5py.File(tmp_path / "run.h5") as plain:
        assert plain["d"][5] == 5 and plain["e"][()] == 1
