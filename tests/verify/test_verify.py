""" "Opens" is not "good": what verify finds, and what it leaves alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t, h5z

from safeh5.errors import InvalidOptionError, TargetNotFoundError
from safeh5.events import ProgressEvent
from safeh5.verify import ProblemKind, VerifyReport, elements, verify


def kinds(report: VerifyReport) -> list[tuple[str, ProblemKind]]:
    return [(problem.path, problem.what) for problem in report.problems]


def chunk_offset(path: Path, dataset: str, index: int = 0) -> int:
    with h5py.File(path, "r") as file:
        return int(file[dataset].id.get_chunk_info(index).byte_offset)


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A file with something of everything; all of it good."""
    path = tmp_path / "good.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("group")
        data = group.create_dataset(
            "data", data=np.arange(600.0).reshape(20, 30), chunks=(5, 10), compression="gzip", fletcher32=True
        )
        data.attrs["where"] = data.regionref[2:4, 1]
        data.attrs["to"] = group.ref
        data.attrs["none"] = h5py.Empty("f8")
        data.attrs["names"] = ["a", "b"]
        group["second name"] = data
        group["up"] = file["/"]
        group["soft"] = h5py.SoftLink("/group/data")
        file["type"] = np.dtype([("a", "i4")])
        file["type"].attrs["x"] = 1
        file["empty"] = h5py.Empty("i2")
        file["scalar"] = 7
        file.create_dataset("zero", shape=(0, 3), maxshape=(None, 3), dtype="i1")
        file.create_dataset("strings", data=["a", "bc"], dtype=h5py.string_dtype())
        file.create_dataset("references", data=[group.ref, h5py.Reference()], dtype=h5py.ref_dtype)
        nested = file.create_dataset("nested", (2,), [("r", h5py.ref_dtype), ("s", h5py.vlen_dtype("i4"))])
        nested[0] = (data.ref, np.arange(3, dtype="i4"))
        file.create_dataset("references in sequences", (2,), h5py.vlen_dtype(h5py.ref_dtype))
        file.create_dataset("sparse", (10**9, 10**9), "f8", chunks=(10, 10))[10**9 - 1, 3] = 1
        file.create_dataset("allocated late", (10**9, 10**9), "f8")
    return path


@pytest.mark.parametrize("isolated", [False, True])
def test_a_good_file_is_ok_and_counted(good: Path, isolated: bool) -> None:
    report = verify(good, isolated=isolated)
    assert report.ok, report.problems
    assert (report.problems, report.warnings, report.missing_filters) == ((), (), ())
    assert (report.objects, report.datasets, report.attributes) == (13, 10, 5)
    assert report.bytes >= 600 * 8


def test_the_file_is_not_changed(good: Path) -> None:
    before = good.read_bytes(), good.stat().st_mtime_ns
    good.chmod(0o444)
    verify(good)
    assert (good.read_bytes(), good.stat().st_mtime_ns) == before
    assert os.listdir(good.parent) == [good.name]


def test_the_report_is_json(good: Path) -> None:
    report = verify(good)
    assert json.loads(report.to_json()) == json.loads(json.dumps(report.to_dict()))
    assert report.to_dict()["level"] == "full"


def test_progress_reaches_its_total(good: Path) -> None:
    events: list[ProgressEvent] = []
    verify(good, progress=events.append)
    last = events[-1]
    assert last.task == "reading elements"
    assert last.unit == "bytes"
    assert last.total is not None
    assert 0 < last.done <= last.total


# --- data ---------------------------------------------------------------------------


@pytest.mark.parametrize("isolated", [False, True])
def test_a_flipped_byte_under_a_checksum_is_found_and_placed(good: Path, isolated: bool) -> None:
    flip(good, chunk_offset(good, "group/data", 4) + 3)
    report = verify(good, isolated=isolated)
    assert not report.ok
    assert kinds(report) == [("/group/data", ProblemKind.DATA)]
    assert "[5:10, 10:20]" in report.problems[0].detail
    with h5py.File(good, "r") as file:
        assert file["group/data"].shape == (20, 30), "it opens all the same"


def test_every_damaged_chunk_is_named_and_the_rest_is_read(good: Path) -> None:
    offsets = [chunk_offset(good, "group/data", i) for i in (0, 11)]
    for offset in offsets:
        flip(good, offset + 3)
    report = verify(good)
    assert [p.detail.split(" cannot")[0] for p in report.problems] == [
        "elements [0:5, 0:10]",
        "elements [15:20, 20:30]",
    ]


def test_structure_level_does_not_read_elements(good: Path) -> None:
    flip(good, chunk_offset(good, "group/data") + 3)
    report = verify(good, "structure")
    assert report.ok
    assert report.bytes == 0
    assert report.objects == 13


def test_a_dataset_with_endless_damage_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=np.arange(1000), chunks=(10,), fletcher32=True)
    for offset in [chunk_offset(path, "d", i) for i in range(100)]:
        flip(path, offset)
    report = verify(path)
    assert len(report.problems) == 21
    assert "rest was not read" in report.problems[-1].detail


def test_a_file_larger_than_a_block_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("d", (37, 41, 43), "u2", chunks=(4, 10, 43), fletcher32=True)
        data[...] = 1
        file.create_dataset("whole", data=np.zeros((37, 41, 43), "u2"))
    monkeypatch.setattr(elements.stored_boxes, "__defaults__", (1000,))
    assert verify(path).bytes == 2 * 37 * 41 * 43 * 2
    flip(path, chunk_offset(path, "d", 49))
    assert not verify(path).ok


# --- filters ------------------------------------------------------------------------


def write_with_filter(path: Path, flags: int) -> None:
    """A chunk stored as if filter 300 had been applied to it; nobody knows 300."""
    with h5py.File(path, "w") as file:
        plist = h5p.create(h5p.DATASET_CREATE)
        plist.set_chunk((4,))
        plist.set_filter(300, h5z.FLAG_OPTIONAL, (1, 2))
        space = h5s.create_simple((8,))
        dataset = h5d.create(file.id, b"d", h5t.NATIVE_INT32, space, plist)
        for start in (0, 4):
            dataset.write_direct_chunk((start,), b"\1" * 16, flags)
        file["good"] = 1


def test_a_missing_filter_is_named_once(tmp_path: Path) -> None:
    write_with_filter(tmp_path / "a.h5", 0)
    report = verify(tmp_path / "a.h5")
    assert kinds(report) == [("/d", ProblemKind.FILTER)]
    assert "300" in report.problems[0].detail
    assert [(m.id, m.datasets) for m in report.missing_filters] == [(300, ("/d",))]


def test_a_missing_filter_that_no_chunk_went_through_is_no_problem(tmp_path: Path) -> None:
    write_with_filter(tmp_path / "a.h5", 1)
    report = verify(tmp_path / "a.h5")
    assert report.ok
    assert [m.id for m in report.missing_filters] == [300]


@pytest.mark.parametrize("isolated", [False, True])
def test_filters_of_hdf5plugin_are_used_where_installed(tmp_path: Path, isolated: bool) -> None:
    hdf5plugin = pytest.importorskip("hdf5plugin")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("d", data=np.arange(1000), chunks=(100,), compression=hdf5plugin.Zstd())
    report = verify(tmp_path / "a.h5", isolated=isolated)
    assert report.ok
    assert report.bytes == 8000


# --- references and links -------------------------------------------------------------


def test_a_reference_to_a_deleted_object_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["victim"] = np.arange(3)
        file["object"] = file["victim"].ref
        file["region"] = file["victim"].regionref[1:2]
        file["group"] = file.create_group("other").ref
        file["other"].attrs["r"] = file["victim"].ref
        del file["victim"]
    report = verify(path)
    assert sorted(kinds(report)) == [(p, ProblemKind.REFERENCE) for p in ("/object", "/other", "/region")]


def test_a_reference_to_the_stale_header_of_a_deleted_object_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["victim"] = np.arange(3)
        file["object"] = file["victim"].ref
        file.flush()
        file.create_group("x")
        whole = path.read_bytes()
    with h5py.File(path, "r") as file:
        address = h5py.h5o.get_info(file["victim"].id).addr
    with h5py.File(path, "r+") as file:
        del file["victim"]
    data = bytearray(path.read_bytes())
    data[address : address + 256] = whole[address : address + 256]
    path.write_bytes(data)
    with h5py.File(path, "r") as file:
        assert file[file["object"][()]].shape == (3,), "the reference resolves"
    assert ("/object", ProblemKind.REFERENCE) in kinds(verify(path))


def test_links_to_nothing_are_warnings_only(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["soft"] = h5py.SoftLink("/nowhere")
        file["external"] = h5py.ExternalLink("missing.h5", "/x")
        file["circle"] = h5py.SoftLink("/circle")
    report = verify(tmp_path / "a.h5")
    assert report.ok
    assert sorted(w.path for w in report.warnings) == ["/circle", "/external", "/soft"]
    assert "missing.h5" in next(w.detail for w in report.warnings if w.path == "/external")


def test_a_virtual_dataset_without_its_sources_is_a_warning(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((2, 3), "i4")
    for i, name in enumerate(("here.h5", "gone.h5")):
        with h5py.File(tmp_path / name, "w") as file:
            file["d"] = np.arange(3, dtype="i4")
        layout[i] = h5py.VirtualSource(tmp_path / name, "d", (3,))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("v", layout)
    assert verify(tmp_path / "a.h5").warnings == ()
    (tmp_path / "gone.h5").unlink()
    report = verify(tmp_path / "a.h5")
    assert [(w.path, w.what) for w in report.warnings] == [("/v", ProblemKind.SOURCE)]


# --- files that do not open -----------------------------------------------------------


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def become_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere.h5")


CASES: list[tuple[Callable[[Path], object], str, str]] = [
    (truncate, "truncated", "open"),
    (lambda path: path.write_bytes(b""), "empty", "open"),
    (lambda path: path.write_bytes(b"no HDF5 at all" * 1000), "not an HDF5 file", "open"),
    (become_directory, "directory", "access"),
    (dangle, "symbolic link", "access"),
]
if hasattr(os, "mkfifo"):
    CASES.append((become_fifo, "regular", "access"))


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize(("spoil", "word", "kind"), CASES, ids=[case[1] for case in CASES])
def test_a_file_that_does_not_open_is_a_problem_in_words(
    good: Path, spoil: Callable[[Path], object], word: str, kind: str, isolated: bool
) -> None:
    spoil(good)
    report = verify(good, isolated=isolated)
    assert not report.ok
    assert kinds(report) == [("/", ProblemKind(kind))]
    assert word in report.problems[0].detail


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_a_problem(good: Path) -> None:
    good.chmod(0)
    report = verify(good)
    assert kinds(report) == [("/", ProblemKind.ACCESS)]


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(TargetNotFoundError, match=r"nothing\.h5"):
        verify(tmp_path / "nothing.h5")


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_file_whose_name_is_no_text_is_verified(good: Path) -> None:
    odd = os.fsdecode(os.fsencode(good.parent) + b"/odd-\xff.h5")
    good.rename(odd)
    for isolated in (False, True):
        report = verify(odd, isolated=isolated)
        assert report.ok, report.problems
        assert json.loads(report.to_json())["path"] == odd


def test_an_unknown_level_is_an_error(good: Path) -> None:
    with pytest.raises(InvalidOptionError, match="structure"):
        verify(good, "thorough")


def test_level_none_only_opens(good: Path) -> None:
    assert verify(good, "none").objects == 0
    truncate(good)
    assert not verify(good, "none").ok


# --- metadata -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_damaged_metadata_is_a_report_never_a_crash(good: Path, seed: int) -> None:
    data = bytearray(good.read_bytes())
    random = np.random.default_rng(seed)
    for offset in random.integers(48, len(data), 20):
        data[offset] ^= 1 << int(random.integers(8))
    good.write_bytes(data)
    report = verify(good, isolated=True, stall_seconds=20)
    assert report.ok == (not report.problems)


def test_a_zeroed_header_is_named(good: Path) -> None:
    with h5py.File(good, "r") as file:
        address = h5py.h5o.get_info(file["scalar"].id).addr
    data = bytearray(good.read_bytes())
    data[address : address + 16] = bytes(16)
    good.write_bytes(data)
    assert ("/scalar", ProblemKind.OBJECT) in kinds(verify(good))


def test_an_attribute_that_claims_more_than_the_file_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.attrs["x"] = np.array([111, 222, 333], "<i8")
    data = bytearray(path.read_bytes())
    value = data.index(np.array([111, 222, 333], "<i8").tobytes())
    three, many = (3).to_bytes(8, "little"), (1 << 37).to_bytes(8, "little")
    extent = data.index(three * 2, value - 32)  # dimension and largest dimension
    data[extent : extent + 16] = many * 2
    path.write_bytes(data)
    report = verify(path, isolated=True)
    assert kinds(report) == [("/", ProblemKind.ATTRIBUTE)]
