"""`safeh5.install`: whoever opens by path, by whatever name, gets a journaled file."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
from h5py import File as ImportedBefore

import safeh5
from safeh5.errors import InvalidOptionError, TargetIsOpenError


class DerivedBefore(h5py.File):
    pass


@pytest.fixture(autouse=True)
def plain_afterwards() -> Iterator[None]:
    yield
    safeh5.uninstall()


def is_journaled(kind: type[h5py.File], path: Path) -> bool:
    with kind(path, "w") as file:
        file["x"] = 1
        assert type(file) is kind
        return hasattr(file, "session")


@pytest.mark.parametrize("kind", [h5py.File, ImportedBefore, DerivedBefore, h5py._hl.files.File])
def test_every_name_of_the_class_is_journaled_and_plain_again_afterwards(
    kind: type[h5py.File], tmp_path: Path
) -> None:
    assert not is_journaled(kind, tmp_path / "run.h5")
    safeh5.install()
    assert is_journaled(kind, tmp_path / "run.h5")
    safeh5.uninstall()
    assert not is_journaled(kind, tmp_path / "run.h5")


def test_the_class_and_its_signature_stay(tmp_path: Path) -> None:
    before = h5py.File, inspect.signature(h5py.File)
    safeh5.install()
    assert (h5py.File, inspect.signature(h5py.File)) == before


def test_as_a_context_manager_it_puts_back_what_was_there(tmp_path: Path) -> None:
    with safeh5.install():
        with safeh5.install(durability="flush"):
            assert is_journaled(h5py.File, tmp_path / "a.h5")
        assert is_journaled(h5py.File, tmp_path / "b.h5")
    assert not is_journaled(h5py.File, tmp_path / "c.h5")


def test_options_hold_for_files_that_have_none_of_their_own(tmp_path: Path) -> None:
    with safeh5.install(on_error="rollback"):
        with pytest.raises(KeyError), h5py.File(tmp_path / "a.h5", "w") as file:
            file["x"] = 1
            raise KeyError
        assert os.listdir(tmp_path) == []
        with pytest.raises(KeyError), h5py.File(tmp_path / "a.h5", "w", on_error="commit") as file:
            file["x"] = 1
            raise KeyError
        assert os.listdir(tmp_path) == ["a.h5"]


def test_an_option_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="durability"):
        safeh5.install(durable=True)


def test_a_package_that_opens_the_name_of_an_open_file_joins_it(tmp_path: Path) -> None:
    safeh5.install()
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["x"] = 1
        with h5py.File(file.filename, "r") as again:
            assert again["x"][()] == 1
        with h5py.File(file.filename, "a") as again:
            again["y"] = 2
    with h5py.File(tmp_path / "run.h5") as file:
        assert set(file) == {"x", "y"} and file.mode == "r"


@pytest.mark.parametrize("mode", ["r+", "a", "w", "x"])
def test_plain_h5py_does_not_write_beside_a_session(mode: str, tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    with h5py.File(target, "w") as old:
        old["old"] = 1
    with safeh5.File(target, "a") as file:
        file["new"] = 2
        with pytest.raises(TargetIsOpenError, match="beside"):
            h5py.File(target, mode)
        with h5py.File(target, "r") as plain:
            assert set(plain) == {"old"}
    with h5py.File(target, mode if mode != "x" else "r") as plain:
        assert mode == "w" or set(plain) == {"old", "new"}


def test_files_opened_by_h5pys_low_level_functions_are_journaled(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    fcpl = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    fcpl.set_link_creation_order(h5py.h5p.CRT_ORDER_TRACKED | h5py.h5p.CRT_ORDER_INDEXED)
    fcpl.set_userblock(512)
    fapl = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    with safeh5.install():
        file = h5py.File(h5py.h5f.create(bytes(path), h5py.h5f.ACC_TRUNC, fcpl, fapl))
        file["z"], file["a"] = 1, 2
        assert file.session and not path.exists()
        file.close()
        with h5py.File(h5py.h5f.open(bytes(path), h5py.h5f.ACC_RDWR)) as file:
            assert file.session
            names: list[bytes] = []  # not by `list`, which goes by name in h5py 3.11
            file["/"].id.links.iterate(names.append, idx_type=h5py.h5.INDEX_CRT_ORDER)
            assert names == [b"z", b"a"] and file.userblock_size == 512
            assert h5py.h5f.open(bytes(path), h5py.h5f.ACC_RDWR).fileno == file.id.fileno  # it joins
            file["more"] = 3
        with h5py.File(h5py.h5f.open(bytes(path), h5py.h5f.ACC_RDONLY)) as file:
            assert not hasattr(file, "session")
    with h5py.File(path) as file:
        assert set(file) == {"a", "more", "z"}


def test_low_level_creation_refuses_what_hdf5_refuses(tmp_path: Path) -> None:
    with safeh5.install():
        with h5py.File(tmp_path / "run.h5", "w") as file:
            with pytest.raises(OSError):
                h5py.h5f.create(bytes(tmp_path / "run.h5"))
            file["x"] = 1
        with pytest.raises(FileExistsError):
            h5py.h5f.create(bytes(tmp_path / "run.h5"), h5py.h5f.ACC_EXCL)
        with pytest.raises(FileNotFoundError):
            h5py.h5f.open(bytes(tmp_path / "missing.h5"), h5py.h5f.ACC_RDWR)
    plain = h5py.h5f.create(bytes(tmp_path / "plain.h5"))
    assert type(plain) is h5py.h5f.FileID
