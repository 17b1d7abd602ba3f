"""Names: what each stands for, how it is marked in the file, and what is left where a value is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from safeh5.h5 import journaled_file
from safeh5.testing.compare import differences
from tests.h5.tape import Tape, three_ways


def _of_two_alphabets(file: h5py.File) -> None:
    # Every road that makes a link, each above and below names that are not ASCII.
    file.create_group("a/é/b")
    file.create_group("é2/c/d")
    file["é3/x"] = 1
    file["y/é3"] = 1
    file.create_dataset("p/é/q", data=1)
    file["p/é/r"] = h5py.SoftLink("/x")
    file["é9"] = file["p"]
    file["é10/pp"] = file["p"]
    file["l/ü"] = np.dtype("i4")
    file["ext/é"] = h5py.ExternalLink("é", "é")
    file.copy("p", "é11/p")
    file.copy("p", file["ext"], "é12")
    file.move("y", "é13/y")
    inner = file["é10"]
    for name in ("plain", "ü", b"raw", "ü-raw".encode()):
        inner.create_group(name)
        inner[b"v-" + name if isinstance(name, bytes) else "v-" + name] = 1
        inner.create_dataset(b"d-" + name if isinstance(name, bytes) else "d-" + name, data=[1, 2])
    inner["soft"] = h5py.SoftLink("/é")
    inner["external"] = h5py.ExternalLink("é", "é")
    inner["type"] = np.dtype("i4")
    inner.move("plain", "/moved")
    inner.require_group("k2/é/m")
    inner.create_virtual_dataset("virtual", h5py.VirtualLayout((2,), "i4"))
    file.create_dataset("é10/kl/é/m/n", data=[1, 2, 3])


@pytest.mark.parametrize("options", [{}, {"libver": "latest"}, {"track_order": True}], ids=str)
def test_names_are_marked_as_ascii_or_utf8_as_by_h5py(options: dict[str, Any], tmp_path: Path) -> None:
    three_ways(_of_two_alphabets, tmp_path, **options)


def test_groups_on_the_way_to_a_value_keep_the_order_as_with_h5py(tmp_path: Path) -> None:
    def values(file: h5py.File) -> None:
        file["new/deep/value"] = 1
        file["new/deep/array"] = np.arange(10)
        file.create_dataset("other/value", data=1)

    three_ways(values, tmp_path, track_order=True)


def test_a_refused_value_leaves_neither_a_dataset_nor_the_groups_above_it(tmp_path: Path) -> None:
    def refused(file: h5py.File) -> None:
        group = file.create_group("there")
        for value in (None, "a\0b", ["a\0b"], object(), [[1], [2, 3]], np.array(["u"])):
            for name in ("h/g", "there/x", "there/deep/er", "é/x", b"raw/x", "flat", b"flat"):
                with pytest.raises((TypeError, ValueError)):
                    file[name] = value
        with pytest.raises(TypeError):
            group[None] = 1
        assert list(file) == ["there"]
        assert not list(group)
        file["h/g"] = "a"

    three_ways(refused, tmp_path)


NAMES: list[Any] = [
    "", b"", "/", ".", "//", "/.", "./.", "a//b", "a/", "/a2/", "./a4", "a5/.", "a6/..",
    "\0", "a7\0b", "a8/\0", None, 1, np.str_("np"), np.bytes_(b"np2"),
]  # fmt: skip
ROADS = {
    "number": lambda file, name: file.create_dataset(name, data=1),
    "values": lambda file, name: file.create_dataset(name, data=np.zeros((3, 3)), chunks=True),
    "extent": lambda file, name: file.create_dataset(name, (3,), "f8"),
    "text": lambda file, name: file.create_dataset(name, data="xyz"),
    "group": lambda file, name: file.create_group(name),
    "item": lambda file, name: file.__setitem__(name, 1),
    "required group": lambda file, name: file.require_group(name),
    "required": lambda file, name: file.require_dataset(name, (2,), "i4"),
    "soft": lambda file, name: file.__setitem__(name, h5py.SoftLink("/x")),
    "type": lambda file, name: file.__setitem__(name, np.dtype("i4")),
    "hard": lambda file, name: file.__setitem__(name, file),
    "removed": lambda file, name: file.__delitem__(name),
    "refused": lambda file, name: file.create_dataset(name, data=object()),
}


@pytest.mark.parametrize("start", ["/", "/sub"])
def test_every_name_means_what_it_means_to_h5py_or_is_refused_by_the_same_exception(
    start: str, tmp_path: Path
) -> None:
    def outcomes(file: h5py.File) -> list[Any]:
        group = file.require_group(start)
        return [(name, road, _outcome(ROADS[road], group, name)) for name in NAMES for road in ROADS]

    with h5py.File(tmp_path / "plain.h5", "w") as file:
        expected = outcomes(file)
    tape = Tape(tmp_path / "live.h5")
    with journaled_file(tape) as file:
        found = outcomes(file)
    tape.play(tmp_path / "played.h5")
    # Which of two errors is told first is open where a name has an end, but no last part.
    assert [x for x in found if x[0] != "a5/."] == [x for x in expected if x[0] != "a5/."]
    assert [x[2] is None for x in found] == [x[2] is None for x in expected]
    for made in ("live.h5", "played.h5"):
        assert not differences(tmp_path / "plain.h5", tmp_path / made)


def _outcome(road: Any, group: h5py.Group, name: Any) -> str | None:
    try:
        road(group, name)
    except (TypeError, ValueError, KeyError, OSError, RuntimeError) as error:
        return type(error).__name__
    return None


def test_a_group_without_a_name_is_linked_with_all_its_properties(tmp_path: Path) -> None:
    def nameless(file: h5py.File) -> None:
        plist = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
        plist.set_link_creation_order(h5py.h5p.CRT_ORDER_TRACKED)
        plist.set_attr_phase_change(12, 10)
        file["é/late"] = h5py.Group(h5py.h5g.create(file.id, None, gcpl=plist))

    three_ways(nameless, tmp_path, libver="latest")
