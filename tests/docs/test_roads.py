"""The page of roads has every call of h5py, and what it says about refusals is so."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import h5py._hl.dims
import pytest
from h5py import h5, h5a, h5d, h5ds, h5f, h5g, h5i, h5l, h5o, h5p, h5pl, h5r, h5s, h5t, h5z

import safeh5
from safeh5.errors import TargetIsOpenError, UnjournaledOperationError
from safeh5.h5 import patches
from tests.docs.pages import DOCS

MODULES = (h5, h5a, h5d, h5ds, h5f, h5g, h5i, h5l, h5o, h5p, h5pl, h5r, h5s, h5t, h5z)
CLASSES = (
    h5py.File,
    h5py.Group,
    h5py.Dataset,
    h5py.Datatype,
    h5py.HLObject,
    h5py.AttributeManager,
    h5py._hl.dims.DimensionManager,
    h5py._hl.dims.DimensionProxy,
    h5py.VirtualLayout,
)
SPECIAL = ("__init__", "__exit__", "__getitem__", "__setitem__", "__delitem__")
ROADS = {"journaled", "refused", "left to h5py", "not journaled", "reads", "memory"}

CHANGES = re.compile(
    r"create|write|set_|resize|extend|move|copy|delete|rename|link$|unlink|commit|attach|detach|label"
    r"|__setitem__|__delitem__|require|clear|pop|update|setdefault|modify|mount|make_|insert|start_|build_"
)
"""What the name of a call that changes something looks like."""


def calls() -> Iterator[str]:
    """Every public function, method and property of h5py that has to do with files."""
    for module in MODULES:
        short = module.__name__.rpartition(".")[2]
        for name, found in vars(module).items():
            if name.startswith("_") or getattr(found, "__module__", module.__name__) != module.__name__:
                continue
            if isinstance(found, type):
                yield from (f"{name}.{member}" for member in vars(found) if not member.startswith("_"))
            elif callable(found):
                yield f"{short}.{name}"
    for kind in CLASSES:
        for base in kind.__mro__[:-1]:
            if base.__module__ not in ("typing", "abc"):
                members = (m for m in vars(base) if not m.startswith("_") or m in SPECIAL)
                yield from (f"{kind.__name__}.{member}" for member in members)


def rows() -> Iterator[tuple[list[str], str]]:
    """The calls and the road of each row of the page."""
    text = (DOCS / "reference/h5py-roads.md").read_text(encoding="utf-8")
    for first, road in re.findall(r"^\| ([^|]*) \| ([^|]*) \|", text, re.M):
        if first not in ("call", "road", "case") and not first.startswith("---"):
            yield re.findall(r"`([^`]+)`", first), road


EXACT = {name: road for names, road in rows() for name in names if "*" not in name}
PATTERNS = [(name, road) for names, road in rows() for name in names if "*" in name]
OF_MEMORY = ("Prop*", "SpaceID.*", "Type*.*", "h5s.*", "h5t.*", "h5z.*", "h5pl.*", "h5p.*", "VirtualLayout.*")


def road_of(call: str) -> str | None:
    if call in EXACT:
        return EXACT[call]
    return next((road for pattern, road in PATTERNS if fnmatch.fnmatchcase(call, pattern)), None)


def test_every_call_of_h5py_has_a_road() -> None:
    assert not [call for call in sorted(set(calls())) if road_of(call) is None]


def test_no_call_that_may_change_a_file_is_hidden_in_a_pattern() -> None:
    hidden = [
        call
        for call in sorted(set(calls()))
        if CHANGES.search(call.partition(".")[2])
        and call not in EXACT
        and not any(fnmatch.fnmatchcase(call, pattern) for pattern in OF_MEMORY)
        and not re.search(r"\.(get_|is_|nlink)", call)
    ]
    assert not hidden, "say what becomes of each by its name"


@pytest.mark.skipif(h5py.version.version_tuple < (3, 16), reason="the page is about the newest h5py")
def test_the_page_names_no_call_that_does_not_exist() -> None:
    dotted = {name for name in EXACT if re.fullmatch(r"(h5\w*|[A-Z]\w+)\.\w+", name)}
    assert dotted <= set(calls())


def test_every_function_that_is_replaced_is_on_the_page() -> None:
    for patch in patches.PATCHES:
        short = patch.owner.__name__.rpartition(".")[2]
        assert road_of(f"{short}.{patch.name}") is not None


def test_the_roads_are_those_of_the_legend() -> None:
    assert {road for names, road in rows() if names} <= ROADS


REFUSED: dict[str, Any] = {
    "File.swmr_mode": lambda f, other: setattr(f, "swmr_mode", True),
    "FileID.start_swmr_write": lambda f, other: f.id.start_swmr_write(),
    "h5f.mount": lambda f, other: h5f.mount(f.id, b"g", h5py.File(other, "r").id),
    "h5f.unmount": lambda f, other: h5f.unmount(f.id, b"g"),
    "PropDAID.set_efile_prefix": lambda f, other: f.create_dataset(
        "e", (4,), "u1", external=[("raw", 0, 4)], efile_prefix=str(other.parent)
    ),
}


@pytest.mark.parametrize("call", [name for name, road in EXACT.items() if road == "refused"])
def test_what_the_page_calls_refused_is_refused(call: str, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    h5py.File(other, "w").close()
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        file.create_group("g")
        with pytest.raises(UnjournaledOperationError, match="not done"):
            REFUSED[call](file, other)


def test_plain_functions_do_not_open_beside_a_session(tmp_path: Path) -> None:
    target = str(tmp_path / "run.h5").encode()
    with safeh5.File(target, "w") as file:
        file["x"] = 1
        for attempt in (lambda: h5f.create(target), lambda: h5f.open(target)):
            with pytest.raises(TargetIsOpenError):
                attempt()
