"""libhdf5 writes through `StagingFile`, and nothing that goes wrong reaches it."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from safeh5.storage import StagingFile, Storage
from tests.storage.staged import MODES, fill, hdf5


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_what_is_written_through_it_is_what_hdf5_writes_by_itself(tmp_path: Path, libver: str) -> None:
    with StagingFile.create(Storage(), tmp_path / "ours") as staging:
        with hdf5(staging, "w", libver=libver) as file:
            fill(file)
        assert staging.error is None
        staging.sync()
    with h5py.File(tmp_path / "plain", "w", libver=libver) as file:
        fill(file)
    assert content(tmp_path / "ours") == content(tmp_path / "plain")


def content(path: Path) -> dict[str, object]:
    found: dict[str, object] = {}

    def note(name: str, node: h5py.Group | h5py.Dataset) -> None:
        data = (node.dtype, node.chunks, node[...].tolist()) if isinstance(node, h5py.Dataset) else None
        found[name] = data, dict(node.attrs)

    with h5py.File(path, "r") as file:
        file.visititems(note)
    return found


def test_an_existing_file_is_reopened_and_goes_on(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f", "w") as file:
        file["old"] = np.arange(100_000)
    with StagingFile.open(Storage(), tmp_path / "f") as staging:
        with hdf5(staging, "r+") as file:
            assert file["old"][99_999] == 99_999
            del file["old"]
            file["new"] = 1
        assert staging.error is None
        assert staging.size == (tmp_path / "f").stat().st_size
    with h5py.File(tmp_path / "f", "r") as file:
        assert list(file) == ["new"]


def test_create_refuses_what_is_there_and_open_what_is_not(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        StagingFile.open(Storage(), tmp_path / "f")
    (tmp_path / "f").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        StagingFile.create(Storage(), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"precious"


def test_h5py_shows_the_name_it_is_given(tmp_path: Path) -> None:
    shown = str(tmp_path / "Messung-Ü.h5")
    with StagingFile.create(Storage(), tmp_path / "staging.h5", shown) as staging:
        assert repr(staging) == shown
        assert staging.path == str(tmp_path / "staging.h5")
        with hdf5(staging, "w") as file:
            assert file.filename == shown


def test_h5py_takes_it_for_a_file_object(tmp_path: Path) -> None:
    with StagingFile.create(Storage(), tmp_path / "f") as staging, h5py.File(staging, "w") as file:
        assert file.driver == "fileobj"
        assert file.filename == str(tmp_path / "f")


def test_libhdf5_asks_for_the_position_only_at_the_end(tmp_path: Path) -> None:
    """`StagingFile.tell` relies on it: `BytesIO.seek` knows no end of file."""
    asked: list[tuple[int, ...]] = []

    class Watched(StagingFile):
        def __init__(self, file: object, shown: object = None) -> None:
            super().__init__(file, shown)  # type: ignore[arg-type]
            seek, tell = self.seek, self.tell
            self.seek = lambda *where: (asked.append(where), seek(*where))[1]  # type: ignore[func-returns-value]
            self.tell = lambda: (asked.append(()), tell())[1]  # type: ignore[func-returns-value]

    with Watched.create(Storage(), tmp_path / "f") as staging, hdf5(staging, "w") as file:
        fill(file)
    with Watched.open(Storage(), tmp_path / "f") as staging, hdf5(staging, "r+") as file:
        file["more"] = file["g1/c"][:]
    tells = [index for index, call in enumerate(asked) if call == ()]
    assert tells
    assert all(asked[index - 1] == (0, os.SEEK_END) for index in tells)
    assert all(asked[index + 1] == () for index, call in enumerate(asked) if call == (0, os.SEEK_END))


def test_reading_past_the_end_gives_zeros(tmp_path: Path) -> None:
    with StagingFile.create(Storage(), tmp_path / "f") as staging:
        staging.write(b"abc")
        staging.seek(1)
        buffer = bytearray(b"x" * 200_000)
        assert staging.readinto(buffer) == len(buffer)
        assert buffer == b"bc" + bytes(199_998)


_LEAVES_THE_DRIVER = h5py.version.hdf5_version_tuple < (1, 14, 4)
"""Whether HDF5 follows links by the system's own driver, and not by that of the file they are in."""


@pytest.mark.parametrize("userblock", [0, 1024])
@pytest.mark.parametrize("mode", MODES)
def test_an_external_link_does_not_open_the_staging_file_a_second_time(
    tmp_path: Path, mode: str, userblock: int
) -> None:
    """Without this, the second handle cut off what the first had written after its last flush."""
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.arange(5)
    if mode == "r+":
        h5py.File(tmp_path / "f", "w", userblock_size=userblock).close()
    with MODES[mode](Storage(), tmp_path / "f", tmp_path / "run.h5") as staging:
        file = hdf5(staging, mode, userblock_size=userblock if mode == "w" else None)
        file["link"] = h5py.ExternalLink("other.h5", "/x")
        file.flush()
        file["big"] = np.arange(200_000)
        if _LEAVES_THE_DRIVER:
            assert file["link"][3] == 3
        else:
            with pytest.raises((KeyError, OSError)):
                file["link"]
            assert staging.refused
        before = staging.refused
        file["more"] = np.arange(200_000)
        assert h5py.Dataset(h5py.h5o.open(file.id, b"link", _other_driver()))[3] == 3
        assert staging.refused == before
        file.close()
        assert staging.error is None
    with h5py.File(tmp_path / "f") as file:
        assert (file["big"][-1], file["more"][-1], file["link"][-1]) == (199_999, 199_999, 4)


def _other_driver() -> object:
    access = h5py.h5p.create(h5py.h5p.LINK_ACCESS)
    access.set_elink_fapl(h5py.h5p.create(h5py.h5p.FILE_ACCESS))
    return access


def test_a_virtual_dataset_read_through_it_is_an_error_not_fill_values(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.arange(1, 6)
    with StagingFile.create(Storage(), tmp_path / "f") as staging, hdf5(staging, "w") as file:
        layout = h5py.VirtualLayout((5,), "i8")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "x", (5,))
        file.create_virtual_dataset("v", layout)
        file.flush()
        if h5py.version.hdf5_version_tuple < (2, 0, 0):  # takes what it cannot open for missing
            assert file["v"][:].tolist() == [0, 0, 0, 0, 0]
        else:
            with pytest.raises(OSError, match="signature"):
                file["v"][:]
            assert staging.refused == 1
        assert staging.error is None
    with h5py.File(tmp_path / "f") as file:
        assert file["v"][:].tolist() == [1, 2, 3, 4, 5]


def test_eight_bytes_anywhere_in_the_file_are_read_as_they_are(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f", "w") as file:
        for number in range(600):
            file[f"x{number}"] = float(number + 1)
    for mode in ("r", "r+"):
        with StagingFile.open(Storage(), tmp_path / "f") as staging, hdf5(staging, mode) as file:
            file.id.get_filesize()
            assert [file[f"x{number}"][()] for number in range(600)] == [*range(1, 601)]
            assert staging.refused == 0
