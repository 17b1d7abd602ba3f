"""The faulty disk of the other tests does what its plan says."""

from __future__ import annotations

import errno
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from safeh5.storage import Storage
from safeh5.testing.faults import EFFECTS, Call, Fault, FaultyStorage, Killed, disk_full, each_call

CANNOT_FAIL = {"exists", "disk_size", "shares_blocks"}


def _prepare(path: Path) -> None:
    (path / "file").write_bytes(b"content")
    (path / "spare").write_bytes(b"spare")
    (path / "tree").mkdir()


def _append(storage: Storage, path: Path) -> None:
    with storage.open_append(path / "file") as file:
        file.write([b"more"])
        file.amend(b"else", 7)
        file.truncate(3)
        file.sync()


def _write_at(storage: Storage, path: Path) -> None:
    with storage.open_random(path / "file") as file:
        file.write_at(b"more", 2)
        file.read_into(memoryview(bytearray(4)), 0)


USES: dict[str, Callable[[Storage, Path], object]] = {
    "create": lambda s, p: s.create(p / "new").close(),
    "create_random": lambda s, p: s.create_random(p / "new").close(),
    "open_append": _append,
    "append": _append,
    "amend": _append,
    "truncate": _append,
    "sync": _append,
    "open_random": _write_at,
    "open_readonly": lambda s, p: s.open_readonly(p / "file").close(),
    "create_private": lambda s, p: s.create_private(p / "new").close(),
    "write_at": _write_at,
    "read_at": _write_at,
    "map": lambda s, p: s.map(p / "file").release(),
    "load": lambda s, p: s.load(p / "file"),
    "read_bytes": lambda s, p: s.read_bytes(p / "file"),
    "allocate": lambda s, p: s.allocate(p / "new", 100),
    "give_back": lambda s, p: s.give_back(p / "file"),
    "copy_file": lambda s, p: s.copy_file(p / "file", p / "new"),
    "copy_metadata": lambda s, p: s.copy_metadata(p / "file", p / "spare"),
    "sync_path": lambda s, p: s.sync_path(p / "file"),
    "sync_directory": lambda s, p: s.sync_directory(p),
    "replace": lambda s, p: s.replace(p / "spare", p / "file"),
    "rename": lambda s, p: s.rename(p / "spare", p / "new"),
    "unlink": lambda s, p: s.unlink(p / "file"),
    "make_directory": lambda s, p: s.make_directory(p / "new"),
    "remove_tree": lambda s, p: s.remove_tree(p / "tree"),
    "stat": lambda s, p: s.stat(p / "file"),
    "list_directory": lambda s, p: s.list_directory(p),
    "free_space": lambda s, p: s.free_space(p),
    "probe": lambda s, p: s.map(p / "file").probe(),
}


def test_every_effect_of_storage_has_a_fault() -> None:
    methods = {
        name for name, _ in inspect.getmembers(Storage, inspect.isfunction) if not name.startswith("_")
    }
    composed = {"write_new"}
    assert methods - CANNOT_FAIL - composed <= set(EFFECTS)
    assert set(USES) == set(EFFECTS)


@pytest.mark.parametrize("effect", EFFECTS)
def test_every_effect_can_fail_and_then_does_nothing(tmp_path: Path, effect: str) -> None:
    _prepare(tmp_path)
    storage = FaultyStorage(Fault(effect, error=errno.EROFS))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OSError) as caught:
        USES[effect](storage, tmp_path)
    assert caught.value.errno == errno.EROFS
    assert storage.calls[-1].effect == effect
    assert sorted(tmp_path.iterdir()) == before
    USES[effect](storage, tmp_path)


@pytest.mark.parametrize("effect", EFFECTS)
def test_without_a_fault_nothing_is_different(tmp_path: Path, effect: str) -> None:
    for number, storage in enumerate([Storage(), FaultyStorage()]):
        (tmp_path / str(number)).mkdir()
        _prepare(tmp_path / str(number))
        USES[effect](storage, tmp_path / str(number))
    left, right = ({f.name: f.is_file() and f.read_bytes() for f in (tmp_path / n).iterdir()} for n in "01")
    assert left == right


def test_memory_can_be_short_too(tmp_path: Path) -> None:
    _prepare(tmp_path)
    with pytest.raises(MemoryError):
        FaultyStorage(Fault("map", memory=True)).map(tmp_path / "file")


def test_the_nth_call_on_a_matching_path_fails_as_often_as_asked(tmp_path: Path) -> None:
    storage = FaultyStorage(Fault("sync", nth=2, times=2, path="journal"))
    journal, other = storage.create(tmp_path / "journal"), storage.create(tmp_path / "other")
    fates = []
    for file in (other, journal, other, journal, journal, journal):
        try:
            file.sync()
            fates.append("ok")
        except OSError:
            fates.append("failed")
    assert fates == ["ok", "ok", "ok", "failed", "failed", "ok"]
    journal.close()
    other.close()


def test_a_full_disk_stays_full(tmp_path: Path) -> None:
    storage = FaultyStorage(disk_full("append", nth=2))
    with storage.create(tmp_path / "f") as file:
        file.write([b"1"])
        for _ in range(3):
            with pytest.raises(OSError) as caught:
                file.write([b"2"])
            assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "f").read_bytes() == b"1"


def test_an_effect_may_be_done_and_fail_all_the_same(tmp_path: Path) -> None:
    _prepare(tmp_path)
    with pytest.raises(OSError):
        FaultyStorage(Fault("replace", done=True)).replace(tmp_path / "spare", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"spare"


def test_nothing_happens_after_a_kill(tmp_path: Path) -> None:
    storage = FaultyStorage(Fault("append", nth=2, kill=True, short=2))
    with storage.create(tmp_path / "f") as file:
        file.write([b"whole"])
        with pytest.raises(Killed):
            file.write([b"torn"])
        for action in (file.sync, lambda: file.write([b"x"]), lambda: storage.unlink(tmp_path / "f")):
            with pytest.raises(Killed):
                action()
    assert (tmp_path / "f").read_bytes() == b"wholeto"


def test_each_call_of_a_clean_run_gets_its_fault(tmp_path: Path) -> None:
    clean = FaultyStorage()
    clean.write_new(tmp_path / "clean", b"1")
    for number, fault in enumerate(each_call(clean, error=errno.EIO)):
        storage = FaultyStorage(fault)
        with pytest.raises(OSError):
            storage.write_new(tmp_path / str(number), b"1")
        assert storage.effects() == ["create", "append", "sync"][: number + 1]
    assert number == 2
    assert clean.calls[0] == Call("create", str(tmp_path / "clean"))


def test_an_effect_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="wirte"):
        Fault("wirte")
