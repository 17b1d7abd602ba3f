"""Objects are h5py's own, identifiers are journaled, other files are left alone."""

from __future__ import annotations

import copy
import gc
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5a, h5d, h5ds, h5f, h5g, h5i, h5o, h5r, h5t

from safeh5.h5 import is_journaled, journaled_file, patches
from safeh5.h5.ids import DatasetID, FileID, GroupID, Journaled
from tests.h5.tape import Tape


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[Tape]:
    made = Tape(tmp_path / "live.h5")
    yield made
    if not made.ended:
        made.close()


@pytest.fixture
def file(tape: Tape) -> h5py.File:
    made = journaled_file(tape)
    made.create_dataset("g/d", data=np.arange(5))
    made["t"] = np.dtype("f4")
    return made


def test_objects_are_exactly_those_of_h5py(file: h5py.File) -> None:
    assert type(file) is h5py.File
    assert type(file["g"]) is h5py.Group
    assert type(file["g/d"]) is h5py.Dataset
    assert type(file["t"]) is h5py.Datatype
    assert (type(file.id), type(file["g"].id), type(file["g/d"].id)) == (FileID, GroupID, DatasetID)


def test_every_identifier_h5py_makes_of_the_file_is_journaled(file: h5py.File) -> None:
    d, fid = file["g/d"], file.id
    file.attrs["a"] = 1
    d.make_scale("s")
    file.create_dataset("scaled", data=np.arange(5)).dims[0].attach_scale(d)
    scales: list[Any] = []
    h5ds.iterate(file["scaled"].id, 0, scales.append)
    made = [
        h5o.open(fid, b"g/d"), h5o.open(fid, b"t"), h5g.open(fid, b"g"), h5d.open(fid, b"g/d"),
        h5t.open(fid, b"t"), h5a.open(fid, b"a"), h5i.get_file_id(d.id), h5r.dereference(d.ref, fid),
        *h5f.get_obj_ids(fid), *scales, fid.reopen(), copy.copy(d.id), copy.copy(fid),
        h5g.create(fid, b"new"), h5g.create(fid, None),
        h5a.create(fid, b"b", h5t.NATIVE_INT8, d.id.get_space()), d.parent.id, d.file.id, h5py.File(d.id).id,
    ]  # fmt: skip
    assert [oid for oid in made if not isinstance(oid, Journaled)] == []


def test_identifiers_of_the_whole_process_are_journaled_where_the_file_is(
    file: h5py.File, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        groups = h5f.get_obj_ids(h5f.OBJ_ALL, h5f.OBJ_FILE)
        assert {isinstance(oid, Journaled) for oid in groups if oid == file.id} == {True}
        assert not any(isinstance(oid, Journaled) for oid in groups if oid == other.id)


def test_identifiers_compare_and_hash_as_ever(file: h5py.File, tape: Tape) -> None:
    plain = h5py.File(tape.file_id)
    assert file["g/d"] == file["g"]["d"] == plain["g/d"]
    assert hash(file["g"]) == hash(plain["g"])
    assert file["g"] != file["g/d"]


def test_a_handle_is_closed_when_its_last_identifier_goes(file: h5py.File, tape: Tape) -> None:
    def open_datasets() -> int:
        gc.collect()
        return int(h5f.get_obj_count(tape.file_id, h5f.OBJ_DATASET))

    tape.applier.release()
    before = open_datasets()
    first = file["g/d"]
    second = h5py.Dataset(copy.copy(first.id))
    assert open_datasets() > before
    del first
    assert second[0] == 0
    del second
    assert open_datasets() == before
    file["g/d"].id.close()
    assert open_datasets() == before


def test_the_file_is_shown_under_the_name_of_the_target(file: h5py.File) -> None:
    assert file.filename == Tape.target
    assert file["g/d"].file.filename == Tape.target
    assert h5f.get_name(file["g"].id) == file.id.name == Tape.target.encode()
    assert "run.h5" in repr(file)


def test_a_file_opened_by_h5py_is_not_touched(file: h5py.File, tape: Tape, tmp_path: Path) -> None:
    before = list(tape.records)
    path = tmp_path / "plain.h5"
    with h5py.File(path, "w") as plain:
        d = plain.create_dataset("g/d", data=np.arange(3))
        d.attrs["a"] = 1
        plain["x"] = d
        plain["t"] = np.dtype("f4")
        plain["soft"] = h5py.SoftLink("/x")
        plain.copy("g", "copied")
        plain.flush()
        assert plain.filename == str(path)
        assert not any(map(is_journaled, (plain, d, plain["t"], d.file, d.parent, plain["soft"])))
        assert type(d.id) is h5d.DatasetID
    assert not plain
    assert tape.records == before


def test_an_exception_leaves_a_plain_file_as_h5py_leaves_it(file: h5py.File, tmp_path: Path) -> None:
    with pytest.raises(KeyError), h5py.File(tmp_path / "plain.h5", "w") as plain:
        plain["x"] = 1
        raise KeyError
    with h5py.File(tmp_path / "plain.h5") as again:
        assert again["x"][()] == 1


def test_what_was_replaced_can_be_put_back() -> None:
    patches.install()
    replaced = h5o.open
    patches.uninstall()
    try:
        assert h5o.open is not replaced
        assert all(isinstance(patch.owner, types.ModuleType) for patch in patches.PATCHES)
        assert all(
            getattr(patch.owner, patch.name).__module__ != "safeh5.h5.patches" for patch in patches.PATCHES
        )
    finally:
        patches.install()
    assert h5o.open is not replaced and h5o.open.__name__ == "open"


def test_the_table_at_the_head_of_patches_names_everything_replaced() -> None:
    assert patches.__doc__ is not None
    table = patches.__doc__.split("The methods of identifiers")[0]
    rows = [line for line in table.splitlines() if "``" in line or line.startswith(" " * 20)]
    words = {word.strip("`,") for row in rows for word in row.split()}
    for patch in patches.PATCHES:
        assert patch.owner.__name__.rsplit(".", 1)[-1] in words and patch.name in words, patch.name
    for owner, name, *_ in patches.METHODS:
        assert owner.__name__ in words and name in words, name


def test_keyword_arguments_are_taken_as_h5py_takes_them(file: h5py.File) -> None:
    made = h5d.create(loc=file.id, name=b"kw", tid=h5t.NATIVE_INT8, space=file["g/d"].id.get_space())
    assert isinstance(made, DatasetID)
    h5o.link(obj=made, loc=file.id, name=b"kw2")
    assert isinstance(h5o.open(loc=file.id, name=b"kw2"), DatasetID)
