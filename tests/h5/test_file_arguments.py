"""The arguments of `h5py.File` mean for `safeh5.File` what they mean there, and wrong ones are refused."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import (
    InputError,
)
from safeh5.h5.arguments import OPTIONS
from tests.h5.files import only_the_target, run_script

PROPERTIES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "libver": {"libver": "latest"},
    "libver bounds": {"libver": ("v108", "v110")},
    "userblock": {"userblock_size": 1024},
    "order": {"track_order": True},
    "pages": {"fs_strategy": "page", "fs_page_size": 8192, "fs_persist": True, "fs_threshold": 4},
    "page buffer": {"fs_strategy": "page", "page_buf_size": 65536, "min_meta_keep": 20},
    "cache": {"rdcc_nslots": 1009, "rdcc_nbytes": 4096, "rdcc_w0": 0.5},
    "alignment": {"alignment_threshold": 1024, "alignment_interval": 4096},
    "meta blocks": {"meta_block_size": 4096},
    "locking": {"locking": "best-effort"},
    "core": {"driver": "core", "block_size": 1024},
    "stdio": {"driver": "stdio"},
    "sec2": {"driver": "sec2"},
}


def properties(file: h5py.File) -> dict[str, Any]:
    access, creation = file.id.get_access_plist(), file.id.get_create_plist()
    return {
        "mode": file.mode,
        "driver": file.driver,
        "swmr": file.swmr_mode,
        "libver": file.libver,
        "userblock": file.userblock_size,
        "meta": file.meta_block_size,
        "cache": access.get_cache(),
        "alignment": access.get_alignment(),
        "strategy": creation.get_file_space_strategy(),
        "page": creation.get_file_space_page_size(),
        "order": creation.get_link_creation_order(),
    }


@pytest.mark.parametrize("options", PROPERTIES.values(), ids=PROPERTIES.keys())
def test_the_arguments_of_h5py_mean_what_they_mean_there(options: dict[str, Any], target: Path) -> None:
    with h5py.File(target.with_name("plain.h5"), "w", **options) as plain:
        expected = properties(plain)
    with safeh5.File(target, "w", **options) as file:
        file["x"] = np.arange(1000)
        assert properties(file) == expected
    again = {key: options[key] for key in ("libver", "rdcc_nbytes") if key in options}
    with h5py.File(target.with_name("plain.h5"), "r+", **again) as plain:
        expected = properties(plain)
    with safeh5.File(target, "r+", **again) as file:
        assert {**properties(file), "driver": "sec2"} == expected


def test_a_large_attribute_under_latest_survives_a_checkpoint_and_a_kill(target: Path) -> None:
    run_script(
        """
        file = safeh5.File(target, "w", libver="latest")
        file.create_group("g").attrs["first"] = 1
        file.flush()
        file["g"].attrs["large"] = np.zeros(50_000)
        file.session.sync()
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        target,
    )
    safeh5.recover(target)
    with h5py.File(target) as file:
        assert file["g"].attrs["large"].shape == (50_000,)


WRONG: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "no such mode": (("q",), {}),
    "no such driver": (("w",), {"driver": "nothing"}),
    "no such libver": (("w",), {"libver": "v1"}),
    "no such argument": (("w",), {"nothing": 1}),
    "no such strategy": (("w",), {"fs_strategy": "nothing"}),
    "a strategy for a file that exists": (("r+",), {"fs_strategy": "page"}),
    "an odd userblock": (("w",), {"userblock_size": 1000}),
    "a userblock that is no number": (("w",), {"userblock_size": "a"}),
    "a userblock for r+": (("r+",), {"userblock_size": 512}),
    "another userblock": (("a",), {"userblock_size": 512}),
    "no such locking": (("w",), {"locking": "nothing"}),
    "x over a file": (("x",), {}),
    "w- over a file": (("w-",), {}),
}


@pytest.mark.parametrize(("args", "kwargs"), WRONG.values(), ids=WRONG.keys())
def test_what_h5py_refuses_is_refused_alike_and_leaves_nothing(
    args: tuple[Any, ...], kwargs: dict[str, Any], old: Path
) -> None:
    before = old.read_bytes()
    with pytest.raises(Exception) as expected:
        h5py.File(old, *args, **kwargs)
    old.write_bytes(before)
    with pytest.raises(type(expected.value)):
        safeh5.File(old, *args, **kwargs)
    assert only_the_target(old) and old.read_bytes() == before


@pytest.mark.parametrize("mode", ["r", "r+", "a", "w", "x"])
def test_a_directory_that_is_not_there_is_what_h5py_says_it_is(mode: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        safeh5.File(tmp_path / "none" / "run.h5", mode)
    assert error.value.errno == 2


@pytest.mark.parametrize("mode", ["r", "r+", "a", "w"])
def test_a_directory_at_the_path_is_what_h5py_says_it_is(mode: str, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as error:
        safeh5.File(tmp_path, mode)
    assert error.value.errno == 21


def test_what_is_no_hdf5_file_is_an_os_error_and_stays(target: Path) -> None:
    target.write_bytes(b"text, and no more")
    for mode in ("r", "r+", "a"):
        with pytest.raises(OSError):
            safeh5.File(target, mode)
    assert target.read_bytes() == b"text, and no more" and only_the_target(target)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("", {}, "the name of the file is empty"),
        (b"r\xff.h5", {}, "is not UTF-8"),
        ("x" * 250, {}, "needs 44 more"),
        ("run.h5", {"lock_timeout": "long"}, "not a number of seconds"),
        ("run.h5", {"durability": "always"}, "is not one of 'record'"),
    ],
)
def test_what_a_file_cannot_be_named_or_opened_with_is_an_input_error_that_says_so(
    name: Any, options: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        safeh5.File(name, "w", **options)
    assert not list(tmp_path.iterdir())


def test_a_driver_that_does_not_exist_is_not_warned_of_but_refused(
    target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match="Unknown driver"):
        safeh5.File(target, "w", driver="sec3")
    assert not caplog.records


BY_SESSIONS_ONLY = {"path", "mode", "applier", "backlog_bytes", "on_backlog", "creation"}
"""The applier is in the caller: h5py objects that are journaled need the file itself."""


def test_a_file_takes_every_option_of_a_session_but_those_of_the_applier() -> None:
    of_sessions, of_h5py = inspect.signature(safeh5.open).parameters, inspect.signature(h5py.File).parameters
    assert set(of_sessions) - set(of_h5py) - BY_SESSIONS_ONLY == set(OPTIONS)
    assert all(f"`{name}`" in (safeh5.File.__doc__ or "") for name in OPTIONS - {"storage"})
