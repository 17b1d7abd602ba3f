"""Only the applier opens HDF5 files for writing (architecture rule ``one_door``).

Everything that can change an HDF5 file needs a handle that was opened for
writing, so the door is where such handles are made: `h5py.File` with a mode
other than ``"r"``, `h5py.h5f.open` without read-only flags, `h5py.h5f.create`
and the flags that ask for writing. A scratch file that lives in memory only
(driver ``core`` without backing store) is no door: nothing of it reaches a disk.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.sources import Source, allowed, argument, modules, within

DOOR = ("safeh5.applier",)
FILE = {"h5py.File", "h5py._hl.files.File"}
OPEN = {"h5py.h5f.open"}
ALWAYS_WRITING = {
    "h5py.h5f.create",
    "h5py.h5f.ACC_RDWR",
    "h5py.h5f.ACC_TRUNC",
    "h5py.h5f.ACC_EXCL",
    "h5py.h5f.ACC_SWMR_WRITE",
}
READ_ONLY_FLAGS = {"h5py.h5f.ACC_RDONLY", "h5py.h5f.ACC_SWMR_READ"}


def doors(source: Source) -> Iterator[str]:
    """Every place in `source` that makes, or may make, a handle for writing."""
    for name, call in source.calls():
        if name in FILE and not (_reads(call) or _in_memory(call)):
            yield f"line {call.lineno}: h5py.File without the literal mode 'r'"
        if name in OPEN and not _read_only(source, argument(call, 1, "flags")):
            yield f"line {call.lineno}: h5f.open without ACC_RDONLY (it opens for writing by default)"
        if name.endswith("partial") and any(source.resolve(given) in FILE | OPEN for given in call.args):
            yield f"line {call.lineno}: a partial of an opening function hides its mode"
    for name, line in source.mentions():
        if name in ALWAYS_WRITING:
            yield f"line {line}: {name}"


def _reads(call: ast.Call) -> bool:
    mode = argument(call, 1, "mode")
    unpacked = any(given.arg is None for given in call.keywords) or any(
        isinstance(given, ast.Starred) for given in call.args
    )
    if mode is None:
        return not unpacked  # h5py's default is "r"
    return isinstance(mode, ast.Constant) and mode.value == "r"


def _in_memory(call: ast.Call) -> bool:
    driver, backing = argument(call, 2, "driver"), argument(call, 99, "backing_store")
    return (
        isinstance(driver, ast.Constant)
        and driver.value == "core"
        and isinstance(backing, ast.Constant)
        and backing.value is False
    )


def _read_only(source: Source, flags: ast.expr | None) -> bool:
    if isinstance(flags, ast.BinOp) and isinstance(flags.op, ast.BitOr):
        return _read_only(source, flags.left) and _read_only(source, flags.right)
    return flags is not None and source.resolve(flags) in READ_ONLY_FLAGS


@pytest.mark.parametrize("source", modules(), ids=lambda source: source.name)
def test_only_the_applier_opens_hdf5_for_writing(source: Source) -> None:
    found = list(doors(source))
    if within(source.name, DOOR):
        return
    reason = allowed("one_door").get(source.name)
    if reason is None:
        assert not found, f"{source.name} opens HDF5 for writing; only {', '.join(DOOR)} may: {found}"
    else:
        assert found, f"{source.name} needs no exception any more ({reason}); take it off the list"


def test_every_exception_names_a_module_that_exists() -> None:
    assert set(allowed("one_door")) <= {source.name for source in modules()}


@pytest.mark.parametrize(
    "text",
    [
        "import h5py\nh5py.File(path, 'w')",
        "import h5py\nh5py.File(path, mode='a')",
        "import h5py\nh5py.File(path, 'r+')",
        "import h5py\nh5py.File(path, mode)",
        "import h5py\nh5py.File(path, **options)",
        "import h5py\nh5py.File(*arguments)",
        "import h5py as h\nh.File(path, 'x')",
        "from h5py import File\nFile(path, 'w')",
        "from h5py import File as Plain\nPlain(path, 'w')",
        "import h5py._hl.files\nh5py._hl.files.File(path, 'w')",
        "import h5py\nfrom functools import partial\npartial(h5py.File, mode='w')",
        "import h5py\nh5py.File(path, 'w', driver='core')",
        "import h5py\nh5py.File(path, 'w', driver='core', backing_store=True)",
        "from h5py import h5f\nh5f.open(path)",
        "from h5py import h5f\nh5f.open(path, h5f.ACC_RDWR)",
        "from h5py import h5f\nh5f.open(path, flags)",
        "from h5py import h5f\nh5f.open(path, h5f.ACC_RDONLY | flags)",
        "from h5py.h5f import open as o, ACC_RDWR\no(path, ACC_RDWR)",
        "import h5py\nh5py.h5f.create(path)",
        "import h5py\nmake = h5py.h5f.create",
        "from h5py.h5f import create",
    ],
)
def test_a_door_beside_the_applier_is_found(text: str) -> None:
    assert list(doors(Source.of(text)))


@pytest.mark.parametrize(
    "text",
    [
        "import h5py\nh5py.File(path)",
        "import h5py\nh5py.File(path, 'r')",
        "import h5py\nh5py.File(path, mode='r', rdcc_nbytes=0)",
        "import h5py\nh5py.File(path, mode='r', **options)",
        "import h5py\nh5py.File('scratch', 'w', driver='core', backing_store=False)",
        "from h5py import h5f\nh5f.open(path, h5f.ACC_RDONLY)",
        "from h5py import h5f\nh5f.open(path, flags=h5f.ACC_RDONLY | h5f.ACC_SWMR_READ)",
        "import h5py\ndef f(file: h5py.File) -> h5py.h5f.FileID: return file.id",
        "import safeh5\nsafeh5.File(path, 'w')",
    ],
)
def test_reading_is_no_door(text: str) -> None:
    assert not list(doors(Source.of(text)))
