"""Where things lie, and how a path leads to them."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from safeh5.storage import AsideKind, Names, find_sidecars, segment_name, segment_number

ID = bytes.fromhex("1a2b3c4d" + "00" * 12)


@pytest.fixture
def target(tmp_path: Path) -> str:
    return os.path.join(os.path.realpath(tmp_path), "run.h5")


def test_everything_lies_beside_the_target(target: str) -> None:
    names = Names.of(target)
    when = datetime(2031, 5, 6, 9, 8, 9, tzinfo=timezone(timedelta(hours=2)))
    assert names.target == target
    assert names.directory == os.path.dirname(target)
    assert names.sidecar == target + ".safeh5"
    assert names.lock == target + ".safeh5.lock"
    assert names.staging == target + ".safeh5/staging.h5"
    assert names.owner == target + ".safeh5/owner.json"
    assert names.segment(1) == target + ".safeh5/journal-00000001.log"
    assert os.path.basename(names.new_sidecar(ID)) == ".run.h5.safeh5.new-1a2b3c4d"
    assert os.path.basename(names.trash(ID)) == ".run.h5.safeh5.trash-1a2b3c4d"
    assert (
        names.aside(AsideKind.ROLLED_BACK, ID, when)
        == target + ".safeh5-rolledback-20310506T070809Z-1a2b3c4d"
    )
    assert {os.path.dirname(path) for path in (names.trash(ID), names.new_sidecar(ID))} == {names.directory}


def test_symbolic_links_lead_to_the_real_target(tmp_path: Path, target: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link.h5").symlink_to(target)
    assert Names.of(tmp_path / "elsewhere" / "link.h5") == Names.of(target)


def test_a_relative_path_is_made_absolute(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Names.of("run.h5") == Names.of(target)
    assert Names.of(Path("run.h5")) == Names.of(target)


def test_a_sidecar_leads_to_its_target(target: str) -> None:
    os.mkdir(target + ".safeh5")
    assert Names.of(target + ".safeh5") == Names.of(target)
    assert Names.of(target + ".safeh5/") == Names.of(target)
    assert Names.of(target + ".safeh5/journal-00000001.log") == Names.of(target)
    assert not Names.of(target).is_aside


@pytest.mark.parametrize("kind", AsideKind)
def test_a_sidecar_kept_aside_leads_to_the_original_target(target: str, kind: AsideKind) -> None:
    aside = Names.of(target).aside(kind, ID)
    os.mkdir(aside)
    names = Names.of(aside)
    assert (names.target, names.sidecar, names.is_aside) == (target, aside, True)
    assert names.lock == target + ".safeh5.lock"
    assert names.segment(2).startswith(aside)
    assert [found.sidecar for found in find_sidecars(os.path.dirname(target))] == [aside]


def test_a_file_with_the_name_of_a_sidecar_is_a_target(target: str) -> None:
    Path(target + ".safeh5").write_bytes(b"")
    assert Names.of(target + ".safeh5").target == target + ".safeh5"


def test_a_path_that_ends_like_a_sidecar_and_does_not_exist_is_a_target(target: str) -> None:
    assert Names.of(target + ".safeh5").target == target + ".safeh5"


@pytest.mark.parametrize("number", [1, 42, 99_999_999, 123_456_789])
def test_the_name_of_a_segment_gives_its_number(number: int) -> None:
    assert segment_number("/x/" + segment_name(number)) == number


@pytest.mark.parametrize(
    "name",
    [
        "journal-1.log",
        "journal-00000000.log",
        "journal-000000001.log",
        "journal-00000001.log.new",
        "staging.h5",
    ],
)
def test_no_other_name_is_a_segment(name: str) -> None:
    assert segment_number(name) is None


def test_leftovers_are_those_of_this_target_only(target: str) -> None:
    names, other = Names.of(target), Names.of(target + "2")
    mine = sorted([names.new_sidecar(ID), names.trash(ID)])
    for path in (*mine, other.trash(ID), names.sidecar):
        os.mkdir(path)
    assert list(names.leftovers()) == mine
    assert Names.of(os.path.join(target, "no", "such", "directory.h5")).leftovers() == ()


def test_find_sidecars_finds_all_traces_once_and_in_order(tmp_path: Path) -> None:
    top = os.path.realpath(tmp_path)
    os.makedirs(os.path.join(top, "b", "deep"))
    open_session = Names.of(os.path.join(top, "b", "deep", "open.h5"))
    os.mkdir(open_session.sidecar)
    Path(open_session.lock).write_bytes(b"")
    os.mkdir(os.path.join(open_session.sidecar, "nested.h5.safeh5"))
    killed = Names.of(os.path.join(top, "a.h5"))
    os.mkdir(killed.new_sidecar(ID))
    aside = Names.of(os.path.join(top, "c.h5")).aside(AsideKind.DAMAGED, ID, datetime(2031, 1, 1, tzinfo=UTC))
    os.mkdir(aside)
    (tmp_path / "plain.h5").write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path)

    assert list(find_sidecars(top)) == [killed, Names.of(aside), open_session]
    assert list(find_sidecars(top, recursive=False)) == [killed, Names.of(aside)]


def test_names_that_are_not_unicode_are_kept(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9.h5"
    names = Names.of(os.fsdecode(raw))
    assert os.fsencode(names.target).endswith(b"/caf\xe9.h5")


def test_a_torn_tail_is_kept_beside_the_target_and_is_no_session(target: str) -> None:
    kept = Names.of(target).torn(ID, 3, 4096)
    Path(kept).write_bytes(b"tail")
    assert os.path.dirname(kept) == os.path.dirname(target)
    assert list(find_sidecars(os.path.dirname(target))) == []
