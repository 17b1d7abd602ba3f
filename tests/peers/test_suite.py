"""h5py's own tests on `safeh5.File`: a part of them in every run, all of them by ``python3 dev.py peers``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import pytest

from peers import suite
from peers.suite import Exceptions, Part, Report


def test_a_part_of_h5pys_tests_passes_and_every_file_that_they_make_comes_back() -> None:
    report = suite.run(Part(0.12), kills=Part(0.4), exceptions=Exceptions.load())
    assert report.good, (report.unlisted, report.outlived, report.differing)
    for form in ("journal", "killed"):
        compared, differ = report.files[form]
        assert compared > 20 and not differ


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_all_of_h5pys_tests_pass_and_every_file_that_they_make_comes_back() -> None:
    report = suite.run(Part(), kills=Part(), exceptions=Exceptions.load())
    assert report.good, (report.unlisted, report.outlived, report.differing)


def test_a_record_that_is_missing_in_the_journal_is_seen_in_the_replay_and_after_the_kill() -> None:
    report = suite.run(
        Part(match="test_attrs and TestCreate"),
        kills=Part(),
        exceptions=Exceptions({}, {}),
        plugins=["tests.peers.planted"],
    )
    assert not report.good
    assert {line["form"] for line in report.differing} == {"journal", "killed"}


def _report(plain: dict[str, str], journaled: dict[str, str], reasons: dict[str, str]) -> Report:
    def lines(ended: dict[str, str]) -> dict[str, dict[str, Any]]:
        return {test: {"outcome": outcome, "why": "because"} for test, outcome in ended.items()}

    report = Report(lines(plain), lines(journaled))
    suite._compare(report, Exceptions(reasons, {}))
    return report


def test_a_test_that_passes_with_plain_h5py_only_is_found() -> None:
    report = _report({"a": "passed", "b": "passed"}, {"a": "passed", "b": "failed"}, {})
    assert report.unlisted == ["b: failed: because"] and not report.good


def test_a_test_that_was_not_reached_is_found() -> None:
    assert not _report({"a": "passed", "b": "passed"}, {"a": "passed"}, {}).good


def test_a_listed_test_that_passes_is_found() -> None:
    report = _report({"a": "passed"}, {"a": "passed"}, {"a": "it used to fail"})
    assert report.outlived == ["a"] and not report.good


def test_a_listed_test_that_fails_is_an_exception_with_its_reason() -> None:
    report = _report({"a": "passed"}, {"a": "error"}, {"a": "it cannot be"})
    assert report.listed == {"a": "it cannot be"} and report.good


def test_what_fails_with_plain_h5py_too_does_not_count() -> None:
    assert _report({"a": "failed", "b": "skipped"}, {"a": "failed", "b": "skipped"}, {}).good


def test_every_exception_has_a_reason_and_names_tests_that_exist() -> None:
    tests = Path(h5py.__file__).parent / "tests"
    for name, reason in Exceptions.load().reasons.items():
        file, *_, method = name.split("::")
        assert len(reason) > 40
        assert f"def {method}" in (tests / file).read_text(encoding="utf-8"), name
