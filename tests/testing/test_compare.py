"""The oracle: every kind of difference is seen, and nothing else is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5o, h5s

from safeh5.testing.compare import assert_same, differences

Edit = Callable[[h5py.File], object]

RECORD = np.dtype({"names": ["a", "b"], "formats": ["i1", "f8"], "offsets": [0, 8], "itemsize": 24})
EXTENT = np.dtype([("low", "<f4"), ("high", ">f8"), ("tag", "S4"), ("raw", "V3"), ("on", "?")])
NESTED = np.dtype([("name", h5py.string_dtype()), ("where", h5py.ref_dtype), ("x", "f4", (2,))])


def build(path: Path) -> None:
    """A file with something of everything."""
    with h5py.File(path, "w", track_order=True) as file:
        group = file.create_group("group", track_order=True)
        data = group.create_dataset(
            "data",
            data=np.arange(600, dtype="<f4").reshape(20, 30),
            chunks=(5, 10),
            maxshape=(None, 30),
            compression="gzip",
            shuffle=True,
            fillvalue=3,
        )
        data[0, 0] = np.nan
        data.attrs["units"] = "V"
        data.attrs.create("labels", [b"x", b"y"], dtype="S3")
        data.attrs["where"] = data.regionref[2:4, 1]
        data.attrs["nothing"] = h5py.Empty("f8")
        data.attrs["list"] = [1, 2]
        group["plain"] = np.arange(4)
        group["other"] = np.arange(4)
        group["again"] = group["plain"]
        group["soft"] = h5py.SoftLink("/group/plain")
        group["external"] = h5py.ExternalLink("x.h5", "/y")
        file["committed"] = np.dtype([("a", "i4")])
        group.create_dataset("typed", shape=(2,), dtype=file["committed"])
        file["null"] = h5py.Empty("i2")
        file["scalar"] = np.int64(7)
        file.create_dataset("strings", data=["a", "bc", ""], dtype=h5py.string_dtype())
        ragged = file.create_dataset("ragged", (3,), dtype=h5py.vlen_dtype("i4"))
        ragged[0], ragged[2] = [1, 2], [3]
        file.create_dataset("references", data=[group["plain"].ref, h5py.Reference()], dtype=h5py.ref_dtype)
        file.create_dataset("regions", data=[data.regionref[0:2, 3]], dtype=h5py.regionref_dtype)
        file.create_dataset("padded", shape=(3,), dtype=RECORD)
        nested = file.create_dataset("nested", shape=(2,), dtype=NESTED)
        nested[0] = ("n", group.ref, [1, 2])
        file.create_dataset("sparse", shape=(10**6, 10**6), chunks=(100, 100), dtype="u1")[5, 5] = 1


def rewrite(file: h5py.File, path: str, **changes: object) -> None:
    """Make the dataset at `path` again with other properties."""
    old = file[path]
    options: dict[str, object] = {
        "data": old[()],
        "chunks": old.chunks,
        "maxshape": old.maxshape,
        "compression": old.compression,
        "compression_opts": old.compression_opts,
        "shuffle": old.shuffle,
        "fillvalue": old.fillvalue,
    } | changes
    attributes = {name: old.attrs[name] for name in old.attrs if name == "units"}
    del file[path]
    file.create_dataset(path, **options).attrs.update(attributes)


def poke(path: str, index: object, value: object) -> Edit:
    return lambda file: file[path].__setitem__(index, value)


def replace(path: str, value: object) -> Edit:
    def edit(file: h5py.File) -> None:
        del file[path]
        file[path] = value

    return edit


def attribute(path: str, name: str, value: object, **how: object) -> Edit:
    return lambda file: file[path].attrs.create(name, value, **how)


PLANTED: dict[str, tuple[Edit, str, str]] = {
    "element": (poke("group/data", (7, 8), 0.5), "/group/data", "element (7, 8)"),
    "resized": (lambda f: f["group/data"].resize((21, 30)), "/group/data", "shape"),
    "maxshape": (lambda f: rewrite(f, "group/data", maxshape=(40, 30)), "/group/data", "maxshape"),
    "chunks": (lambda f: rewrite(f, "group/data", chunks=(4, 10)), "/group/data", "chunks"),
    "filter options": (lambda f: rewrite(f, "group/data", compression_opts=5), "/group/data", "filters"),
    "filter": (lambda f: rewrite(f, "group/data", shuffle=False), "/group/data", "filters"),
    "fill value": (lambda f: rewrite(f, "group/data", fillvalue=4), "/group/data", "fill value"),
    "layout": (lambda f: rewrite(f, "group/other", chunks=(4,)), "/group/other", "layout"),
    "byte order": (lambda f: rewrite(f, "group/other", dtype=">i8"), "/group/other", "type"),
    "character set": (
        lambda f: rewrite(
            f, "strings", data=["a", "bc", ""], dtype=h5py.string_dtype("ascii"), fillvalue=None
        ),
        "/strings",
        "type",
    ),
    "kind": (lambda f: (f.__delitem__("scalar"), f.create_group("scalar")), "/scalar", "kind"),
    "missing object": (lambda f: f.__delitem__("scalar"), "/scalar", "link"),
    "extra object": (lambda f: f.create_group("z"), "/z", "link"),
    "scalar": (poke("scalar", (), 8), "/scalar", "element ()"),
    "null space": (replace("null", np.int16(0)), "/null", "space"),
    "vlen string": (poke("strings", 1, "bd"), "/strings", "element (1,)"),
    "vlen length": (poke("ragged", 0, [1]), "/ragged", "element (0,)"),
    "vlen value": (poke("ragged", 2, [4]), "/ragged", "element (2,)"),
    "soft link": (replace("group/soft", h5py.SoftLink("/elsewhere")), "/group/soft", "link"),
    "soft became hard": (lambda f: replace("group/soft", f["group/plain"])(f), "/group/soft", "link"),
    "external link": (replace("group/external", h5py.ExternalLink("x.h5", "/z")), "/group/external", "link"),
    "hard link split": (replace("group/again", np.arange(4)), "/group/plain", "hard link"),
    "hard links joined": (lambda f: replace("group/other", f["group/plain"])(f), "/group/other", "hard link"),
    "committed type": (replace("committed", np.dtype([("a", "i2")])), "/committed", "type"),
    "committed type not shared": (
        lambda f: rewrite(f, "group/typed", dtype=[("a", "i4")], fillvalue=None),
        "/group/typed",
        "committed type",
    ),
    "reference": (lambda f: poke("references", 0, f["group/other"].ref)(f), "/references", "element (0,)"),
    "reference not null": (lambda f: poke("references", 1, f["group"].ref)(f), "/references", "element (1,)"),
    "reference made null": (poke("references", 0, h5py.Reference()), "/references", "element (0,)"),
    "region": (
        lambda f: poke("regions", 0, f["group/data"].regionref[0:2, 4])(f),
        "/regions",
        "element (0,)",
    ),
    "reference in compound": (
        lambda f: poke("nested", 0, np.array(("n", f["group/data"].ref, [1, 2]), NESTED))(f),
        "/nested",
        "element (0,)",
    ),
    "compound member": (poke("padded", "b", 1.0), "/padded", "element (0,)"),
    "never written element": (poke("sparse", (10**6 - 1, 0), 1), "/sparse", f"element ({10**6 - 1}, 0)"),
    "attribute value": (attribute("group/data", "units", "A"), "/group/data", "value of attribute units"),
    "attribute type": (
        attribute("group/data", "labels", [b"x", b"y"], dtype="S4"),
        "/group/data",
        "type of attribute labels",
    ),
    "attribute shape": (attribute("group/data", "list", [[1, 2]]), "/group/data", "space of attribute list"),
    "attribute gone": (
        lambda f: f["group/data"].attrs.__delitem__("units"),
        "/group/data",
        "attribute units",
    ),
    "attribute added": (attribute("/", "new", 1), "/", "attribute new"),
    "attribute null": (attribute("group/data", "nothing", 0.0), "/group/data", "space of attribute nothing"),
    "attribute region": (
        lambda f: attribute("group/data", "where", f["group/data"].regionref[2:4, 2])(f),
        "/group/data",
        "value of attribute where",
    ),
    "comment": (lambda f: h5o.set_comment(f["scalar"].id, b"hm"), "/scalar", "comment"),
}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    build(tmp_path / "a.h5")
    build(tmp_path / "b.h5")
    return tmp_path / "a.h5", tmp_path / "b.h5"


def test_files_made_in_the_same_way_are_the_same(pair: tuple[Path, Path]) -> None:
    assert differences(*pair) == []
    assert_same(*pair)


def test_a_copy_is_the_same(pair: tuple[Path, Path]) -> None:
    shutil.copy(pair[0], pair[1])
    assert differences(*pair) == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_difference_is_found_and_named(name: str, pair: tuple[Path, Path]) -> None:
    edit, path, what = PLANTED[name]
    with h5py.File(pair[1], "r+") as file:
        edit(file)
    found = differences(*pair, limit=None)
    assert (path, what) in [(d.path, d.what) for d in found], [str(d) for d in found]
    with pytest.raises(AssertionError):
        assert_same(*pair)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_difference_is_found_from_the_other_side(name: str, pair: tuple[Path, Path]) -> None:
    with h5py.File(pair[1], "r+") as file:
        PLANTED[name][0](file)
    assert differences(pair[1], pair[0])


def test_the_same_bits_are_the_same_even_when_they_are_nan(pair: tuple[Path, Path]) -> None:
    with h5py.File(pair[0], "r") as file:
        assert np.isnan(file["group/data"][0, 0])
    assert differences(*pair) == []


def test_zeros_of_different_sign_differ(pair: tuple[Path, Path]) -> None:
    for path, value in zip(pair, (0.0, -0.0), strict=True):
        with h5py.File(path, "r+") as file:
            file["group/data"][3, 3] = value
    assert [d.what for d in differences(*pair)] == ["element (3, 3)"]


def test_padding_between_compound_members_does_not_count(pair: tuple[Path, Path]) -> None:
    with h5py.File(pair[1], "r+") as file:
        raw = np.frombuffer(bytes([0]) + b"\xff" * 7 + bytes(8) + b"\xff" * 8, "V24").copy()
        padded = file["padded"].id
        whole = np.repeat(raw, 3)
        padded.write(h5s.create_simple((3,)), padded.get_space(), whole, mtype=padded.get_type())
    assert differences(*pair) == []


def test_the_same_elements_selected_in_another_way_are_the_same_region(pair: tuple[Path, Path]) -> None:
    with h5py.File(pair[1], "r+") as file:
        mask = np.zeros((20, 30), bool)
        mask[0:2, 3] = True
        space = file["group/data"].id.get_space()
        space.select_hyperslab((0, 3), (1, 1))
        space.select_hyperslab((1, 3), (1, 1), op=h5s.SELECT_OR)
        reference = h5py.h5r.create(file["group/data"].id, b".", h5py.h5r.DATASET_REGION, space)
        file["regions"][0] = reference
    assert differences(*pair) == []


def test_the_order_of_links_and_attributes_counts_where_it_is_tracked(tmp_path: Path) -> None:
    for name, order in (("a.h5", "xy"), ("b.h5", "yx")):
        with h5py.File(tmp_path / name, "w", track_order=True) as file:
            for letter in order:
                file.create_group(letter)
                file.attrs[letter] = 1
    found = {d.what for d in differences(tmp_path / "a.h5", tmp_path / "b.h5")}
    assert found == {"order of links", "order of attributes"}


def test_tracking_of_order_counts(tmp_path: Path) -> None:
    for name, track in (("a.h5", True), ("b.h5", False)):
        with h5py.File(tmp_path / name, "w") as file:
            file.create_group("g", track_order=track)
            file.create_dataset("d", data=1, track_order=track)
    found = {(d.path, d.what) for d in differences(tmp_path / "a.h5", tmp_path / "b.h5")}
    assert found == {("/g", "link order"), ("/g", "attribute order"), ("/d", "attribute order")}


def test_the_library_version_that_wrote_a_type_does_not_count(tmp_path: Path) -> None:
    for name, libver in (("a.h5", "earliest"), ("b.h5", "latest")):
        with h5py.File(tmp_path / name, "w", libver=libver) as file:
            file.create_dataset("d", (2,), [("a", "i1"), ("s", h5py.string_dtype()), ("e", EXTENT)])
            file.create_dataset("n", (2,), h5py.enum_dtype({"on": 1, "off": 0}, "i1"))
    assert differences(tmp_path / "a.h5", tmp_path / "b.h5") == []


def test_a_cycle_of_hard_links_is_compared_once(pair: tuple[Path, Path]) -> None:
    for path in pair:
        with h5py.File(path, "r+") as file:
            file["group/up"] = file["/"]
    assert differences(*pair) == []


def test_what_is_ignored_is_not_reported(pair: tuple[Path, Path]) -> None:
    with h5py.File(pair[1], "r+") as file:
        file["group/data"].attrs["units"] = "A"
        file["z"] = 1
        rewrite(file, "group/other", chunks=(2,))
    assert (
        differences(
            *pair,
            ignore_attrs=["units"],
            ignore_paths=["/z"],
            ignore=["chunks", "layout", "order of links", "allocation time", "fill time"],
        )
        == []
    )


def test_groups_are_compared_with_references_below_them(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("one", "two"):
            group = file.create_group(name)
            group["data"] = np.arange(3)
            group.attrs["to"] = group["data"].ref
            group.attrs["out"] = file.ref
        assert differences(file["one"], file["two"]) == []
        file["two/data"][1] = 9
        assert [d.path for d in differences(file["one"], file["two"])] == ["/data"]


def test_a_dataset_larger_than_a_block_is_compared_to_its_end(tmp_path: Path) -> None:
    for name, last in (("a.h5", 0), ("b.h5", 1)):
        with h5py.File(tmp_path / name, "w") as file:
            data = file.create_dataset("d", (3, 7, 1 << 20), "u1", chunks=(1, 2, 1 << 18), compression="lzf")
            data[...] = 0
            data[2, 6, -1] = last
    found = differences(tmp_path / "a.h5", tmp_path / "b.h5")
    assert [d.what for d in found] == [f"element (2, 6, {(1 << 20) - 1})"]


def test_the_number_of_differences_is_bounded(pair: tuple[Path, Path]) -> None:
    with h5py.File(pair[1], "r+") as file:
        for i in range(10):
            file.create_group(f"extra{i}")
    assert len(differences(*pair, limit=3)) == 3


def test_raw_data_that_no_side_can_read_is_the_same(tmp_path: Path) -> None:
    for name in ("left", "right"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.create_dataset("x", (3,), "i4", external=[("missing.raw", 0, 12)])
    assert not differences(tmp_path / "left.h5", tmp_path / "right.h5")
