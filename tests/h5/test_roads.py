"""Whatever is done through h5py gives, played from the journal alone, what plain h5py gives."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5l

from tests.h5 import roads_attributes, roads_datasets, roads_objects
from tests.h5.tape import Scenario, three_ways

ROADS = (*roads_objects.ROADS, *roads_datasets.ROADS, *roads_attributes.ROADS)


@pytest.mark.parametrize("scenario", ROADS, ids=lambda s: s.__name__)
def test_the_journal_alone_gives_what_h5py_gives(scenario: Scenario, tmp_path: Path) -> None:
    assert three_ways(scenario, tmp_path).records


@pytest.mark.parametrize("scenario", ROADS, ids=lambda s: s.__name__)
def test_so_it_does_in_the_newest_file_format(scenario: Scenario, tmp_path: Path) -> None:
    three_ways(scenario, tmp_path, libver="latest", track_order=True)


def test_an_attribute_is_one_record_however_h5py_goes_about_it(tmp_path: Path) -> None:
    def scenario(f: h5py.File) -> None:
        f.attrs["a"] = 1
        f.attrs["a"] = "two"
        f.attrs.create("b", np.arange(3), dtype="u1")

    assert three_ways(scenario, tmp_path).kinds == ["SetAttribute"] * 3


def test_a_box_is_journaled_as_a_box(tmp_path: Path) -> None:
    def scenario(f: h5py.File) -> None:
        d = f.create_dataset("d", (4, 6), "u1", chunks=(4, 6))
        d[1:3, 2:4] = 1
        d[::2] = np.ones((2, 6))
        d[[0, 3], 1] = 5

    selections = [op.selection for op in three_ways(scenario, tmp_path).operations[1:]]  # type: ignore[attr-defined]
    assert [type(selection).__name__ for selection in selections] == ["Box", "Space", "Space"]


def test_link_kinds_are_seen_through_the_journaled_links(tmp_path: Path) -> None:
    def scenario(f: h5py.File) -> None:
        f["x"] = h5py.SoftLink("/y")
        assert f.id.links.get_info(b"x").type == h5l.TYPE_SOFT
        assert f.id.links.get_val(b"x") == b"/y"
        assert f.id.links.exists(b"x")

    three_ways(scenario, tmp_path)
